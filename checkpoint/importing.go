package checkpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/milepost-dev/milepost/store"
)

// record is one version to import.
type record struct {
	cp    *Checkpoint
	write func(io.Writer) error // writes the state, called at most once; nil: the state is in cp
}

// importing is one checkpoint's import under way.
type importing struct {
	named
	o    ImportOptions
	done *ImportResult

	e       *editor // nil: a dry run
	base    store.Version
	started bool // the versions from here on are not in the store yet
	last    int64
}

// importOne imports one checkpoint: next returns its versions, oldest first, and nil after the
// last.
func (n Namespace) importOne(ctx context.Context, name string, opts *ImportOptions, next func() (*record, error)) (*ImportResult, error) {
	one, err := n.named(name)
	if err != nil {
		return nil, err
	}
	im := &importing{named: one, done: &ImportResult{Key: one.key}}
	if opts != nil {
		im.o = *opts
	}
	if err := im.open(ctx); err != nil {
		return im.done, err
	}
	if im.e != nil {
		defer im.e.abandon(ctx)
	}
	for {
		rec, err := next()
		if err != nil {
			return im.done, err
		}
		if rec == nil {
			break
		}
		if err := im.take(ctx, rec); err != nil {
			return im.done, wrap(fmt.Sprintf("import version %d of", rec.cp.Number), one.key, err)
		}
		if im.o.Progress != nil {
			im.o.Progress(name, im.done.Versions+im.done.Present)
		}
	}
	if !im.started {
		return im.done, im.refused()
	}
	if im.e != nil {
		im.e.close(ctx)
	}
	return im.done, nil
}

// open reads what the store has of the checkpoint, and takes the lease.
func (im *importing) open(ctx context.Context) error {
	found, err := im.look(ctx)
	if err != nil {
		return err
	}
	if err := im.notLost(ctx, found.Head); err != nil {
		return err
	}
	if found.Head != nil {
		im.base = found.Head.Version
	}
	if !im.o.DryRun {
		if im.e, err = im.editor(ctx, &EditOptions{Reason: im.o.Reason, Lease: im.o.Lease}); err != nil {
			return err
		}
		im.base = im.e.c.base
	}
	im.started = !im.base.Exists()
	return nil
}

// refused returns the error for a checkpoint of that name in the store that no import of these
// versions began.
func (im *importing) refused() error {
	return &RefusedError{Key: im.key, What: "version in the store", Have: fmt.Sprintf("%d, at cursor %s", im.base.Number, im.base.Cursor),
		Hint: "it is none of those to import: delete it, or import into another namespace"}
}

// take imports one version, or skips it if an earlier import has done so.
func (im *importing) take(ctx context.Context, rec *record) error {
	cp := rec.cp
	if cp.Number <= im.last {
		return fmt.Errorf("%w: it comes after version %d", store.ErrBadRecord, im.last)
	}
	im.last = cp.Number
	next, err := im.version(cp)
	if err != nil {
		return err
	}
	im.done.Newest = cp
	if !im.started {
		im.done.Present++
		im.started = im.isBase(cp)
		return nil
	}
	im.done.Versions++
	if im.o.DryRun {
		if rec.write != nil {
			return rec.write(io.Discard)
		}
		return nil
	}
	if err := im.commit(ctx, next, rec); err != nil {
		im.done.Versions--
		return err
	}
	return nil
}

func (im *importing) commit(ctx context.Context, next store.Version, rec *record) error {
	c := im.e.c
	if err := c.begin(ctx, plainSave); err != nil {
		return err
	}
	defer c.end()
	sv := newSave(next)
	sv.write, sv.contentType = rec.write, cmp.Or(rec.cp.ContentType, jsonType)
	if err := c.commit(ctx, sv); err != nil {
		return err
	}
	if rec.cp.Label == "" {
		return nil
	}
	if err := c.copied(ctx); err != nil {
		return err
	}
	forever := time.Time{}
	return c.amend(ctx, c.base.Number, func(copied *store.Copy) (store.Amendment, bool) {
		a := store.Amendment{Label: &rec.cp.Label, ExpiresAt: &forever}
		return a, copied.Label != rec.cp.Label || !copied.ExpiresAt.IsZero()
	})
}

// isBase reports whether cp is the store's newest version, which an interrupted import has made.
func (im *importing) isBase(cp *Checkpoint) bool {
	b := &im.base
	return b.RestoredFrom == cp.Number && b.Cursor == cp.Cursor && b.Processed == cp.Processed && b.Failed == cp.Failed &&
		(cp.SavedAt.IsZero() || b.SavedAt.Equal(cp.SavedAt.Truncate(time.Microsecond)))
}

// version returns the version that commits cp.
func (im *importing) version(cp *Checkpoint) (store.Version, error) {
	content := ContentOf(cp)
	content.unloaded = false
	if err := content.valid(); err != nil {
		return store.Version{}, fmt.Errorf("%w: %w", store.ErrBadRecord, err)
	}
	switch cp.Ended {
	case "", store.EndedDone, store.EndedError, store.EndedYielded, store.EndedStopped:
	default:
		return store.Version{}, fmt.Errorf("%w: it ended as %q", store.ErrBadRecord, cp.Ended)
	}
	if cp.Number < 1 || len(cp.Label) > MaxLabel {
		return store.Version{}, fmt.Errorf("%w: its version is %d, and its label has %d bytes", store.ErrBadRecord, cp.Number, len(cp.Label))
	}
	v := store.Version{
		Content: cp.Content, Ended: cp.Ended, RestoredFrom: cp.Number, Reason: im.o.Reason,
		SavedAt: cp.SavedAt.UTC().Truncate(time.Microsecond),
	}
	if cp.LastError != "" {
		v.LastError = (&Options{}).lastError(errors.New(cp.LastError))
	}
	v.State = nil
	if cp.State != nil {
		v.State = packed(cp.State, cmp.Or(cp.ContentType, jsonType))
	}
	return v, nil
}
