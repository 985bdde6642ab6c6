package memstore

import (
	"context"
	"fmt"

	"github.com/milepost-dev/milepost/store"
)

// Do makes a write of the caller's for [store.Commit]. The commit calls do if its condition holds,
// in the order of the writes, and is applied if all of them return nil. If do returns an error, the
// commit is refused, as by a condition of the caller's on other engines. What an earlier do did
// then stays, because memory has no transactions. do must not use the store.
func Do(do func() error) store.Write { return write(do) }

type write func() error

// Raise implements [store.Store].
func (s *Store) Raise(ctx context.Context, key store.Key, fence store.Fence, holder store.Holder, create bool) (store.Head, store.Clock, error) {
	var now store.Head
	clock, err := s.write(ctx, "Raise", key, store.RecordHead, func(c *checkpoint) error {
		switch {
		case c.head == nil && create:
			c.head = &store.Head{}
		case c.head == nil || c.head.Fence.Epoch >= fence.Epoch:
			return headConflict("Raise", key, c)
		}
		c.head.Fence, c.head.Holder = fence, holder.WithoutProcess()
		now = *c.head.Clone()
		return nil
	})
	return now, clock, err
}

// Commit implements [store.Store]. Its writes are made by [Do].
func (s *Store) Commit(ctx context.Context, key store.Key, commit store.Commit) (store.Clock, error) {
	writes, err := own(key, commit.Writes)
	if err != nil {
		return store.Clock{}, err
	}
	return s.write(ctx, "Commit", key, store.RecordHead, func(c *checkpoint) error {
		if c.head == nil || c.head.Fence != commit.Fence || c.head.Number != commit.Base {
			return headConflict("Commit", key, c)
		}
		for i, do := range writes {
			if err := do(); err != nil {
				return &store.WriteError{Key: key, Index: i, Err: err}
			}
		}
		next := kept(&commit.Next)
		c.head = &store.Head{Version: next, Fence: commit.Fence, Holder: next.By, Listed: true}
		return nil
	})
}

func own(key store.Key, all []store.Write) ([]write, error) {
	if len(all) > store.MaxWrites {
		return nil, fmt.Errorf("commit %s: %w: %w: %d writes, and the limit is %d",
			key, store.ErrNotApplied, store.ErrWrite, len(all), store.MaxWrites)
	}
	writes := make([]write, len(all))
	for i, w := range all {
		do, ok := w.(write)
		if !ok || do == nil {
			return nil, fmt.Errorf("commit %s: %w: write %d: %w: %T was not made by memstore.Do",
				key, store.ErrNotApplied, i, store.ErrWrite, w)
		}
		writes[i] = do
	}
	return writes, nil
}

// Unlist implements [store.Store].
func (s *Store) Unlist(ctx context.Context, key store.Key, commitID string) error {
	_, err := s.write(ctx, "Unlist", key, store.RecordHead, func(c *checkpoint) error {
		if c.head == nil || c.head.CommitID != commitID || !c.head.Deleted {
			return headConflict("Unlist", key, c)
		}
		c.head.Listed = false
		return nil
	})
	return err
}

func headConflict(op string, key store.Key, c *checkpoint) error {
	return &store.ConflictError{Op: op, Key: key, Head: c.head.Clone()}
}
