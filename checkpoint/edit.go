package checkpoint

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// EditOptions say how an operator's change is made. The zero value is useful.
type EditOptions struct {
	// IfVersion makes the change only if the checkpoint is at this version, such as the one that a
	// plan was shown for. 0: any version. Otherwise the error is a [*VersionConflictError].
	IfVersion int64

	// Reason is kept on the version, for people.
	Reason string

	// DryRun changes nothing, takes no lease, and returns the plan.
	DryRun bool

	// Lease says who makes the change, and how long to wait for a lease that is held.
	Lease lease.Options

	// Purge makes [Namespace.Delete] also remove the checkpoint's mirror and all its bodies.
	Purge bool
}

// EditResult is what a change does: the version before the change (nil: there was none), and the
// version that the change makes (nil: the checkpoint is deleted). With DryRun, After has no
// CommitID.
type EditResult struct {
	Before *Checkpoint
	After  *Checkpoint

	// Purged is what a deletion with EditOptions.Purge removes from the archive.
	Purged *PurgeResult
}

// Rollback makes a new version with the content of version to. It takes the lease, so that no live
// job is pulled back unnoticed: while a job holds the lease, the error is a [*lease.HeldError],
// after Lease.Wait. The versions in between stay in the history. The other errors are those of
// [Namespace.Get] and [Open], and that of EditOptions.IfVersion. An error that matches
// [ErrOutcomeUnknown] says that the change may have landed: read the checkpoint, and decide. That
// happens if ctx ends during the change.
func (n Namespace) Rollback(ctx context.Context, name string, to int64, opts *EditOptions) (*EditResult, error) {
	return n.edit(ctx, name, opts, func(ctx context.Context, r *reader) (store.Version, error) {
		if err := r.exists(); err != nil {
			return store.Version{}, err
		}
		target, err := r.raw(ctx, to)
		if err != nil {
			return store.Version{}, err
		}
		return store.Version{Content: target.Content, RestoredFrom: to}, nil
	})
}

// Reset makes a new version that starts from scratch: no cursor, no state, no identity, counts of
// 0. The versions before it stay in the history. If the store has gone backward, Reset leads on
// from there. If the store has lost the checkpoint and the archive has it, Reset leads on from its
// last version there, as [Namespace.Restore] does. Otherwise it is like [Namespace.Rollback].
func (n Namespace) Reset(ctx context.Context, name string, opts *EditOptions) (*EditResult, error) {
	o := opts.filled()
	o.Lease.AcceptRegression = true
	one, err := n.named(name)
	if err != nil {
		return nil, err
	}
	if one.Archive != nil {
		if e, err := one.resetLost(ctx, o); e != nil || err != nil {
			return e, err
		}
	}
	return one.edit(ctx, o, func(_ context.Context, r *reader) (store.Version, error) {
		if r.regressed() {
			return store.Version{}, nil
		}
		return store.Version{}, r.exists()
	})
}

// resetLost resets a checkpoint that the store has lost and the archive still has. If the store has
// not lost the checkpoint, resetLost returns nil and nil.
func (n named) resetLost(ctx context.Context, o *EditOptions) (*EditResult, error) {
	found, err := n.look(ctx)
	if err != nil {
		return nil, err
	}
	if found.Head != nil && found.Head.Number > 0 {
		return nil, nil
	}
	var planned *EditResult
	made, err := n.leadOn(ctx, o, func(ctx context.Context, t *traces) (leading, error) {
		newest, ok := archive.Newest(t.ids)
		if !ok {
			return leading{}, errNothingLost
		}
		if err := o.condition(n.reader(t.records)); err != nil {
			return leading{}, err
		}
		content := store.Version{Reason: o.Reason, Ended: store.EndedDone, Born: t.next()}
		if v, err := t.version(ctx, newest); err == nil && !v.Deleted { // otherwise earlier versions are hidden
			content.Born = v.Born
		}
		after := content
		after.Number, after.SavedAt = t.next(), t.records.Clock.Time()
		cp, err := view(n.key, "HEAD", &after)
		planned = &EditResult{After: cp}
		return leading{content: content}, err
	}, o.DryRun)
	switch {
	case errors.Is(err, errNothingLost):
		return nil, nil
	case err != nil || o.DryRun:
		return planned, err
	}
	return &EditResult{After: made}, nil
}

var errNothingLost = errors.New("nothing was lost")

// Content is what [Namespace.Set] writes. Nil fields stay as they are.
type Content struct {
	Cursor      *string // a new cursor forgets what was finished out of order above the old one
	Processed   *int64
	Failed      *int64
	State       []byte // as a codec encodes it
	ContentType string // of State; "" means application/json
	Identity    *string
	Schema      *int64

	unloaded bool // there is a state, but it was not loaded
}

// ContentOf returns everything that [Namespace.Set] can take over from cp. A state that lies in an
// archive must have been loaded.
func ContentOf(cp *Checkpoint) Content {
	return Content{
		unloaded: cp.notLoaded("") != nil,
		Cursor:   &cp.Cursor, Processed: &cp.Processed, Failed: &cp.Failed, State: cp.State, ContentType: cp.ContentType,
		Identity: &cp.Identity, Schema: &cp.Schema,
	}
}

// Set makes a new version with that content. If there is no checkpoint, it is the first version.
// Otherwise it is like [Namespace.Rollback].
func (n Namespace) Set(ctx context.Context, name string, content Content, opts *EditOptions) (*EditResult, error) {
	if err := content.valid(); err != nil {
		return nil, fmt.Errorf("set checkpoint %q: %w", name, err)
	}
	return n.edit(ctx, name, opts, func(ctx context.Context, r *reader) (store.Version, error) {
		var v store.Version
		if err := r.notLost(ctx, r.head); err != nil {
			return v, err
		}
		if r.exists() == nil {
			v.Content = r.head.Content
		}
		content.apply(&v)
		return v, nil
	})
}

func (c *Content) valid() error {
	switch {
	case c.unloaded:
		return fmt.Errorf("%w: it lies in an archive", ErrNotLoaded)
	case c.Processed != nil && *c.Processed < 0 || c.Failed != nil && *c.Failed < 0 || c.Schema != nil && *c.Schema < 0:
		return errors.New("counts and schema cannot be negative")
	case c.State != nil && (c.ContentType == "" || c.ContentType == jsonType) && !json.Valid(c.State):
		return errors.New("the state is not valid JSON")
	}
	return nil
}

func (c *Content) apply(v *store.Version) {
	if c.Cursor != nil {
		v.Cursor, v.Finished = *c.Cursor, nil
	}
	if c.Processed != nil {
		v.Processed = *c.Processed
	}
	if c.Failed != nil {
		v.Failed = *c.Failed
	}
	if c.State != nil {
		v.State = packed(c.State, cmp.Or(c.ContentType, jsonType))
	}
	if c.Identity != nil {
		v.Identity = *c.Identity
	}
	if c.Schema != nil {
		v.Schema = *c.Schema
	}
}

func (o *EditOptions) filled() *EditOptions {
	var f EditOptions
	if o != nil {
		f = *o
	}
	return &f
}

// edit plans a change. Then it takes the lease, plans again with what the store has by then, and
// commits the change.
func (n Namespace) edit(ctx context.Context, name string, opts *EditOptions, plan func(context.Context, *reader) (store.Version, error)) (*EditResult, error) {
	one, err := n.named(name)
	if err != nil {
		return nil, err
	}
	return one.edit(ctx, opts.filled(), plan)
}

func (n named) edit(ctx context.Context, o *EditOptions, plan func(context.Context, *reader) (store.Version, error)) (*EditResult, error) {
	found, err := n.look(ctx)
	if err != nil {
		return nil, err
	}
	if planned, _, err := o.plan(ctx, n.reader(found), plan); err != nil || o.DryRun {
		return planned, err
	}
	e, err := n.editor(ctx, o)
	if err != nil {
		return nil, err
	}
	defer e.abandon(ctx)
	planned, next, err := o.plan(ctx, e.fenced(), plan)
	if err != nil {
		return nil, err
	}
	if planned.After, err = e.commit(ctx, next); err != nil {
		return nil, err
	}
	e.close(ctx)
	return planned, nil
}

// plan checks IfVersion, and returns the result of the change and the version to commit.
func (o *EditOptions) plan(ctx context.Context, r *reader, plan func(context.Context, *reader) (store.Version, error)) (*EditResult, store.Version, error) {
	if err := o.condition(r); err != nil {
		return nil, store.Version{}, err
	}
	next, err := plan(ctx, r)
	if err != nil {
		return nil, store.Version{}, err
	}
	if next.State != nil && next.State.Body != "" && r.Archive == nil {
		return nil, store.Version{}, noArchive(r.key, next.State.Body)
	}
	next.Reason, next.Ended = o.Reason, store.EndedDone
	e := &EditResult{}
	if r.exists() == nil {
		if e.Before, err = viewHead(r.key, r.head); err != nil && !next.Deleted {
			return nil, store.Version{}, err
		}
	}
	after := next
	after.Number, after.SavedAt = r.newest()+1, r.now.UTC()
	if !next.Deleted {
		if e.After, err = view(r.key, "HEAD", &after); err != nil {
			return nil, store.Version{}, err
		}
	}
	return e, next, nil
}

func (o *EditOptions) condition(r *reader) error {
	if have := r.newest(); o.IfVersion != 0 && o.IfVersion != have {
		return &VersionConflictError{Key: r.key, Want: o.IfVersion, Have: have}
	}
	return nil
}

// editor holds the lease for one change.
type editor struct {
	named
	c     *committer
	lease *lease.Lease
	done  bool
}

func (n named) editor(ctx context.Context, o *EditOptions) (*editor, error) {
	session, err := (&Options{Lease: o.Lease, Logger: o.Lease.Logger}).filled()
	if err != nil {
		return nil, err
	}
	session.Lease.Reason = o.Reason
	l, err := acquire(ctx, n, &session.Lease)
	if err != nil {
		return nil, err
	}
	e := &editor{named: n, c: newCommitter(ctx, n, l, session), lease: l}
	e.c.archive.Patience = editPatience
	return e, nil
}

// fenced returns a reader of what the store held once the fence was up.
func (e *editor) fenced() *reader {
	head := e.lease.Head()
	return e.reader(store.Records{Head: &head, Lease: e.lease.Prior(), Expect: e.lease.Expected(), Clock: e.lease.Clock()})
}

func (e *editor) commit(ctx context.Context, next store.Version) (*Checkpoint, error) {
	ctx, cancel := e.whileHeld(ctx)
	defer cancel()
	if err := e.c.begin(ctx, closingSave); err != nil { // the editor makes only this commit
		return nil, err
	}
	defer e.c.end()
	if err := e.c.commit(ctx, newSave(next)); err != nil {
		return nil, err
	}
	if next.Deleted {
		return nil, nil
	}
	return view(e.c.key, "HEAD", &e.c.base)
}

// whileHeld returns a context that ends with ctx and with the lease. An operator waits no longer
// for a store that does not answer.
func (e *editor) whileHeld(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	live := e.lease.Context()
	undo := context.AfterFunc(live, func() { cancel(context.Cause(live)) })
	return ctx, func() { undo(); cancel(nil) }
}

// close waits until the version and its copy are durable, and releases the lease. The change has
// already landed, so close returns no error. If the copy is missing, the next session writes it. If
// the lease was not released, it expires.
func (e *editor) close(ctx context.Context) {
	e.done = true
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.c.timeout)
	defer cancel()
	if err := errors.Join(e.c.close(bounded), e.lease.Release(bounded)); err != nil {
		e.c.log.Warn("the change was made, and not tidied up after", "checkpoint", e.c.key.String(), "error", err)
	}
	e.c.finish(ctx)
}

// abandon releases the lease after a change that was not made.
func (e *editor) abandon(ctx context.Context) {
	if !e.done {
		e.close(ctx)
	}
}
