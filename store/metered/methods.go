package metered

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/milepost-dev/milepost/store"
)

var _ store.Store = (*Store)(nil)

// Look implements [store.Store].
func (s *Store) Look(ctx context.Context, key store.Key) (store.Records, error) {
	r, err := s.Store.Look(ctx, key)
	s.failed(ctx, key, err)
	if err == nil && r.Head != nil {
		s.saw(ctx, key, &r.Head.Version)
	}
	return r, err
}

// Acquire implements [store.Store].
func (s *Store) Acquire(ctx context.Context, key store.Key, observed *store.Lease, next store.Lease) (store.Clock, error) {
	sent := time.Now()
	clock, err := s.Store.Acquire(ctx, key, observed, next)
	s.failed(ctx, key, err)
	if err != nil || next.Status != store.Held {
		return clock, err
	}
	s.lock()
	defer s.mu.Unlock()
	s.hold(ctx, key, next.Fence(), sent).duration = next.Duration
	if observed != nil && observed.Status == store.Held {
		s.in.takeover.Record(ctx, max(sent.Sub(observed.RenewedAt), 0).Seconds(), s.in.of(key).record...)
	}
	return clock, nil
}

// Steal implements [store.Store].
func (s *Store) Steal(ctx context.Context, key store.Key, observed *store.Lease, next store.Lease) (store.Clock, error) {
	clock, err := s.Store.Steal(ctx, key, observed, next)
	s.failed(ctx, key, err)
	return clock, err
}

// Raise implements [store.Store].
func (s *Store) Raise(ctx context.Context, key store.Key, fence store.Fence, holder store.Holder, create bool) (store.Head, store.Clock, error) {
	head, clock, err := s.Store.Raise(ctx, key, fence, holder, create)
	s.failed(ctx, key, err)
	found := &head
	if conflict, ok := errors.AsType[*store.ConflictError](err); ok && conflict.Head != nil && conflict.Head.Fence == fence {
		found = conflict.Head // an earlier attempt of ours
	} else if err != nil {
		return head, clock, err
	}
	s.lock()
	defer s.mu.Unlock()
	if j := s.jobs[key]; j != nil && j.fence == fence { // an operator's steal holds nothing
		j.processed, j.failed = found.Processed, found.Version.Failed
	}
	return head, clock, err
}

// Renew implements [store.Store].
func (s *Store) Renew(ctx context.Context, key store.Key, r store.Renewal) (store.Lease, store.Clock, error) {
	sent := time.Now()
	lease, clock, err := s.Store.Renew(ctx, key, r)
	s.failed(ctx, key, err)
	conflict, refused := errors.AsType[*store.ConflictError](err)
	if err != nil && !refused {
		return lease, clock, err
	}
	s.lock()
	defer s.mu.Unlock()
	switch {
	case refused && (conflict.Lease == nil || conflict.Lease.LeaseID != r.Fence.LeaseID || conflict.Lease.Status != store.Held):
		if j := s.of(key); j.fence == r.Fence {
			s.lose(ctx, key, j, Stolen)
		}
		return lease, clock, err
	case refused && conflict.Lease.Beat < r.Beat:
		return lease, clock, err
	}
	j := s.of(key)
	if j.fence == r.Fence && !j.renewed.IsZero() && j.duration > 0 && sent.Sub(j.renewed) > j.duration/2 {
		s.in.of(key).count(ctx, s.in.late, 1)
	}
	s.hold(ctx, key, r.Fence, sent)
	return lease, clock, err
}

// Release implements [store.Store].
func (s *Store) Release(ctx context.Context, key store.Key, fence store.Fence, version int64) error {
	s.lock()
	if j := s.jobs[key]; j != nil && j.fence == fence && !j.releasing {
		if silent := time.Since(j.renewed); j.duration > 0 && silent >= time.Duration(loseAfter*float64(j.duration)) {
			s.lose(ctx, key, j, Expired)
		}
		j.releasing = true
		if j.save != nil && version >= j.save.commit.Next.Number {
			s.end(ctx, key, j, OK)
		}
		s.giveUp(ctx, key, j)
	}
	s.mu.Unlock()
	err := s.Store.Release(ctx, key, fence, version)
	s.failed(ctx, key, err)
	if err == nil {
		s.forget(key, fence)
	}
	return err
}

// forget bounds what is kept to the leases that are held.
func (s *Store) forget(key store.Key, fence store.Fence) {
	s.lock()
	defer s.mu.Unlock()
	if j := s.jobs[key]; j != nil && j.fence == fence {
		delete(s.jobs, key)
	}
}

// Want implements [store.Store].
func (s *Store) Want(ctx context.Context, key store.Key, fence store.Fence, wanted store.Wanted) error {
	return s.passed(ctx, key, s.Store.Want(ctx, key, fence, wanted))
}

// Commit implements [store.Store].
func (s *Store) Commit(ctx context.Context, key store.Key, c store.Commit) (store.Clock, error) {
	sent := time.Now()
	clock, err := s.Store.Commit(ctx, key, c)
	if err == nil {
		s.land(ctx, key, c, sent)
		return clock, nil
	}
	s.failed(ctx, key, err)
	s.notCommitted(ctx, key, c, sent, err)
	return clock, err
}

// Copy implements [store.Store].
func (s *Store) Copy(ctx context.Context, key store.Key, c store.Copy) error {
	return s.passed(ctx, key, s.Store.Copy(ctx, key, c))
}

// KeepBase implements [store.Store].
func (s *Store) KeepBase(ctx context.Context, key store.Key, v store.Version) error {
	return s.passed(ctx, key, s.Store.KeepBase(ctx, key, v))
}

// Amend implements [store.Store].
func (s *Store) Amend(ctx context.Context, key store.Key, version int64, commitID string, a store.Amendment) error {
	return s.passed(ctx, key, s.Store.Amend(ctx, key, version, commitID, a))
}

// Remove implements [store.Store].
func (s *Store) Remove(ctx context.Context, key store.Key, version int64, commitID string) error {
	return s.passed(ctx, key, s.Store.Remove(ctx, key, version, commitID))
}

// Unlist implements [store.Store].
func (s *Store) Unlist(ctx context.Context, key store.Key, commitID string) error {
	return s.passed(ctx, key, s.Store.Unlist(ctx, key, commitID))
}

// Expect implements [store.Store].
func (s *Store) Expect(ctx context.Context, key store.Key, e *store.Expectation) error {
	return s.passed(ctx, key, s.Store.Expect(ctx, key, e))
}

// Version implements [store.Store].
func (s *Store) Version(ctx context.Context, key store.Key, version int64) (store.Copy, error) {
	c, err := s.Store.Version(ctx, key, version)
	s.failed(ctx, key, err)
	if err == nil {
		s.saw(ctx, key, &c.Version)
	}
	return c, err
}

// Versions implements [store.Store].
func (s *Store) Versions(ctx context.Context, key store.Key, from, to int64) iter.Seq2[store.Copy, error] {
	return counted(ctx, s, key, s.Store.Versions(ctx, key, from, to))
}

// Names implements [store.Store].
func (s *Store) Names(ctx context.Context, namespace, prefix, after string) iter.Seq2[string, error] {
	return counted(ctx, s, store.Key{Namespace: namespace}, s.Store.Names(ctx, namespace, prefix, after))
}

// Peek implements [store.Store].
func (s *Store) Peek(ctx context.Context, keys []store.Key) ([]store.Records, error) {
	r, err := s.Store.Peek(ctx, keys)
	if len(keys) > 0 {
		s.failed(ctx, keys[0], err)
	}
	return r, err
}

// passed is for calls that count nothing of their own, behind which there is time for what landed.
func (s *Store) passed(ctx context.Context, key store.Key, err error) error {
	s.lock()
	s.mu.Unlock()
	s.failed(ctx, key, err)
	return err
}

// failed counts a request that was throttled.
func (s *Store) failed(ctx context.Context, key store.Key, err error) {
	if err != nil && errors.Is(err, store.ErrThrottled) {
		s.in.of(key).count(ctx, s.in.throttles, 1)
	}
}

func counted[T any](ctx context.Context, s *Store, key store.Key, all iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for item, err := range all {
			s.failed(ctx, key, err)
			if !yield(item, err) {
				return
			}
		}
	}
}
