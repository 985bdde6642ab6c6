package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// PruneOptions say what [Prune] keeps. The zero value keeps what a session with default [Options] does.
type PruneOptions struct {
	Namespace string

	// RetainAge and RetainStarts are as in [Options]: a version stays if either keeps it. A negative RetainStarts keeps
	// none for that reason.
	RetainAge    time.Duration
	RetainStarts int

	// Archive is where the history is to go on: a version stays until it is mirrored there, if Mirror, as in [Options], says that it
	// will be. Nil, or MirrorOff: what is newer than HEAD says was mirrored stays, if it says so of any.
	Archive archive.Archive
	Mirror  MirrorPolicy

	// DryRun removes nothing, and returns what would be.
	DryRun bool

	// Progress is called as the work goes on, with how many versions were looked at of how many.
	Progress func(done, total int64)
}

// Pruned is what [Prune] removed, or with DryRun would.
type Pruned struct {
	Namespace, Name string
	Versions        []PrunedVersion // newest first
	Kept            int64           // versions that stay, the newest among them
	Unmirrored      int64           // of those, such as stay only until they are mirrored: see [Sync]
}

// PrunedVersion is one version that was removed.
type PrunedVersion struct {
	Version int64
	SavedAt time.Time
}

// Prune removes the versions of a checkpoint that are older than RetainAge, but for the newest, savepoints, and the
// versions that the newest RetainStarts sessions started from, and such as are not mirrored yet. The mirror keeps them; bodies that nothing
// points at any more are for [GC]. It takes no lease, and may run at any time beside anything. One whose record cannot be
// trusted stays, and is an error that matches [store.ErrBadRecord] once all others are done. No such checkpoint is [store.ErrNotFound].
func Prune(ctx context.Context, st store.Store, name string, opts *PruneOptions) (*Pruned, error) {
	var o PruneOptions
	if opts != nil {
		o = *opts
	}
	key, err := keyOf(o.Namespace, name)
	if err != nil {
		return nil, err
	}
	keep, err := (&Options{RetainAge: o.RetainAge, RetainStarts: max(o.RetainStarts, 0)}).filled()
	if err != nil {
		return nil, err
	}
	r, err := look(ctx, st, key, nil)
	if err != nil {
		return nil, err
	}
	if o.RetainStarts < 0 {
		keep.RetainStarts = 0
	}
	mirror, err := o.mirror(ctx, r)
	if err != nil {
		return nil, err
	}
	done := &Pruned{Namespace: key.Namespace, Name: key.Name, Kept: 1}
	newest := r.newest()
	above := r.head.Version
	var left error
	for c, err := range copies(ctx, st, key, newest-1, max(r.head.Born, 1)) {
		if err != nil {
			left = errors.Join(left, wrap("prune the versions of", key, err))
			continue
		}
		pruned, unmirrored := false, false
		if !r.retains(&c, keep) {
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
			done.Versions = append(done.Versions, PrunedVersion{Version: c.Number, SavedAt: c.SavedAt})
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
func (r *reader) retains(c *store.Copy, keep *Options) bool {
	starts := r.head.Starts[max(0, len(r.head.Starts)-keep.RetainStarts):]
	return c.Label != "" || c.SavedAt.Add(keep.RetainAge).After(r.now) || slices.Contains(starts, c.Number)
}

// prunedMirror is what a Prune knows of the mirror.
type prunedMirror struct {
	have    map[archive.ID]bool // nil: it was not asked
	policy  MirrorPolicy
	through int64 // up to where HEAD says that all is mirrored; 0: it says nothing
}

func (o *PruneOptions) mirror(ctx context.Context, r *reader) (*prunedMirror, error) {
	m := &prunedMirror{policy: o.Mirror, through: r.head.ArchivedThrough}
	if o.Archive == nil || o.Mirror == MirrorOff {
		return m, nil
	}
	ids, err := archive.IDs(ctx, o.Archive, r.key)
	if err != nil {
		return nil, wrap("list the mirror of", r.key, err)
	}
	m.have = make(map[archive.ID]bool, len(ids))
	for _, id := range ids {
		m.have[id] = true
	}
	return m, nil
}

// awaits reports whether a version is to be mirrored, and is not yet. What HEAD says is not asked where the mirror was: sync does not tell it, nor
// does who takes an object away.
func (m *prunedMirror) awaits(v *store.Version, last bool) bool {
	if m.have == nil {
		return m.through > 0 && v.Number > m.through
	}
	return (m.policy == MirrorEvery || last) && !m.have[archive.IDOf(v)]
}

// prune removes a copy, and reports whether it did. It lets it expire first, for that spares one that was pinned meanwhile, and one that has expired
// cannot be pinned.
func (o *PruneOptions) prune(ctx context.Context, r *reader, c *store.Copy) (bool, error) {
	if o.DryRun {
		return true, nil
	}
	doing := fmt.Sprintf("prune version %d of", c.Number)
	if !c.Expired(r.now) {
		expired := r.now.Truncate(time.Second)
		err := persist(ctx, editTimeout, func(ctx context.Context) error {
			return r.st.Amend(ctx, r.key, c.Number, c.CommitID, store.Amendment{ExpiresAt: &expired, IfUnlabelled: true})
		})
		if _, changed := errors.AsType[*store.ConflictError](err); changed {
			return false, nil // pinned, replaced or gone
		}
		if err != nil {
			return false, wrap(doing, r.key, err)
		}
	}
	if err := remove(ctx, r.st, r.key, *c); err != nil {
		return false, wrap(doing, r.key, err)
	}
	return true, nil
}
