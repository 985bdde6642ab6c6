package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// RestoreOptions say what [Restore] restores. The zero value is the newest version, into a store that has nothing of
// the checkpoint.
type RestoreOptions struct {
	// At restores the newest version that was saved at that time or before. Zero: the newest.
	At time.Time

	// Behind restores into a store that has the checkpoint and is behind the mirror, such as a table that was brought back
	// from a backup. Without it that is a [*RefusedError].
	Behind bool

	// Deleted brings back a checkpoint that was deleted, as of At. Without both that is a [*RefusedError].
	Deleted bool

	// Reason is kept on the version, for people.
	Reason string

	// DryRun changes nothing, takes no lease, and returns what would be.
	DryRun bool

	// Lease says who restores, and how long to wait for a lease that is held.
	Lease lease.Options

	// Progress is called as the work goes on, with how many versions were brought back of how many.
	Progress func(done, total int64)
}

// Restored is what [Restore] did. With DryRun After has neither CommitID nor epoch yet.
type Restored struct {
	Before *Checkpoint // what the store had; nil: nothing
	From   *Checkpoint // the version of the mirror whose content it now has
	After  *Checkpoint
	Copies int64 // older versions that were brought back into the store; the others are read from the archive
}

// Restore brings a checkpoint that the store has lost back from its mirror: it makes a version above all that
// were mirrored, with the content of the newest, as a commit under the lease and an epoch that is 1,000,000 above any seen,
// so that whoever worked on it before the loss is fenced. Where the store is not behind the mirror it is a [*RefusedError]; where there is no
// mirror, or no version as of At, [store.ErrNotFound]. A damaged newest version is [store.ErrBadRecord], and nothing older stands in
// for it: At chooses one. A restore that was interrupted is run again. Otherwise as [Rollback].
func (n Namespace) Restore(ctx context.Context, name string, opts *RestoreOptions) (*Restored, error) {
	var o RestoreOptions
	if opts != nil {
		o = *opts
	}
	one, err := n.named(name)
	if err == nil {
		err = one.mustArchive("restore")
	}
	if err != nil {
		return nil, err
	}
	one.Mirror = MirrorEvery // what it makes
	var planned *Restored
	made, err := one.leadOn(ctx, &EditOptions{Reason: o.Reason, Lease: o.Lease}, func(ctx context.Context, l *line) (plan leading, err error) {
		r := &restoring{line: l, o: &o}
		if planned, err = r.plan(ctx); err != nil || o.DryRun {
			return leading{}, err
		}
		return leading{content: r.content(), beside: r.copies}, nil
	}, o.DryRun)
	if err != nil || o.DryRun {
		return planned, err
	}
	planned.After = made
	return planned, nil
}

// restoring is one Restore under way.
type restoring struct {
	o    *RestoreOptions
	line *line

	from  store.Version   // the content to restore
	older []store.Version // of the same line, which go back into the store, newest first
}

// plan says what would be, on what mirror and store hold now.
func (r *restoring) plan(ctx context.Context) (*Restored, error) {
	l := r.line
	if err := r.allowed(); err != nil {
		return nil, err
	}
	target, err := r.target(ctx)
	if err != nil {
		return nil, err
	}
	r.from = *target
	planned := &Restored{}
	if planned.From, err = view(l.key, "mirror", target); err != nil {
		return nil, err
	}
	planned.From.Archived = true
	if h := l.records.Head; h != nil && h.Exists() {
		if planned.Before, err = viewHead(l.key, h); err != nil {
			return nil, err
		}
	}
	after := r.content()
	after.Number, after.SavedAt = l.next(), l.records.Clock.Time()
	if planned.After, err = view(l.key, "HEAD", &after); err != nil {
		return nil, err
	}
	if err := r.readOlder(ctx); err != nil {
		return nil, err
	}
	planned.Copies = int64(len(r.older))
	return planned, nil
}

const deletedHint = "it was deleted with that version: name a time before it, or let it rest"

// allowed refuses where nothing is lost, and where the store has an older version, unless that was expected.
func (r *restoring) allowed() error {
	newest, ok := archive.Newest(r.line.ids)
	if !ok {
		return fmt.Errorf("the mirror of checkpoint %s: %w", r.line.key, store.ErrNotFound)
	}
	h := r.line.records.Head
	if h == nil || h.Number == 0 {
		return nil
	}
	refused := &RefusedError{Key: r.line.key, What: "version in the store", Have: archive.IDOf(&h.Version).String()}
	switch {
	case archive.Compare(archive.IDOf(&h.Version), newest) >= 0 && h.Deleted:
		if r.o.Deleted && !r.o.At.IsZero() {
			return nil
		}
		refused.Hint = deletedHint
		return refused
	case archive.Compare(archive.IDOf(&h.Version), newest) >= 0:
		refused.Hint = fmt.Sprintf("the newest in the mirror is %v, so nothing is lost: rollback goes back to an older version", newest)
		return refused
	case !r.o.Behind:
		refused.Hint = fmt.Sprintf("the newest in the mirror is %v: restore over it only if the store was brought back from a backup", newest)
		return refused
	}
	return nil
}

// target is the version whose content is restored.
func (r *restoring) target(ctx context.Context) (*store.Version, error) {
	l := r.line
	id, _ := archive.Newest(l.ids)
	if !r.o.At.IsZero() {
		ids := archive.Counting(l.ids)
		n, err := savedUntil(ids, r.o.At, func(id archive.ID) (time.Time, error) {
			v, err := l.version(ctx, id)
			if err != nil {
				return time.Time{}, err
			}
			return v.SavedAt, nil
		})
		switch {
		case err != nil:
			return nil, err
		case n == 0:
			return nil, fmt.Errorf("a version of checkpoint %s in the mirror as of %s: %w", l.key, r.o.At.UTC().Format(time.RFC3339), store.ErrNotFound)
		}
		id = ids[n-1]
	}
	v, err := l.version(ctx, id)
	if err == nil && v.Deleted {
		return nil, &RefusedError{Key: l.key, What: "mirror", Have: id.String(),
			Hint: deletedHint}
	}
	return v, err
}

func (r *restoring) content() store.Version {
	v := r.from
	return store.Version{
		Content: v.Content, RestoredFrom: v.Number, Reason: r.o.Reason, Ended: store.EndedDone,
		Born: v.Born, Starts: append(slices.Clone(v.Starts), v.Number),
	}
}

// readOlder reads the versions that the store would still hold, but for the loss.
func (r *restoring) readOlder(ctx context.Context) error {
	now := r.line.records.Clock.Time()
	starts := r.content().Starts
	old := false // those before were saved earlier
	for _, id := range slices.Backward(archive.Counting(r.line.ids)) {
		if id.Version < r.from.Born || old && !slices.Contains(starts, id.Version) {
			continue
		}
		v, err := r.line.version(ctx, id)
		switch {
		case errors.Is(err, store.ErrBadRecord): // verify names it, and what reads it later says so
			continue
		case err != nil:
			return err
		}
		old = old || !v.SavedAt.Add(r.line.RetainAge).After(now)
		if !v.Deleted && (!old || slices.Contains(starts, v.Number)) {
			r.older = append(r.older, *v)
		}
	}
	return nil
}

// copies puts the older versions back into the store. One that is there is left alone.
func (r *restoring) copies(ctx context.Context) error {
	starts := r.content().Starts
	for i, v := range r.older {
		c := store.Copy{Version: v}
		if !slices.Contains(starts, v.Number) {
			c.ExpiresAt = v.SavedAt.Add(r.line.RetainAge).Truncate(time.Second)
		}
		err := persist(ctx, editTimeout, func(ctx context.Context) error { return r.line.Store.Copy(ctx, r.line.key, c) })
		if _, conflict := errors.AsType[*store.ConflictError](err); err != nil && !conflict {
			return wrap(fmt.Sprintf("bring back version %d of", v.Number), r.line.key, err)
		}
		if r.o.Progress != nil {
			r.o.Progress(int64(i+1), int64(len(r.older)))
		}
	}
	return nil
}
