// Package survey reads many checkpoints at once, for someone on call: which do not move, since
// when, and who holds their leases. It reads the store and asks no job, so it also sees dead jobs.
package survey

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/milepost-dev/milepost/store"
)

// atOnce is how many reads run at once.
const atOnce = 8

// Item is one checkpoint as the survey saw it.
type Item struct {
	Key   store.Key
	Now   time.Time // when it was seen, by the store's clock if it has one
	Err   error     // why it could not be read; then only Key and Now are set
	Head  *store.Head
	Lease *store.Lease
	// Expect is how often the checkpoint should be saved; nil: nothing is expected.
	Expect *store.Expectation
	Held   bool          // the lease is held, and has not run out by the store's clock
	Left   time.Duration // how long a held lease still runs; 0: no end is recorded
}

// Look reads the checkpoints of a namespace whose names begin with prefix, in byte order: those
// that were saved, that are expected to be saved, or whose deletion is not finished. It takes one
// request for each page of names and one for each 32 checkpoints, eight at a time, with eventually
// consistent reads at half the price, so it may miss the latest moment. States are not kept. A
// checkpoint that cannot be read is an item with an error.
func Look(ctx context.Context, st store.Store, namespace, prefix string) ([]Item, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	chunks := make(chan chunk)
	var mu sync.Mutex
	var all []chunk
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for c := range chunks {
				err := c.read(ctx, st)
				if err != nil {
					cancel(err)
					continue
				}
				mu.Lock()
				all = append(all, c)
				mu.Unlock()
			}
		})
	}
	err := split(ctx, st, namespace, prefix, chunks)
	close(chunks)
	workers.Wait()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if err != nil {
		return nil, fmt.Errorf("look at the checkpoints of namespace %s that begin with %q: %w", namespace, prefix, err)
	}
	slices.SortFunc(all, func(a, b chunk) int { return a.number - b.number })
	var items []Item
	for _, c := range all {
		items = append(items, c.items...)
	}
	return items, nil
}

// LookAt is [Look] for the given names of a namespace, in the order given. Names without records
// are left out.
func LookAt(ctx context.Context, st store.Store, namespace string, names []string) ([]Item, error) {
	var all []Item
	for some := range slices.Chunk(names, store.MaxPeek) {
		keys := make([]store.Key, 0, len(some))
		for _, name := range some {
			keys = append(keys, store.Key{Namespace: namespace, Name: name})
		}
		items, err := peek(ctx, st, keys)
		if err != nil {
			return nil, fmt.Errorf("look at %s and those after it: %w", keys[0], err)
		}
		all = append(all, items...)
	}
	return all, nil
}

// chunk is what one request reads.
type chunk struct {
	number int
	keys   []store.Key
	items  []Item
}

func split(ctx context.Context, st store.Store, namespace, prefix string, chunks chan<- chunk) error {
	c := chunk{}
	send := func() bool {
		select {
		case chunks <- c:
			c = chunk{number: c.number + 1}
			return true
		case <-ctx.Done():
			return false
		}
	}
	for name, err := range st.Names(ctx, namespace, prefix, "") {
		if err != nil {
			return err
		}
		c.keys = append(c.keys, store.Key{Namespace: namespace, Name: name})
		if len(c.keys) == store.MaxPeek && !send() {
			return context.Cause(ctx)
		}
	}
	if len(c.keys) > 0 {
		send()
	}
	return nil
}

func (c *chunk) read(ctx context.Context, st store.Store) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	items, err := peek(ctx, st, c.keys)
	c.items = items
	return err
}

// peek reads the items of keys.
func peek(ctx context.Context, st store.Store, keys []store.Key) ([]Item, error) {
	all, bad, err := store.PeekEach(ctx, st, keys)
	if err != nil {
		return nil, err
	}
	items := make([]Item, 0, len(keys))
	for i, key := range keys {
		if bad[i] != nil {
			items = append(items, Item{Key: key, Now: time.Now(), Err: bad[i]})
		} else if item, ok := newItem(key, &all[i]); ok {
			items = append(items, item)
		}
	}
	return items, nil
}

// newItem returns false if the index lags and there is nothing left under key.
func newItem(key store.Key, r *store.Records) (Item, bool) {
	item := Item{Key: key, Now: r.Clock.Time(), Head: r.Head, Lease: r.Lease, Expect: r.Expect}
	if item.Head != nil {
		if item.Head.State = nil; item.Head.Number == 0 {
			item.Head = nil
		}
	}
	item.Held, item.Left = r.Lease.HeldAt(r.Clock)
	return item, item.Saved() || item.Deleting() || item.Expect != nil
}
