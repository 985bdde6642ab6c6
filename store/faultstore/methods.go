package faultstore

import (
	"context"
	"iter"

	"github.com/milepost-dev/milepost/store"
)

// A call may be held back and delivered later, when its caller may have changed its records. So
// each call keeps copies of them.

type none = struct{}

// Address implements [store.Store]. It is no request, and never fails.
func (s *Store) Address() string { return s.inner.Address() }

// Look implements [store.Store].
func (s *Store) Look(ctx context.Context, key store.Key) (store.Records, error) {
	return do(ctx, s, "Look", key, nil, func(ctx context.Context, in store.Store) (store.Records, error) {
		return in.Look(ctx, key)
	})
}

// Acquire implements [store.Store].
func (s *Store) Acquire(ctx context.Context, key store.Key, observed *store.Lease, next store.Lease) (store.Clock, error) {
	observed = observed.Clone()
	return do(ctx, s, "Acquire", key, next, func(ctx context.Context, in store.Store) (store.Clock, error) {
		return in.Acquire(ctx, key, observed, next)
	})
}

// Steal implements [store.Store].
func (s *Store) Steal(ctx context.Context, key store.Key, observed *store.Lease, next store.Lease) (store.Clock, error) {
	observed = observed.Clone()
	return do(ctx, s, "Steal", key, next, func(ctx context.Context, in store.Store) (store.Clock, error) {
		return in.Steal(ctx, key, observed, next)
	})
}

// Raise implements [store.Store].
func (s *Store) Raise(ctx context.Context, key store.Key, fence store.Fence, holder store.Holder, create bool) (store.Head, store.Clock, error) {
	r, err := do(ctx, s, "Raise", key, fence, func(ctx context.Context, in store.Store) (raised, error) {
		head, clock, err := in.Raise(ctx, key, fence, holder, create)
		return raised{head, clock}, err
	})
	return r.head, r.clock, err
}

type raised struct {
	head  store.Head
	clock store.Clock
}

// Renew implements [store.Store].
func (s *Store) Renew(ctx context.Context, key store.Key, r store.Renewal) (store.Lease, store.Clock, error) {
	now, err := do(ctx, s, "Renew", key, r, func(ctx context.Context, in store.Store) (renewed, error) {
		lease, clock, err := in.Renew(ctx, key, r)
		return renewed{lease, clock}, err
	})
	return now.lease, now.clock, err
}

type renewed struct {
	lease store.Lease
	clock store.Clock
}

// Release implements [store.Store].
func (s *Store) Release(ctx context.Context, key store.Key, fence store.Fence, version int64) error {
	return s.act(ctx, "Release", key, fence, func(ctx context.Context, in store.Store) error {
		return in.Release(ctx, key, fence, version)
	})
}

// Want implements [store.Store].
func (s *Store) Want(ctx context.Context, key store.Key, fence store.Fence, wanted store.Wanted) error {
	return s.act(ctx, "Want", key, wanted, func(ctx context.Context, in store.Store) error {
		return in.Want(ctx, key, fence, wanted)
	})
}

// Commit implements [store.Store].
func (s *Store) Commit(ctx context.Context, key store.Key, c store.Commit) (store.Clock, error) {
	c.Next = c.Next.Clone()
	return do(ctx, s, "Commit", key, c, func(ctx context.Context, in store.Store) (store.Clock, error) {
		return in.Commit(ctx, key, c)
	})
}

// Copy implements [store.Store].
func (s *Store) Copy(ctx context.Context, key store.Key, c store.Copy) error {
	c = c.Clone()
	return s.act(ctx, "Copy", key, c, func(ctx context.Context, in store.Store) error { return in.Copy(ctx, key, c) })
}

// KeepBase implements [store.Store].
func (s *Store) KeepBase(ctx context.Context, key store.Key, v store.Version) error {
	v = v.Clone()
	return s.act(ctx, "KeepBase", key, v, func(ctx context.Context, in store.Store) error { return in.KeepBase(ctx, key, v) })
}

// Amend implements [store.Store].
func (s *Store) Amend(ctx context.Context, key store.Key, observed store.Copy, a store.Amendment) error {
	observed = observed.Clone()
	return s.act(ctx, "Amend", key, a, func(ctx context.Context, in store.Store) error {
		return in.Amend(ctx, key, observed, a)
	})
}

// Remove implements [store.Store].
func (s *Store) Remove(ctx context.Context, key store.Key, observed store.Copy) error {
	observed = observed.Clone()
	return s.act(ctx, "Remove", key, observed.Number, func(ctx context.Context, in store.Store) error {
		return in.Remove(ctx, key, observed)
	})
}

// Unlist implements [store.Store].
func (s *Store) Unlist(ctx context.Context, key store.Key, commitID string) error {
	return s.act(ctx, "Unlist", key, commitID, func(ctx context.Context, in store.Store) error {
		return in.Unlist(ctx, key, commitID)
	})
}

// Expect implements [store.Store].
func (s *Store) Expect(ctx context.Context, key store.Key, observed, next *store.Expectation) error {
	observed, next = observed.Clone(), next.Clone()
	return s.act(ctx, "Expect", key, next, func(ctx context.Context, in store.Store) error {
		return in.Expect(ctx, key, observed, next)
	})
}

// Version implements [store.Store].
func (s *Store) Version(ctx context.Context, key store.Key, version int64) (store.Copy, error) {
	return do(ctx, s, "Version", key, nil, func(ctx context.Context, in store.Store) (store.Copy, error) {
		return in.Version(ctx, key, version)
	})
}

// Versions implements [store.Store]. A fault strikes when the reading begins.
func (s *Store) Versions(ctx context.Context, key store.Key, from, to int64) iter.Seq2[store.Copy, error] {
	return sequence(ctx, s, "Versions", key, func(in store.Store) iter.Seq2[store.Copy, error] {
		return in.Versions(ctx, key, from, to)
	})
}

// Names implements [store.Store]. A fault strikes when the reading begins.
func (s *Store) Names(ctx context.Context, namespace, prefix, after string) iter.Seq2[string, error] {
	return sequence(ctx, s, "Names", store.Key{Namespace: namespace, Name: prefix}, func(in store.Store) iter.Seq2[string, error] {
		return in.Names(ctx, namespace, prefix, after)
	})
}

// Peek implements [store.Store]. The call has the first key.
func (s *Store) Peek(ctx context.Context, keys []store.Key) ([]store.Records, error) {
	var first store.Key
	if len(keys) > 0 {
		first = keys[0]
	}
	return do(ctx, s, "Peek", first, nil, func(ctx context.Context, in store.Store) ([]store.Records, error) {
		return in.Peek(ctx, keys)
	})
}

// act is do for a call that returns only an error.
func (s *Store) act(ctx context.Context, method string, key store.Key, arg any, pass func(context.Context, store.Store) error) error {
	_, err := do(ctx, s, method, key, arg, func(ctx context.Context, in store.Store) (none, error) {
		return none{}, pass(ctx, in)
	})
	return err
}

func sequence[T any](ctx context.Context, s *Store, method string, key store.Key, open func(store.Store) iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		all, err := do(ctx, s, method, key, nil, func(_ context.Context, in store.Store) (iter.Seq2[T, error], error) {
			return open(in), nil
		})
		if err != nil {
			var zero T
			yield(zero, err)
			return
		}
		all(yield)
	}
}
