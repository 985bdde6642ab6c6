package checkpoint

import (
	"context"
	"errors"

	"github.com/milepost-dev/milepost/store"
)

// Delete deletes the checkpoint, under the lease: a version that says so is committed, then all
// older versions are removed, savepoints too, and then the name leaves the listings. Epoch and version go on from there, so
// that no late write of an old holder can bring anything back. Where the store has gone backward, it leads
// on from there. A deletion that was interrupted is finished by calling it again, or by [FinishDelete].
// Otherwise as [Rollback].
func Delete(ctx context.Context, st store.Store, name string, opts *EditOptions) (*Edit, error) {
	o := opts.filled()
	o.Lease.AcceptRegression = true
	key := store.Key{Namespace: o.Namespace, Name: name}
	if err := key.Validate(); err != nil {
		return nil, err
	}
	found, err := st.Look(ctx, key)
	if err != nil {
		return nil, wrap("read", key, err)
	}
	if h := found.Head; h != nil && h.Deleted && h.Listed {
		if err := o.condition(newReader(st, key, found)); err != nil || o.DryRun {
			return &Edit{}, err
		}
		_, err := finishDelete(ctx, st, key, found)
		return &Edit{}, err
	}
	e, err := edit(ctx, st, name, o, func(_ context.Context, r *reader) (store.Version, error) {
		if r.regressed() {
			return store.Version{Deleted: true}, nil
		}
		return store.Version{Deleted: true}, r.exists()
	})
	if err != nil || o.DryRun {
		return e, err
	}
	_, err = FinishDelete(ctx, st, name, &EditOptions{Namespace: o.Namespace})
	return e, err
}

// FinishDelete removes what a deletion that was interrupted has left of a checkpoint's former lives, and takes
// a deleted one out of the listings. It takes no lease, may run at any time, beside anything, and returns how many versions it
// removed. On a checkpoint that was never deleted it does nothing.
func FinishDelete(ctx context.Context, st store.Store, name string, opts *EditOptions) (removed int, err error) {
	key := store.Key{Namespace: opts.filled().Namespace, Name: name}
	if err := key.Validate(); err != nil {
		return 0, err
	}
	found, err := st.Look(ctx, key)
	if err != nil {
		return 0, wrap("read", key, err)
	}
	return finishDelete(ctx, st, key, found)
}

func finishDelete(ctx context.Context, st store.Store, key store.Key, found store.Records) (removed int, err error) {
	h := found.Head
	if h == nil || h.Version.Version == 0 {
		return 0, nil
	}
	// The tombstone's own copy stays until it expires: what became of its commit is read from it.
	from := h.Born - 2
	if h.Deleted {
		from = h.Version.Version
		if l := found.Lease; l != nil {
			from = max(from, l.Version)
		}
	}
	if from < 1 {
		return 0, nil
	}
	for c, err := range st.Versions(ctx, key, from, 1) {
		if err != nil {
			return removed, wrap("delete the versions of", key, err)
		}
		// Above the tombstone there may be a line that the store has lost, or the next life.
		if h.Deleted && c.Version.Version >= h.Version.Version && c.CommitEpoch >= h.CommitEpoch {
			continue
		}
		if err := remove(ctx, st, key, c); err != nil {
			return removed, wrap("delete the versions of", key, err)
		}
		removed++
	}
	if !h.Deleted || !h.Listed {
		return removed, nil
	}
	err = persist(ctx, editTimeout, func(ctx context.Context) error { return st.Unlist(ctx, key, h.CommitID) })
	if _, conflict := errors.AsType[*store.ConflictError](err); err != nil && !conflict { // else the next life has begun
		return removed, wrap("unlist", key, err)
	}
	return removed, nil
}

// remove removes a copy; one that was replaced meanwhile is left alone.
func remove(ctx context.Context, st store.Store, key store.Key, c store.Copy) error {
	err := persist(ctx, editTimeout, func(ctx context.Context) error {
		return st.Remove(ctx, key, c.Version.Version, c.CommitID)
	})
	if _, conflict := errors.AsType[*store.ConflictError](err); conflict {
		return nil
	}
	return err
}
