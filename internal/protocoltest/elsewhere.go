package protocoltest

import (
	"context"

	"github.com/milepost-dev/milepost/store"
)

// elsewhere is a store that has one checkpoint, under every key. To a session it is a table that
// was lost, or restored to an older state.
type elsewhere struct {
	store.Store
	key store.Key
}

// otherWorld returns a fixture of an empty checkpoint, and a store in which f's session finds that
// checkpoint in place of its own.
func (f fixture) otherWorld() (fixture, store.Store) {
	other := f
	other.key.Name += "/elsewhere"
	return other, elsewhere{f.Store, other.key}
}

func (e elsewhere) Look(ctx context.Context, _ store.Key) (store.Records, error) {
	return e.Store.Look(ctx, e.key)
}

func (e elsewhere) Acquire(ctx context.Context, _ store.Key, observed *store.Lease, next store.Lease) (store.Clock, error) {
	return e.Store.Acquire(ctx, e.key, observed, next)
}

func (e elsewhere) Raise(ctx context.Context, _ store.Key, fence store.Fence, holder store.Holder, create bool) (store.Head, store.Clock, error) {
	return e.Store.Raise(ctx, e.key, fence, holder, create)
}

func (e elsewhere) Renew(ctx context.Context, _ store.Key, r store.Renewal) (store.Lease, store.Clock, error) {
	return e.Store.Renew(ctx, e.key, r)
}

func (e elsewhere) Release(ctx context.Context, _ store.Key, fence store.Fence, version int64) error {
	return e.Store.Release(ctx, e.key, fence, version)
}

func (e elsewhere) Commit(ctx context.Context, _ store.Key, c store.Commit) (store.Clock, error) {
	return e.Store.Commit(ctx, e.key, c)
}

func (e elsewhere) Copy(ctx context.Context, _ store.Key, c store.Copy) error {
	return e.Store.Copy(ctx, e.key, c)
}

func (e elsewhere) KeepBase(ctx context.Context, _ store.Key, v store.Version) error {
	return e.Store.KeepBase(ctx, e.key, v)
}

func (e elsewhere) Version(ctx context.Context, _ store.Key, version int64) (store.Copy, error) {
	return e.Store.Version(ctx, e.key, version)
}
