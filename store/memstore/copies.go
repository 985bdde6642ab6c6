package memstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/milepost-dev/milepost/store"
)

// Copy implements [store.Store].
func (s *Store) Copy(ctx context.Context, key store.Key, next store.Copy) error {
	return s.writeCopy(ctx, "Copy", key, next.Number, func(c *checkpoint, there *store.Copy) bool {
		switch {
		case there == nil || there.CommitEpoch < next.CommitEpoch:
			c.copies[next.Number] = store.Copy{Version: kept(&next.Version), ExpiresAt: next.ExpiresAt, Label: next.Label, Kept: next.Kept}
			return true
		default:
			return there.CommitID == next.CommitID
		}
	})
}

// KeepBase implements [store.Store].
func (s *Store) KeepBase(ctx context.Context, key store.Key, v store.Version) error {
	return s.writeCopy(ctx, "KeepBase", key, v.Number, func(c *checkpoint, there *store.Copy) bool {
		base := store.Copy{Version: kept(&v), Kept: true}
		switch {
		case there == nil:
		case there.CommitID == v.CommitID || there.CommitEpoch < v.CommitEpoch:
			base.Label = there.Label
		default:
			return false
		}
		c.copies[v.Number] = base
		return true
	})
}

// Amend implements [store.Store].
func (s *Store) Amend(ctx context.Context, key store.Key, observed store.Copy, a store.Amendment) error {
	return s.writeCopy(ctx, "Amend", key, observed.Number, func(c *checkpoint, there *store.Copy) bool {
		if !there.SameAs(&observed) {
			return false
		}
		amended := *there
		a.Apply(&amended)
		c.copies[observed.Number] = amended
		return true
	})
}

// Remove implements [store.Store].
func (s *Store) Remove(ctx context.Context, key store.Key, observed store.Copy) error {
	return s.writeCopy(ctx, "Remove", key, observed.Number, func(c *checkpoint, there *store.Copy) bool {
		if there != nil && !there.SameAs(&observed) {
			return false
		}
		delete(c.copies, observed.Number)
		return true
	})
}

// writeCopy calls apply with the copy that it finds, or nil. If apply returns false, it is a
// conflict.
func (s *Store) writeCopy(ctx context.Context, op string, key store.Key, version int64, apply func(c *checkpoint, there *store.Copy) bool) error {
	_, err := s.write(ctx, op, key, store.CopyRecord(version), func(c *checkpoint) error {
		var there *store.Copy
		if copied, ok := c.copies[version]; ok {
			copied = copied.Clone()
			there = &copied
		}
		if !apply(c, there) {
			return &store.ConflictError{Op: op, Key: key, Copy: there}
		}
		return nil
	})
	return err
}

// Version implements [store.Store].
func (s *Store) Version(ctx context.Context, key store.Key, version int64) (store.Copy, error) {
	if err := readable(ctx, "Version", key); err != nil {
		return store.Copy{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.at(key)
	if err := c.damaged[store.CopyRecord(version)]; err != nil {
		return store.Copy{}, err
	}
	copied, ok := c.copies[version]
	if !ok {
		return store.Copy{}, fmt.Errorf("version %d of %s: %w", version, key, store.ErrNotFound)
	}
	return copied.Clone(), nil
}

// Versions implements [store.Store].
func (s *Store) Versions(ctx context.Context, key store.Key, from, to int64) iter.Seq2[store.Copy, error] {
	return func(yield func(store.Copy, error) bool) {
		for _, version := range s.copied(key, from, to) {
			copied, err := s.Version(ctx, key, version)
			if errors.Is(err, store.ErrNotFound) {
				continue // removed since the list was made
			}
			if !yield(copied, err) || err != nil {
				return
			}
		}
		if err := readable(ctx, "Versions", key); err != nil {
			yield(store.Copy{}, err)
		}
	}
}

// copied returns the versions from from down to to that have a copy.
func (s *Store) copied(key store.Key, from, to int64) []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Collect(maps.Keys(s.at(key).copies))
	all = slices.DeleteFunc(all, func(v int64) bool { return v > from || v < to })
	slices.SortFunc(all, func(a, b int64) int { return cmp.Compare(b, a) })
	return all
}
