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

// RestoreOptions say what [Namespace.Restore] restores. The zero value restores the newest version,
// into a store that has nothing of the checkpoint.
type RestoreOptions struct {
	// At restores the newest version that was saved at that time or before. Zero: the newest.
	At time.Time

	// Behind restores into a store that has the checkpoint and is behind the mirror, such as a
	// table that came from a backup. Without it that is a [*RefusedError].
	Behind bool

	// KeepStore goes on from the store's own version, on purpose, though the mirror has a later one
	// that is not in the store's history: it makes a version above both, with the content of the
	// store's. It excludes At, Behind and Deleted.
	KeepStore bool

	// IfVersion makes the change only if the store is at this version. With Behind it also gives up
	// that version if the mirror does not have it. 0: any version that the mirror has. Otherwise the
	// error is a [*VersionConflictError].
	IfVersion int64

	// Deleted brings back a checkpoint that was deleted, as of At. Without both, a deleted
	// checkpoint is a [*RefusedError].
	Deleted bool

	// Reason is kept on the version, for people.
	Reason string

	// DryRun changes nothing, takes no lease, and returns what a restore would do.
	DryRun bool

	// Lease says who restores, and how long to wait for a lease that is held.
	Lease lease.Options

	// Progress is called during the work, with how many of how many older versions are restored.
	Progress func(done, total int64)
}

// RestoreResult is what [Namespace.Restore] did. With DryRun, After has no CommitID and no epoch.
type RestoreResult struct {
	EditResult // Before: what the store had; nil: nothing

	From   *Checkpoint // the version of the mirror whose content was restored
	Copies int64       // how many older versions are in the store again; the archive has the others
}

// Restore brings a checkpoint that the store has lost back from its mirror. It makes a version
// above all that were mirrored, with the content of the newest. That is a commit under the lease
// and under an epoch 1,000,000 above any seen, so that every process that worked on the checkpoint
// before the loss is fenced.
//
// If the store is not behind the mirror, the error is a [*RefusedError]. If there is no mirror, or
// no version as of At, it is [store.ErrNotFound]. A damaged newest version is [store.ErrBadRecord]:
// Restore never takes an older version instead, but At can choose one. If a restore was
// interrupted, run it again. In all else it is like [Namespace.Rollback].
func (n Namespace) Restore(ctx context.Context, name string, opts *RestoreOptions) (*RestoreResult, error) {
	var o RestoreOptions
	if opts != nil {
		o = *opts
	}
	one, err := n.named(name)
	if err == nil {
		err = one.mustArchive("restore")
	}
	if err == nil && o.KeepStore && (o.Behind || o.Deleted || !o.At.IsZero()) {
		err = wrap("restore", one.key, errors.New("KeepStore goes on from what the store has: neither Behind, At nor Deleted goes with it"))
	}
	if err != nil {
		return nil, err
	}
	one.Mirror = MirrorEvery // the version that it makes is mirrored
	var planned *RestoreResult
	edit := &EditOptions{Reason: o.Reason, Lease: o.Lease}
	made, err := one.leadOn(ctx, edit, func(ctx context.Context, t *traces) (plan leading, err error) {
		r := &restoring{traces: t, o: &o}
		if planned, err = r.plan(ctx); err != nil || o.DryRun {
			return leading{}, err
		}
		return leading{content: r.content(), before: r.copies}, nil
	}, o.DryRun)
	if err != nil || o.DryRun {
		return planned, err
	}
	planned.After = made
	return planned, nil
}

// restoring is one Restore under way.
type restoring struct {
	o *RestoreOptions
	*traces

	from  store.Version   // the content to restore
	older []store.Version // earlier versions that go back into the store, newest first
}

// plan returns what a restore would do now.
func (r *restoring) plan(ctx context.Context) (*RestoreResult, error) {
	t := r.traces
	if err := r.allowed(ctx); err != nil {
		return nil, err
	}
	target, err := r.target(ctx)
	if err != nil {
		return nil, err
	}
	r.from = *target
	planned := &RestoreResult{}
	if planned.From, err = view(t.key, "mirror", target); err != nil {
		return nil, err
	}
	planned.From.Archived = !r.o.KeepStore
	if h := t.records.Head; h != nil && h.Exists() {
		if planned.Before, err = viewHead(t.key, h); err != nil {
			return nil, err
		}
	}
	after := r.content()
	after.Number, after.SavedAt = t.next(), t.records.Clock.Time()
	if planned.After, err = view(t.key, "HEAD", &after); err != nil {
		return nil, err
	}
	if err := r.readOlder(ctx); err != nil {
		return nil, err
	}
	planned.Copies = int64(len(r.older))
	return planned, nil
}

// RefusedHistory is the What of a [RefusedError] where store and mirror have two histories.
const RefusedHistory = "history"

const deletedHint = "it was deleted with that version: name a time before it to bring it back"

// allowed refuses a restore if nothing is lost, or if the store has an older version and Behind is
// not set.
func (r *restoring) allowed(ctx context.Context) error {
	newest, ok := archive.Newest(r.ids)
	if !ok {
		return fmt.Errorf("the mirror of checkpoint %s: %w", r.key, store.ErrNotFound)
	}
	h := r.records.Head
	if h == nil || h.Number == 0 {
		if r.o.KeepStore {
			return fmt.Errorf("checkpoint %s in the store: %w", r.key, store.ErrNotFound)
		}
		return nil
	}
	have := archive.IDOf(&h.Version)
	if r.o.IfVersion != 0 && r.o.IfVersion != h.Number {
		return &VersionConflictError{Key: r.key, Want: r.o.IfVersion, Have: h.Number}
	}
	refused := &RefusedError{Key: r.key, What: "version in the store", Have: have.String()}
	second, err := r.secondHistory(ctx, newest)
	if err != nil {
		return err
	}
	switch {
	case r.o.KeepStore:
		return nil
	case second && r.o.IfVersion == 0:
		refused.What = RefusedHistory
		refused.Hint = fmt.Sprintf("the mirror does not have it and has %v: these are two histories. "+
			"To bring back the mirror's and give up the store's: --behind --if-version %d. "+
			"To go on from the store's: --keep-store", newest, h.Number)
		return refused
	case second && r.o.Behind:
		return nil
	case archive.Compare(archive.IDOf(&h.Version), newest) >= 0 && h.Deleted:
		if r.o.Deleted && !r.o.At.IsZero() {
			return nil
		}
		refused.Hint = deletedHint
		return refused
	case archive.Compare(archive.IDOf(&h.Version), newest) >= 0:
		refused.Hint = fmt.Sprintf("the newest in the mirror is %v, so nothing is lost: "+
			"rollback goes back to an older version", newest)
		return refused
	case !r.o.Behind:
		refused.Hint = fmt.Sprintf("the newest in the mirror is %v: "+
			"restore over it only if the store came from a backup", newest)
		return refused
	}
	return nil
}

// secondHistory reports whether HEAD leads on from another version than the mirror's newest: the
// mirror does not have HEAD, and the store does not have the mirror's newest.
func (r *restoring) secondHistory(ctx context.Context, newest archive.ID) (bool, error) {
	h := r.records.Head
	have := archive.IDOf(&h.Version)
	switch {
	case h.Deleted, slices.Contains(r.ids, have):
		return false, nil
	case newest.Version >= have.Version:
		same, err := r.sameSession(ctx, h)
		return !same, err
	}
	c, err := r.Store.Version(ctx, r.key, newest.Version)
	if err != nil { // where nothing tells, HEAD is ahead of its mirror
		return false, unlessAny(err, store.ErrNotFound, store.ErrBadRecord)
	}
	return c.CommitID != newest.CommitID, nil
}

// sameSession reports whether the mirror has a later version of the session that made HEAD's, as
// where only the last version of each session is mirrored.
func (r *restoring) sameSession(ctx context.Context, h *store.Head) (bool, error) {
	for _, id := range archive.Counting(r.ids) {
		switch {
		case id.Version < h.Number:
			continue
		case id.Version == h.Number, id.Epoch != h.CommitEpoch: // HEAD's is not there
			return false, nil
		}
		v, err := r.version(ctx, id)
		if err != nil {
			return false, unlessAny(err, store.ErrBadRecord)
		}
		return v.By == h.By, nil
	}
	return false, nil
}

// target returns the version whose content is restored.
func (r *restoring) target(ctx context.Context) (*store.Version, error) {
	t := r.traces
	if r.o.KeepStore {
		v := t.records.Head.Version
		if v.Deleted {
			return nil, &RefusedError{Key: t.key, What: "version in the store", Have: archive.IDOf(&v).String(), Hint: deletedHint}
		}
		return &v, nil
	}
	id, _ := archive.Newest(t.ids)
	if !r.o.At.IsZero() {
		ids := archive.Counting(t.ids)
		n, err := savedUntil(ids, r.o.At, func(id archive.ID) (time.Time, error) {
			v, err := t.version(ctx, id)
			if err != nil {
				return time.Time{}, err
			}
			return v.SavedAt, nil
		})
		switch {
		case err != nil:
			return nil, err
		case n == 0:
			return nil, fmt.Errorf("a version of checkpoint %s in the mirror as of %s: %w",
				t.key, r.o.At.UTC().Format(time.RFC3339), store.ErrNotFound)
		}
		id = ids[n-1]
	}
	v, err := t.version(ctx, id)
	if err == nil && v.Deleted {
		return nil, &RefusedError{Key: t.key, What: "mirror", Have: id.String(), Hint: deletedHint}
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

// readOlder reads the earlier versions that the store would still hold without the loss.
func (r *restoring) readOlder(ctx context.Context) error {
	if r.o.KeepStore { // it holds its own
		return nil
	}
	now := r.records.Clock.Time()
	starts := r.content().Starts
	old := false // this version and all earlier ones are older than RetainAge
	for _, id := range slices.Backward(archive.Counting(r.ids)) {
		if id.Version < r.from.Born || old && !slices.Contains(starts, id.Version) {
			continue
		}
		v, err := r.version(ctx, id)
		switch {
		case errors.Is(err, store.ErrBadRecord): // verify reports it, and so does every later read
			continue
		case err != nil:
			return err
		}
		old = old || !v.SavedAt.Add(r.RetainAge).After(now)
		if !v.Deleted && (!old || slices.Contains(starts, v.Number)) {
			r.older = append(r.older, *v)
		}
	}
	return nil
}

// copies puts the older versions back into the store. A version that is there already stays as it
// is, except that a session's start no longer expires.
func (r *restoring) copies(ctx context.Context) error {
	starts := r.content().Starts
	for i, v := range r.older {
		expires := v.SavedAt.Add(r.RetainAge).Truncate(time.Second)
		err := persistEdit(ctx, func(ctx context.Context) error {
			if slices.Contains(starts, v.Number) {
				return r.Store.KeepBase(ctx, r.key, v)
			}
			return r.Store.Copy(ctx, r.key, store.Copy{Version: v, ExpiresAt: expires})
		})
		if err := unlessConflict(err); err != nil {
			return wrap(fmt.Sprintf("bring back version %d of", v.Number), r.key, err)
		}
		if r.o.Progress != nil {
			r.o.Progress(int64(i+1), int64(len(r.older)))
		}
	}
	return nil
}
