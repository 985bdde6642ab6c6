package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// PruneResult is what [Namespace.Prune] removed, or would remove without DryRun.
type PruneResult struct {
	Versions   []store.Version // newest first, without their states
	Kept       int64           // versions that stay, including the newest
	Unmirrored int64           // how many of Kept stay only until they are mirrored; see [Namespace.Sync]
}

// Prune removes the versions of a checkpoint that are older than RetainAge. These stay: the newest
// version, savepoints, the versions that the newest RetainStarts sessions started from, and
// versions that are not mirrored yet. The mirror keeps what Prune removes; [Namespace.GC] removes
// bodies that no version points at any more. Prune takes no lease, and may run at any time next to
// anything. A damaged version stays, and is an error that matches [store.ErrBadRecord] once all
// others are done. If there is no such checkpoint, the error is [store.ErrNotFound].
//
// A negative RetainStarts keeps no version because a session started from it. With an Archive, a
// version stays until it is mirrored there, if Mirror says that it will be. Without an Archive, or
// with MirrorOff, HEAD decides: if HEAD says which version the mirror has reached, newer versions
// stay.
func (n Namespace) Prune(ctx context.Context, name string, opts *UpkeepOptions) (*PruneResult, error) {
	var o UpkeepOptions
	if opts != nil {
		o = *opts
	}
	starts := n.RetainStarts
	n.RetainStarts = max(starts, 0)
	one, err := n.named(name)
	if err != nil {
		return nil, err
	}
	if starts < 0 {
		one.RetainStarts = 0
	}
	r, err := one.existing(ctx)
	if err != nil {
		return nil, err
	}
	mirror, err := r.prunedMirror(ctx)
	if err != nil {
		return nil, err
	}
	done := &PruneResult{Kept: 1}
	newest := r.newest()
	above := r.head.Version
	var left error
	for c, err := range one.copies(ctx, newest-1, max(r.head.Born, 1)) {
		if err != nil {
			left = errors.Join(left, wrap("prune the versions of", one.key, err))
			continue
		}
		pruned, unmirrored := false, false
		if !r.retains(&c) {
			last := above.Number != c.Number+1 || above.CommitEpoch != c.CommitEpoch
			if unmirrored = mirror.awaits(&c.Version, last); !unmirrored {
				if pruned, err = o.prune(ctx, r, &c); err != nil {
					return done, err
				}
			}
		}
		above = c.Version
		switch {
		case pruned:
			c.State = nil
			done.Versions = append(done.Versions, c.Version)
		case r.shown(&c):
			done.Kept++
			if unmirrored {
				done.Unmirrored++
			}
		}
		if o.Progress != nil {
			o.Progress(newest-c.Number, newest-r.head.Born)
		}
	}
	return done, left
}

// retains reports whether a copy stays, mirrored or not.
func (r *reader) retains(c *store.Copy) bool {
	starts := r.head.Starts[max(0, len(r.head.Starts)-r.RetainStarts):]
	return c.Label != "" || c.SavedAt.Add(r.RetainAge).After(r.now) || slices.Contains(starts, c.Number)
}

// prunedMirror is what a Prune knows of the mirror.
type prunedMirror struct {
	have    map[archive.ID]bool // nil: the mirror was not listed
	policy  MirrorPolicy
	through int64 // HEAD says that all versions up to this one are mirrored; 0: it says nothing
}

func (r *reader) prunedMirror(ctx context.Context) (*prunedMirror, error) {
	m := &prunedMirror{policy: r.Mirror, through: r.head.ArchivedThrough}
	if r.Archive == nil || r.Mirror == MirrorOff {
		return m, nil
	}
	ids, err := archive.IDs(ctx, r.Archive, r.key)
	if err != nil {
		return nil, wrap("list the mirror of", r.key, err)
	}
	m.have = make(map[archive.ID]bool, len(ids))
	for _, id := range ids {
		m.have[id] = true
	}
	return m, nil
}

// awaits reports whether a version is to be mirrored and is not mirrored yet. If the mirror was
// listed, the list decides, and not HEAD: HEAD does not show what Sync has mirrored, or an object
// that was removed.
func (m *prunedMirror) awaits(v *store.Version, last bool) bool {
	if m.have == nil {
		return m.through > 0 && v.Number > m.through
	}
	return (m.policy == MirrorEvery || last) && !m.have[archive.IDOf(v)]
}

// prune removes a copy, and reports whether it did: not if the copy was pinned, kept or replaced
// meanwhile.
func (o *UpkeepOptions) prune(ctx context.Context, r *reader, c *store.Copy) (bool, error) {
	if o.DryRun {
		return true, nil
	}
	removed, err := r.remove(ctx, *c, func(now *store.Copy) bool { return now.Label == "" && (c.Kept || !now.Kept) })
	if err != nil {
		return false, wrap(fmt.Sprintf("prune version %d of", c.Number), r.key, err)
	}
	return removed, nil
}
