package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/milepost-dev/milepost/store"
)

// MaxLabel is the most bytes of a savepoint's label.
const MaxLabel = 256

// editTimeout bounds one attempt of a write that needs no lease.
const editTimeout = 10 * time.Second

// editPatience is how long an operator's change is tried again while the store or the archive does
// not answer. Nothing is lost by an error: the operator can repeat the change.
const editPatience = 15 * time.Second

// Pin makes a savepoint of one version (0: the newest): the version gets the label, and never
// expires. Pin takes no lease. It is one conditional write, sent again until it succeeds, is
// refused, or ctx ends. If the version changes in between, Pin reads it again. If the version is gone, the error is [store.ErrNotFound]; the copy of the
// newest version is made again from HEAD. Pin does not keep opts.Reason: the label is the reason.
func (n Namespace) Pin(ctx context.Context, name string, version int64, label string, opts *EditOptions) (*Checkpoint, error) {
	if label == "" || len(label) > MaxLabel {
		return nil, fmt.Errorf("pin version %d of checkpoint %q: a label of 1 to %d bytes is needed", version, name, MaxLabel)
	}
	forever := time.Time{}
	return n.amend(ctx, name, version, opts, func(*reader, *store.Copy) store.Amendment {
		return store.Amendment{Label: &label, ExpiresAt: &forever}
	})
}

// Unpin removes the label of a version (0: the newest). The version then expires like others of its
// age, in an hour at the earliest, unless it is one of the newest session starts. Otherwise it is
// like [Namespace.Pin].
func (n Namespace) Unpin(ctx context.Context, name string, version int64, opts *EditOptions) (*Checkpoint, error) {
	return n.amend(ctx, name, version, opts, func(r *reader, c *store.Copy) store.Amendment {
		none := ""
		a := store.Amendment{Label: &none}
		if !c.Kept { // HEAD's list is no proof: a session may be about to start from the version
			expires := c.SavedAt.Add(r.RetainAge)
			if soonest := r.now.Add(MinRetainAge); expires.Before(soonest) {
				expires = soonest
			}
			expires = expires.Truncate(time.Second)
			a.ExpiresAt = &expires
		}
		return a
	})
}

// amend changes the label and the expiry of a copy, on the condition that the copy is as it was when
// change decided.
func (n Namespace) amend(ctx context.Context, name string, version int64, opts *EditOptions, change func(*reader, *store.Copy) store.Amendment) (*Checkpoint, error) {
	o := opts.filled()
	one, err := n.named(name)
	if err != nil {
		return nil, err
	}
	key, st := one.key, one.Store
	for {
		r, err := one.existing(ctx)
		if err != nil {
			return nil, err
		}
		if err := o.condition(r); err != nil {
			return nil, err
		}
		if version == 0 {
			version = r.newest()
		}
		c, there, err := r.copy(ctx, version)
		if err != nil {
			return nil, err
		}
		a := change(r, &c)
		amended := c
		a.Apply(&amended)
		cp, err := viewCopy(key, &entry{Copy: amended})
		if err != nil || o.DryRun {
			return cp, err
		}
		if !there {
			err := persistEdit(ctx, func(ctx context.Context) error { return st.Copy(ctx, key, amended) })
			if err != nil {
				return nil, wrap(fmt.Sprintf("copy version %d of", version), key, err)
			}
			continue // the job may have written it first, without the label
		}
		err = persistEdit(ctx, func(ctx context.Context) error { return st.Amend(ctx, key, c, a) })
		if _, changed := errors.AsType[*store.ConflictError](err); changed {
			continue // it changed or expired in between
		}
		if err != nil {
			return nil, wrap(fmt.Sprintf("label version %d of", version), key, err)
		}
		return cp, nil
	}
}

// copy reads V#version, or makes it from HEAD if HEAD is at that version.
func (r *reader) copy(ctx context.Context, version int64) (_ store.Copy, there bool, _ error) {
	c, err := r.Store.Version(ctx, r.key, version)
	newest := version == r.newest()
	switch {
	case err == nil && newest && c.CommitID == r.head.CommitID:
		return c, true, nil // expired or not: HEAD shows it
	case err == nil && !newest && version < r.newest() && r.shown(&c):
		return c, true, nil
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return store.Copy{}, false, wrap(fmt.Sprintf("read version %d of", version), r.key, err)
	case newest:
		return store.Copy{Version: r.head.Version}, false, nil
	}
	return store.Copy{}, false, fmt.Errorf("version %d of checkpoint %s: %w", version, r.key, store.ErrNotFound)
}
