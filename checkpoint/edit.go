package checkpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// EditOptions say how an operator's change is made. The zero value is useful.
type EditOptions struct {
	Namespace string

	// IfVersion makes the change only if the checkpoint is at this version: the one that a plan
	// was shown for. 0: whatever it is at. Otherwise the error is a [*VersionConflictError].
	IfVersion int64

	// Reason is kept on the version, for people.
	Reason string

	// DryRun changes nothing, takes no lease, and returns what would be.
	DryRun bool

	// Lease says who makes the change, and how long to wait for a lease that is held.
	Lease lease.Options

	// RetainAge and RetainStarts are as in [Options].
	RetainAge    time.Duration
	RetainStarts int

	// Archive, InlineLimit and Mirror are as in [Options].
	Archive     archive.Archive
	InlineLimit int
	Mirror      MirrorPolicy

	// Purge has [Delete] remove the checkpoint's mirror, too, and all its bodies.
	Purge bool
}

// Edit is what a change does: the version before it (nil: there was none), and the one that it
// makes (nil: it is deleted). With DryRun After has no CommitID yet.
type Edit struct {
	Before *Checkpoint
	After  *Checkpoint

	// Purged is what a deletion with EditOptions.Purge removes from the archive, or removed.
	Purged *Purged
}

// Rollback makes a new version with the content of version to, under the lease: a live job
// holds that, so it cannot be pulled back unnoticed, and the error is a [*lease.HeldError]. The versions in between stay in
// the history. The errors are those of [Get] and [Open], and of EditOptions.IfVersion. One
// that matches [ErrOutcomeUnknown] says that it may have landed: read, and decide.
func Rollback(ctx context.Context, st store.Store, name string, to int64, opts *EditOptions) (*Edit, error) {
	return edit(ctx, st, name, opts, func(ctx context.Context, r *reader) (store.Version, error) {
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

// Reset makes a new version that begins afresh: no cursor, no state, no identity, counts of 0. The versions
// before stay in the history. Where the store has gone backward, it leads on from there; where it has lost the checkpoint, and
// EditOptions.Archive has not, from the last version there, as [Restore] does. Otherwise as [Rollback].
func Reset(ctx context.Context, st store.Store, name string, opts *EditOptions) (*Edit, error) {
	o := opts.filled()
	o.Lease.AcceptRegression = true
	if o.Archive != nil {
		if e, err := resetLost(ctx, st, name, o); e != nil || err != nil {
			return e, err
		}
	}
	return edit(ctx, st, name, o, func(_ context.Context, r *reader) (store.Version, error) {
		if r.regressed() {
			return store.Version{}, nil
		}
		return store.Version{}, r.exists()
	})
}

// resetLost begins afresh a checkpoint that the store has lost, and the archive has not. It returns nil and nil where
// that is not so.
func resetLost(ctx context.Context, st store.Store, name string, o *EditOptions) (*Edit, error) {
	key, err := keyOf(o.Namespace, name)
	if err != nil {
		return nil, err
	}
	found, err := st.Look(ctx, key)
	if err != nil {
		return nil, wrap("read", key, err)
	}
	if found.Head != nil && found.Head.Number > 0 {
		return nil, nil
	}
	var planned *Edit
	made, err := leadOn(ctx, st, key, o, func(ctx context.Context, l *line) (leading, error) {
		newest, ok := archive.Newest(l.ids)
		if !ok {
			return leading{}, errNothingLost
		}
		if err := o.condition(newReader(st, o.Archive, key, l.records)); err != nil {
			return leading{}, err
		}
		content := store.Version{Reason: o.Reason, Ended: store.EndedDone, Born: l.next()}
		if v, err := l.version(ctx, newest); err == nil && !v.Deleted { // else what was before is not to be shown
			content.Born = v.Born
		}
		after := content
		after.Number, after.SavedAt = l.next(), l.records.Clock.Time()
		cp, err := view(key, "HEAD", &after)
		planned = &Edit{After: cp}
		return leading{content: content}, err
	}, o.DryRun)
	switch {
	case errors.Is(err, errNothingLost):
		return nil, nil
	case err != nil || o.DryRun:
		return planned, err
	}
	return &Edit{After: made}, nil
}

var errNothingLost = errors.New("nothing was lost")

// Content is what [Set] writes. What is nil stays as it is.
type Content struct {
	Cursor      *string // a new cursor forgets what was finished out of order above the old one
	Processed   *int64
	Failed      *int64
	State       []byte // as a codec encodes it
	ContentType string // of State; "" means application/json
	Identity    *string
	Schema      *int64

	unloaded bool // there is a state, which is not here
}

// ContentOf is all that [Set] can take over from cp. A state that lies in an archive must have been loaded.
func ContentOf(cp *Checkpoint) Content {
	return Content{
		unloaded: cp.Body != "" && cp.State == nil,
		Cursor:   &cp.Cursor, Processed: &cp.Processed, Failed: &cp.Failed, State: cp.State, ContentType: cp.ContentType,
		Identity: &cp.Identity, Schema: &cp.Schema,
	}
}

// Set makes a new version with that content; where there is no checkpoint, the first. Otherwise
// as [Rollback].
func Set(ctx context.Context, st store.Store, name string, content Content, opts *EditOptions) (*Edit, error) {
	if err := content.valid(); err != nil {
		return nil, fmt.Errorf("set checkpoint %q: %w", name, err)
	}
	return edit(ctx, st, name, opts, func(ctx context.Context, r *reader) (store.Version, error) {
		var v store.Version
		if err := notLost(ctx, r.archive, r.key, r.head); err != nil {
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
		return errors.New("its state lies in an archive and was not loaded")
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
		contentType := c.ContentType
		if contentType == "" {
			contentType = jsonType
		}
		v.State = packed(c.State, contentType)
	}
	if c.Identity != nil {
		v.Identity = *c.Identity
	}
	if c.Schema != nil {
		v.Schema = *c.Schema
	}
}

// keyOf is the key of a checkpoint, "" standing for the default namespace.
func keyOf(namespace, name string) (store.Key, error) {
	if namespace == "" {
		namespace = store.DefaultNamespace
	}
	key := store.Key{Namespace: namespace, Name: name}
	return key, key.Validate()
}

func (o *EditOptions) filled() *EditOptions {
	var f EditOptions
	if o != nil {
		f = *o
	}
	if f.Namespace == "" {
		f.Namespace = store.DefaultNamespace
	}
	return &f
}

// edit plans a change on what is there, and makes it as a commit under the lease, planned again on
// what is there then.
func edit(ctx context.Context, st store.Store, name string, opts *EditOptions, plan func(context.Context, *reader) (store.Version, error)) (*Edit, error) {
	o := opts.filled()
	key := store.Key{Namespace: o.Namespace, Name: name}
	if err := key.Validate(); err != nil {
		return nil, err
	}
	found, err := st.Look(ctx, key)
	if err != nil {
		return nil, wrap("read", key, err)
	}
	if planned, _, err := o.plan(ctx, newReader(st, o.Archive, key, found), plan); err != nil || o.DryRun {
		return planned, err
	}
	e, err := newEditor(ctx, st, key, o)
	if err != nil {
		return nil, err
	}
	defer e.abandon(ctx)
	planned, next, err := o.plan(ctx, e.reader(), plan)
	if err != nil {
		return nil, err
	}
	if planned.After, err = e.commit(ctx, next); err != nil {
		return nil, err
	}
	e.close(ctx)
	return planned, nil
}

// plan holds the condition, and returns what would be.
func (o *EditOptions) plan(ctx context.Context, r *reader, plan func(context.Context, *reader) (store.Version, error)) (*Edit, store.Version, error) {
	if err := o.condition(r); err != nil {
		return nil, store.Version{}, err
	}
	next, err := plan(ctx, r)
	if err != nil {
		return nil, store.Version{}, err
	}
	if next.State != nil && next.State.Body != "" && o.Archive == nil {
		return nil, store.Version{}, noArchive(r.key, next.State.Body)
	}
	next.Reason, next.Ended = o.Reason, store.EndedDone
	e := &Edit{}
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
	c     *committer
	lease *lease.Lease
	done  bool
}

func newEditor(ctx context.Context, st store.Store, key store.Key, o *EditOptions) (*editor, error) {
	session, err := (&Options{
		Lease: o.Lease, RetainAge: o.RetainAge, RetainStarts: o.RetainStarts, Logger: o.Lease.Logger,
		Archive: o.Archive, InlineLimit: o.InlineLimit, Mirror: o.Mirror,
	}).filled()
	if err != nil {
		return nil, err
	}
	session.Lease.Reason = o.Reason
	l, err := acquire(ctx, st, key, &session.Lease)
	if err != nil {
		return nil, err
	}
	return &editor{c: newCommitter(ctx, st, l, session), lease: l}, nil
}

// reader reads behind the fence.
func (e *editor) reader() *reader {
	head := e.lease.Head()
	return newReader(e.c.st, e.c.archive.Archive, e.c.key, store.Records{Head: &head, Lease: e.lease.Prior(), Clock: e.lease.Clock()})
}

func (e *editor) commit(ctx context.Context, next store.Version) (*Checkpoint, error) {
	if err := e.c.begin(ctx, closingSave); err != nil { // it is the only one
		return nil, err
	}
	defer e.c.end()
	if err := e.c.commit(ctx, next, nil, nil); err != nil {
		return nil, err
	}
	if next.Deleted {
		return nil, nil
	}
	return view(e.c.key, "HEAD", &e.c.base)
}

// close waits until the version is durable in full, and releases the lease. The change has landed by
// then: the next session makes up for a copy that is missing, and the lease expires by itself.
func (e *editor) close(ctx context.Context) {
	e.done = true
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.c.timeout)
	defer cancel()
	if err := errors.Join(e.c.close(bounded), e.lease.Release(bounded)); err != nil {
		e.c.log.Warn("the change was made, and not tidied up after", "checkpoint", e.c.key.String(), "error", err)
	}
	e.c.finishArchive(ctx)
}

// abandon gives the lease back where the change was not made.
func (e *editor) abandon(ctx context.Context) {
	if !e.done {
		e.close(ctx)
	}
}
