package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/milepost-dev/milepost/store"
)

// PruneOptions say what [Prune] keeps. The zero value keeps what a session with default [Options] does.
type PruneOptions struct {
	Namespace string

	// RetainAge and RetainStarts are as in [Options]: a version stays if either keeps it. A negative RetainStarts keeps
	// none for that reason.
	RetainAge    time.Duration
	RetainStarts int

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
}

// PrunedVersion is one version that was removed.
type PrunedVersion struct {
	Version int64
	SavedAt time.Time
}

// Prune removes the versions of a checkpoint that are older than RetainAge, but for the newest, savepoints, and the
// versions that the newest RetainStarts sessions started from. The mirror keeps them; bodies that nothing points at any more
// are for [GC]. It takes no lease, and may run at any time beside anything. No such checkpoint is [store.ErrNotFound].
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
	done := &Pruned{Namespace: key.Namespace, Name: key.Name, Kept: 1}
	newest := r.newest()
	for c, err := range st.Versions(ctx, key, newest-1, max(r.head.Born, 1)) {
		if err != nil {
			return done, wrap("prune the versions of", key, err)
		}
		pruned := false
		if !r.retains(&c, keep) {
			if pruned, err = o.prune(ctx, r, &c); err != nil {
				return done, err
			}
		}
		switch {
		case pruned:
			done.Versions = append(done.Versions, PrunedVersion{Version: c.Version.Version, SavedAt: c.SavedAt})
		case r.shown(&c):
			done.Kept++
		}
		if o.Progress != nil {
			o.Progress(newest-c.Version.Version, newest-r.head.Born)
		}
	}
	return done, nil
}

// retains reports whether a copy stays. What is not mirrored yet does, where there is a mirror.
func (r *reader) retains(c *store.Copy, keep *Options) bool {
	starts := r.head.Starts[max(0, len(r.head.Starts)-keep.RetainStarts):]
	through := r.head.ArchivedThrough
	return c.Label != "" || c.SavedAt.Add(keep.RetainAge).After(r.now) || slices.Contains(starts, c.Version.Version) ||
		through > 0 && c.Version.Version > through
}

// prune removes a copy, and reports whether it did. It lets it expire first, for that spares one that was pinned meanwhile, and one that has expired
// cannot be pinned.
func (o *PruneOptions) prune(ctx context.Context, r *reader, c *store.Copy) (bool, error) {
	if o.DryRun {
		return true, nil
	}
	doing := fmt.Sprintf("prune version %d of", c.Version.Version)
	if !c.Expired(r.now) {
		expired := r.now.Truncate(time.Second)
		err := persist(ctx, editTimeout, func(ctx context.Context) error {
			return r.st.Amend(ctx, r.key, c.Version.Version, c.CommitID, store.Amendment{ExpiresAt: &expired, IfUnlabelled: true})
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
