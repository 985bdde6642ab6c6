package memstore

import (
	"context"

	"github.com/milepost-dev/milepost/store"
)

// Acquire implements [store.Store].
func (s *Store) Acquire(ctx context.Context, key store.Key, observed *store.Lease, next store.Lease) (store.Clock, error) {
	return s.takeLease(ctx, "Acquire", key, next, func(l *store.Lease) bool { return l.SameAs(observed) })
}

// Steal implements [store.Store].
func (s *Store) Steal(ctx context.Context, key store.Key, observed *store.Lease, next store.Lease) (store.Clock, error) {
	return s.takeLease(ctx, "Steal", key, next, func(l *store.Lease) bool { return l.SameExceptBeat(observed) })
}

func (s *Store) takeLease(ctx context.Context, op string, key store.Key, next store.Lease, asObserved func(*store.Lease) bool) (store.Clock, error) {
	return s.write(ctx, op, key, store.RecordLease, func(c *checkpoint) error {
		if !asObserved(c.lease) {
			return leaseConflict(op, key, c)
		}
		c.lease = next.Clone()
		return nil
	})
}

// Renew implements [store.Store].
func (s *Store) Renew(ctx context.Context, key store.Key, r store.Renewal) (store.Lease, store.Clock, error) {
	var now store.Lease
	clock, err := s.write(ctx, "Renew", key, store.RecordLease, func(c *checkpoint) error {
		if !c.lease.HeldUnder(r.Fence) || c.lease.Beat >= r.Beat {
			return leaseConflict("Renew", key, c)
		}
		c.lease.Beat, c.lease.Until, c.lease.RenewedAt, c.lease.Version = r.Beat, r.Until, r.RenewedAt, r.Version
		now = *c.lease.Clone()
		return nil
	})
	return now, clock, err
}

// Release implements [store.Store].
func (s *Store) Release(ctx context.Context, key store.Key, fence store.Fence, version int64) error {
	_, err := s.write(ctx, "Release", key, store.RecordLease, func(c *checkpoint) error {
		if c.lease == nil || c.lease.Fence() != fence {
			return leaseConflict("Release", key, c)
		}
		c.lease.Status, c.lease.Version = store.Free, version
		return nil
	})
	return err
}

// Want implements [store.Store].
func (s *Store) Want(ctx context.Context, key store.Key, fence store.Fence, wanted store.Wanted) error {
	_, err := s.write(ctx, "Want", key, store.RecordLease, func(c *checkpoint) error {
		if !c.lease.HeldUnder(fence) {
			return leaseConflict("Want", key, c)
		}
		c.lease.Wanted = &wanted
		return nil
	})
	return err
}

func leaseConflict(op string, key store.Key, c *checkpoint) error {
	return &store.ConflictError{Op: op, Key: key, Lease: c.lease.Clone()}
}
