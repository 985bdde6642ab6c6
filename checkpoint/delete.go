package checkpoint

import (
	"context"
	"errors"
	"fmt"

	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// Delete deletes the checkpoint under the lease. It commits a tombstone version. Then it removes
// all older versions, including savepoints, their bodies that the mirror does not hold, and the
// expectation. Last, the name leaves the listings. Epochs and versions continue from there, so that
// no late write of an old holder can bring anything back. The mirror stays, unless
// EditOptions.Purge is set. If the store has gone backward, Delete leads on from there.
//
// A version whose record is damaged stays, and so do the bodies that it may have. That is an error
// that matches [store.ErrBadRecord], returned after everything else is done. Remove the record by
// hand, then run [Namespace.GC]. To finish a deletion that was interrupted, call Delete again, or
// GC. Otherwise it is like [Namespace.Rollback].
func (n Namespace) Delete(ctx context.Context, name string, opts *EditOptions) (*EditResult, error) {
	o := opts.filled()
	o.Lease.AcceptRegression = true
	one, err := n.named(name)
	if err != nil {
		return nil, err
	}
	if o.Purge {
		if err := one.mustArchive("purge"); err != nil {
			return nil, err
		}
		one.Mirror = MirrorOff
	}
	found, err := one.look(ctx)
	if err != nil {
		return nil, err
	}
	e := &EditResult{}
	former := formerExpectation(found)
	if h := found.Head; h != nil && h.Deleted && (h.Listed || o.Purge) { // the rest needs no lease
		if err := o.condition(one.reader(found)); err != nil {
			return e, err
		}
	} else {
		e, err = one.edit(ctx, o, func(_ context.Context, r *reader) (store.Version, error) {
			former = r.expect
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
		e.Purged, err = one.countPurge(ctx)
	}
	if err != nil || o.DryRun {
		return e, err
	}
	if found, err = one.look(ctx); err != nil {
		return e, err
	}
	if o.Purge {
		e.Purged = &PurgeResult{}
	}
	_, err = one.finishDelete(ctx, found, former, e.Purged)
	return e, err
}

// finishDelete removes the older versions, the mirror if purged is not nil, the bodies and the
// expectation. Last, it removes the name from the index.
func (n named) finishDelete(ctx context.Context, found store.Records, former *store.Expectation, purged *PurgeResult) (removed int, err error) {
	removed, left, err := n.removeFormer(ctx, found)
	h := found.Head
	if err != nil || h == nil || !h.Deleted {
		return removed, errors.Join(err, left)
	}
	if purged != nil {
		if err := n.purgeMirror(ctx, h, purged); err != nil {
			return removed, err
		}
	}
	if n.Archive != nil {
		done := &GCResult{}
		err := n.collect(ctx, &UpkeepOptions{AllHomes: purged != nil}, done) // a restored version has its body from the store before
		if errors.Is(err, lease.ErrStoreRegressed) {                         // the deletion led on from there; the bodies stay
			err = nil
		}
		if left, err = leaving(left, err); err != nil {
			return removed, errors.Join(err, left)
		}
		purged.count(done.Bodies)
	}
	return removed, errors.Join(n.unlist(ctx, found, former), left)
}

// leaving adds err to left if err is a damaged record, since a damaged copy may have a body. It
// returns any other error as other.
func leaving(left, err error) (_, other error) {
	if errors.Is(err, store.ErrBadRecord) {
		return errors.Join(left, err), nil
	}
	return left, err
}

// removeFormer removes the versions of former lives. left names the versions that it did not remove
// because their records are damaged.
func (n named) removeFormer(ctx context.Context, found store.Records) (removed int, left, err error) {
	h := found.Head
	if h == nil || h.Number == 0 {
		return 0, nil, nil
	}
	// The tombstone's copy stays until it expires, because it shows the outcome of its commit.
	from := h.Born - 2
	if h.Deleted {
		from = h.Number
		if l := found.Lease; l != nil {
			from = max(from, l.Version)
		}
	}
	for c, err := range n.copies(ctx, from, 1) {
		v := c.Number
		if err != nil && v == 0 {
			return removed, left, wrap("delete the versions of", n.key, err)
		}
		// Above the tombstone there may be a line that the store has lost, or the next life.
		if h.Deleted && v >= h.Number && (err != nil || c.CommitEpoch >= h.CommitEpoch) {
			continue
		}
		if err != nil {
			err = fmt.Errorf("%w; it stays, for a hand to remove, and all others go", err)
			left = errors.Join(left, wrap(fmt.Sprintf("delete version %d of", v), n.key, err))
			continue
		}
		gone, err := n.remove(ctx, c, func(*store.Copy) bool { return true })
		if err != nil {
			return removed, left, wrap("delete the versions of", n.key, err)
		}
		if gone {
			removed++
		}
	}
	return removed, left, nil
}

// unlist removes the expectation of a deleted checkpoint, and then its name from the index. In the
// other order, an expectation could stay that no listing shows as deleted. It leaves an expectation
// of the next life alone.
func (n named) unlist(ctx context.Context, found store.Records, former *store.Expectation) error {
	h := found.Head
	if h == nil || !h.Deleted || !h.Listed {
		return nil
	}
	if former != nil {
		err := persistEdit(ctx, func(ctx context.Context) error { return n.Store.Expect(ctx, n.key, former, nil) })
		if err := unlessConflict(err); err != nil {
			return wrap("delete what is expected of", n.key, err)
		}
	}
	err := persistEdit(ctx, func(ctx context.Context) error { return n.Store.Unlist(ctx, n.key, h.CommitID) })
	if err := unlessConflict(err); err != nil { // a conflict: the next life has begun
		return wrap("unlist", n.key, err)
	}
	return nil
}

// remove removes a copy, and reports whether it did: not if the copy was replaced meanwhile, or if
// the copy was changed and should, which is called with it as it is now, says no.
func (n named) remove(ctx context.Context, c store.Copy, should func(now *store.Copy) bool) (bool, error) {
	for {
		err := persistEdit(ctx, func(ctx context.Context) error { return n.Store.Remove(ctx, n.key, c) })
		conflict, changed := errors.AsType[*store.ConflictError](err)
		if !changed {
			return err == nil, err
		}
		now := conflict.Copy
		if now == nil || now.CommitID != c.CommitID || !should(now) {
			return false, nil
		}
		c = *now
	}
}

// unlessConflict returns err, or nil if err is a [*store.ConflictError].
func unlessConflict(err error) error {
	if _, conflict := errors.AsType[*store.ConflictError](err); conflict {
		return nil
	}
	return err
}
