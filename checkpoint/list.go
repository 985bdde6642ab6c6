package checkpoint

import (
	"context"
	"iter"
	"time"

	"github.com/milepost-dev/milepost/store"
)

// Listing is one checkpoint in a list.
type Listing struct {
	store.Key
	Checkpoint *Checkpoint        // nil: it is expected and was never saved, or it is being deleted
	Lease      *store.Lease       // nil: never held
	Held       bool               // the lease is held, and has not run out by the store's clock
	Left       time.Duration      // how long a held lease still runs; 0: no end is recorded
	Expect     *store.Expectation // nil: none
	Deleting   bool               // a deletion was begun and not finished
}

// List yields the checkpoints whose names begin with prefix, in byte order: those that were saved,
// those that are expected to be saved, and those whose deletion was interrupted. It reads at half
// the price, and may be behind by a moment. A checkpoint that cannot be read is yielded with its
// error and a Listing that has only its key, and the next one follows. An error of the store comes
// with a nil Listing, and ends the list.
func (n Namespace) List(ctx context.Context, prefix string) iter.Seq2[*Listing, error] {
	return func(yield func(*Listing, error) bool) {
		n, err := n.filled()
		if err != nil {
			yield(nil, err)
			return
		}
		var keys []store.Key
		for name, err := range n.Store.Names(ctx, n.Name, prefix, "") {
			if err != nil {
				yield(nil, wrap("list", store.Key{Namespace: n.Name, Name: prefix}, err))
				return
			}
			keys = append(keys, store.Key{Namespace: n.Name, Name: name})
			if len(keys) == store.MaxPeek {
				if !peek(ctx, n.Store, keys, yield) {
					return
				}
				keys = keys[:0]
			}
		}
		if len(keys) > 0 {
			peek(ctx, n.Store, keys, yield)
		}
	}
}

// peek lists some keys.
func peek(ctx context.Context, st store.Store, keys []store.Key, yield func(*Listing, error) bool) bool {
	all, bad, err := store.PeekEach(ctx, st, keys)
	if err != nil {
		yield(nil, wrap("list", keys[0], err))
		return false
	}
	for i, key := range keys {
		if bad[i] != nil {
			if !yield(&Listing{Key: key}, bad[i]) {
				return false
			}
			continue
		}
		l, err := list(key, &all[i])
		if l == nil && err == nil {
			continue // the index is behind: the checkpoint is gone
		}
		if !yield(l, err) {
			return false
		}
	}
	return true
}

func list(key store.Key, r *store.Records) (*Listing, error) {
	l := &Listing{Key: key, Lease: r.Lease, Expect: r.Expect}
	l.Held, l.Left = l.Lease.HeldAt(r.Clock)
	if r.Head != nil && r.Head.Exists() {
		var err error
		if l.Checkpoint, err = viewHead(key, r.Head); err != nil {
			return &Listing{Key: key}, err
		}
		return l, nil
	}
	l.Deleting = r.Head != nil && r.Head.Deleted && r.Head.Listed
	if !l.Deleting && l.Expect == nil {
		return nil, nil
	}
	return l, nil
}
