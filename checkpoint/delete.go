package checkpoint

import (
	"context"
	"errors"
	"fmt"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// Delete deletes the checkpoint, under the lease: a version that says so is committed, then all
// older versions are removed, savepoints too, with the bodies in EditOptions.Archive that the mirror does not hold, and then the name leaves
// the listings. A version whose record cannot be trusted stays, with the bodies that it may have, and is an error that
// matches [store.ErrBadRecord], after all else is done: [GC] goes on when a hand has removed the record. Epoch and version go on from there, so that no late write of an old holder can bring anything back. The mirror stays,
// unless EditOptions.Purge says otherwise. What is expected of it goes. Where the store has gone backward, it leads on from there. A deletion that was interrupted is finished by
// calling it again, or by [FinishDelete] or [GC]. Otherwise as [Rollback].
func Delete(ctx context.Context, st store.Store, name string, opts *EditOptions) (*Edit, error) {
	o := opts.filled()
	o.Lease.AcceptRegression = true
	if o.Purge {
		if o.Archive == nil {
			return nil, fmt.Errorf("purge checkpoint %q: no archive is named", name)
		}
		o.Mirror = MirrorOff
	}
	key, err := keyOf(o.Namespace, name)
	if err != nil {
		return nil, err
	}
	found, err := st.Look(ctx, key)
	if err != nil {
		return nil, wrap("read", key, err)
	}
	e := &Edit{}
	if h := found.Head; h != nil && h.Deleted && (h.Listed || o.Purge) { // what is left to do takes no lease
		if err := o.condition(newReader(st, o.Archive, key, found)); err != nil {
			return e, err
		}
	} else {
		e, err = edit(ctx, st, name, o, func(_ context.Context, r *reader) (store.Version, error) {
			if r.regressed() {
				return store.Version{Deleted: true}, nil
			}
			return store.Version{Deleted: true}, r.exists()
		})
		if err != nil {
			return e, err
		}
	}
	if o.Purge && o.DryRun {
		e.Purged, err = countPurge(ctx, o.Archive, key)
	}
	if err != nil || o.DryRun {
		return e, err
	}
	if found, err = st.Look(ctx, key); err != nil {
		return e, wrap("read", key, err)
	}
	if o.Purge {
		e.Purged = &Purged{}
	}
	_, err = finishDelete(ctx, st, o.Archive, key, found, e.Purged)
	return e, err
}

// FinishDelete removes what a deletion that was interrupted has left of a checkpoint's former lives, and takes
// a deleted one out of the listings. It takes no lease, may run at any time, beside anything, and returns how many versions it
// removed. On a checkpoint that was never deleted it does nothing.
func FinishDelete(ctx context.Context, st store.Store, name string, opts *EditOptions) (removed int, err error) {
	o := opts.filled()
	key, err := keyOf(o.Namespace, name)
	if err != nil {
		return 0, err
	}
	found, err := st.Look(ctx, key)
	if err != nil {
		return 0, wrap("read", key, err)
	}
	return finishDelete(ctx, st, o.Archive, key, found, nil)
}

// finishDelete removes versions, what purged counts if it is not nil, bodies, what is expected, and last the name from the index.
func finishDelete(ctx context.Context, st store.Store, a archive.Archive, key store.Key, found store.Records, purged *Purged) (removed int, err error) {
	removed, left, err := removeFormer(ctx, st, key, found)
	h := found.Head
	if err != nil || h == nil || !h.Deleted {
		return removed, errors.Join(err, left)
	}
	if purged != nil {
		if err := purgeMirror(ctx, a, key, h, purged); err != nil {
			return removed, err
		}
	}
	if a != nil {
		done := &Collected{}
		if left, err = leaving(left, collect(ctx, st, a, key, &GCOptions{}, done)); err != nil {
			return removed, errors.Join(err, left)
		}
		purged.count(done.Bodies)
	}
	return removed, errors.Join(unlist(ctx, st, key, found), left)
}

// leaving adds err to what is left if it says that a record cannot be trusted: of such a copy it is not known whether it has a body.
func leaving(left, err error) (_, other error) {
	if errors.Is(err, store.ErrBadRecord) {
		return errors.Join(left, err), nil
	}
	return left, err
}

// removeFormer removes the versions of former lives. left says which it has not, since their records cannot be trusted.
func removeFormer(ctx context.Context, st store.Store, key store.Key, found store.Records) (removed int, left, err error) {
	h := found.Head
	if h == nil || h.Number == 0 {
		return 0, nil, nil
	}
	// The tombstone's own copy stays until it expires: what became of its commit is read from it.
	from := h.Born - 2
	if h.Deleted {
		from = h.Number
		if l := found.Lease; l != nil {
			from = max(from, l.Version)
		}
	}
	for c, err := range copies(ctx, st, key, from, 1) {
		v := c.Number
		if err != nil && v == 0 {
			return removed, left, wrap("delete the versions of", key, err)
		}
		// Above the tombstone there may be a line that the store has lost, or the next life.
		if h.Deleted && v >= h.Number && (err != nil || c.CommitEpoch >= h.CommitEpoch) {
			continue
		}
		if err != nil {
			err = fmt.Errorf("%w; it stays, for a hand to remove, and all others go", err)
			left = errors.Join(left, wrap(fmt.Sprintf("delete version %d of", v), key, err))
			continue
		}
		if err := remove(ctx, st, key, c); err != nil {
			return removed, left, wrap("delete the versions of", key, err)
		}
		removed++
	}
	return removed, left, nil
}

// unlist takes a deleted checkpoint out of the index, and before that what is expected of it: later that is the next life's.
func unlist(ctx context.Context, st store.Store, key store.Key, found store.Records) error {
	h := found.Head
	if h == nil || !h.Deleted || !h.Listed {
		return nil
	}
	if found.Expect != nil {
		if err := persist(ctx, editTimeout, func(ctx context.Context) error { return st.Expect(ctx, key, nil) }); err != nil {
			return wrap("delete what is expected of", key, err)
		}
	}
	err := persist(ctx, editTimeout, func(ctx context.Context) error { return st.Unlist(ctx, key, h.CommitID) })
	if _, conflict := errors.AsType[*store.ConflictError](err); err != nil && !conflict { // else the next life has begun
		return wrap("unlist", key, err)
	}
	return nil
}

// remove removes a copy; one that was replaced meanwhile is left alone.
func remove(ctx context.Context, st store.Store, key store.Key, c store.Copy) error {
	err := persist(ctx, editTimeout, func(ctx context.Context) error {
		return st.Remove(ctx, key, c.Number, c.CommitID)
	})
	if _, conflict := errors.AsType[*store.ConflictError](err); conflict {
		return nil
	}
	return err
}
