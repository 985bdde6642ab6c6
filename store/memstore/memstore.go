// Package memstore is the engine that keeps everything in memory. It is for tests and examples, and
// it is the model of the other engines: it does exactly what the contract in package store says,
// and nothing lags.
//
// It reads the time with time.Now only, so a testing/synctest bubble gives it virtual time.
package memstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/milepost-dev/milepost/store"
)

// Options of a [Store].
type Options struct {
	// Clock reads the store's own clock. Nil means the process's wall clock. If Clock returns the
	// zero reading, the store has no clock.
	Clock func() store.Clock
}

// Store is a [store.Store] in memory. It is lost with the process.
type Store struct {
	address string
	clock   func() store.Clock

	mu          sync.Mutex
	checkpoints map[store.Key]*checkpoint
}

var _ store.Store = (*Store)(nil)

// checkpoint is all records of one key.
type checkpoint struct {
	head    *store.Head
	lease   *store.Lease
	expect  *store.Expectation
	copies  map[int64]store.Copy
	damaged map[string]error // by the name of the record
}

// New returns an empty store. Nil options are the defaults.
func New(opts *Options) *Store {
	s := &Store{address: "memory:" + rand.Text(), clock: wall, checkpoints: map[store.Key]*checkpoint{}}
	if opts != nil && opts.Clock != nil {
		s.clock = opts.Clock
	}
	return s
}

// Address implements [store.Store].
func (s *Store) Address() string { return s.address }

// kept returns a deep copy of v, as HEAD and the copies keep it.
func kept(v *store.Version) store.Version {
	clone := v.Clone()
	clone.By = clone.By.WithoutProcess()
	return clone
}

func wall() store.Clock { return store.Clock{Wall: time.Now().Round(0)} }

// Sweep removes the copies that have expired, and returns how many. A service does so by itself,
// some time later. This store never does.
func (s *Store) Sweep() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, now := 0, time.Now()
	for _, c := range s.checkpoints {
		before := len(c.copies)
		maps.DeleteFunc(c.copies, func(_ int64, copied store.Copy) bool { return copied.Expired(now) })
		n += before - len(c.copies)
	}
	return n
}

// Look implements [store.Store].
func (s *Store) Look(ctx context.Context, key store.Key) (store.Records, error) {
	if err := readable(ctx, "Look", key); err != nil {
		return store.Records{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.look(key)
}

// Peek implements [store.Store]. It does not lag.
func (s *Store) Peek(ctx context.Context, keys []store.Key) ([]store.Records, error) {
	if len(keys) > store.MaxPeek {
		return nil, fmt.Errorf("peek at %d keys: the limit is %d", len(keys), store.MaxPeek)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]store.Records, len(keys))
	for i, key := range keys {
		if err := readable(ctx, "Peek", key); err != nil {
			return nil, err
		}
		var err error
		if all[i], err = s.look(key); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (s *Store) look(key store.Key) (store.Records, error) {
	c := s.at(key)
	for _, record := range []string{store.RecordHead, store.RecordLease, store.RecordExpect} {
		if err := c.damaged[record]; err != nil {
			return store.Records{}, err
		}
	}
	return store.Records{Head: c.head.Clone(), Lease: c.lease.Clone(), Expect: c.expect.Clone(), Clock: s.clock()}, nil
}

// at returns the checkpoint of key, for reading. The caller holds s.mu.
func (s *Store) at(key store.Key) *checkpoint {
	if c := s.checkpoints[key]; c != nil {
		return c
	}
	return &checkpoint{}
}

// made returns the checkpoint of key for a write, and makes it if it is absent. The caller holds
// s.mu.
func (s *Store) made(key store.Key) *checkpoint {
	c := s.checkpoints[key]
	if c == nil {
		c = &checkpoint{copies: map[int64]store.Copy{}, damaged: map[string]error{}}
		s.checkpoints[key] = c
	}
	return c
}

// write calls apply with the checkpoint of key, unless ctx has ended or the record is damaged.
func (s *Store) write(ctx context.Context, op string, key store.Key, record string, apply func(*checkpoint) error) (store.Clock, error) {
	if err := ctx.Err(); err != nil {
		return store.Clock{}, fmt.Errorf("%s %s: %w: %w", op, key, store.ErrNotApplied, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.made(key)
	if err := c.damaged[record]; err != nil {
		return store.Clock{}, fmt.Errorf("%s %s: %w: %w", op, key, store.ErrNotApplied, err)
	}
	return s.clock(), apply(c)
}

func readable(ctx context.Context, op string, key store.Key) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", op, key, err)
	}
	return nil
}
