package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/milepost-dev/milepost/internal/retries"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// line is what mirror and store together tell of a checkpoint that the store has lost, or is behind with.
type line struct {
	named
	records store.Records
	ids     []archive.ID // of the mirror, those that do not count among them
}

func (n named) line(ctx context.Context) (*line, error) {
	l := &line{named: n}
	var err error
	if l.ids, err = archive.IDs(ctx, n.Archive, n.key); err != nil {
		return nil, wrap("list the mirror of", n.key, err)
	}
	l.records, err = n.look(ctx)
	return l, err
}

// next is the version that leads on: above all that were mirrored and that the store knows of.
func (l *line) next() int64 {
	newest, _ := archive.Newest(l.ids)
	version := newest.Version
	if h := l.records.Head; h != nil {
		version = max(version, h.Number)
	}
	if held := l.records.Lease; held != nil {
		version = max(version, held.Version)
	}
	return version + 1
}

// epoch is the one that leads on.
func (l *line) epoch() int64 {
	var seen int64
	for _, id := range l.ids {
		seen = max(seen, id.Epoch)
	}
	if h := l.records.Head; h != nil {
		seen = max(seen, h.Fence.Epoch)
	}
	if held := l.records.Lease; held != nil {
		seen = max(seen, held.Epoch)
	}
	return seen + lease.EpochLeap
}

// version reads one version of the mirror.
func (l *line) version(ctx context.Context, id archive.ID) (*store.Version, error) {
	m, err := archive.ReadVersion(ctx, l.Archive, l.key, id)
	if err != nil {
		return nil, wrap(fmt.Sprintf("read version %d in the mirror of", id.Version), l.key, err)
	}
	return &m.Version, nil
}

// leading is the first version of a line that leads on.
type leading struct {
	content store.Version
	beside  func(context.Context) error // what is written before it; may be nil
}

// errOvertaken: another has led on at the same time, and neither knows of the other.
var errOvertaken = errors.New("another restore is under way")

// leadOn makes a version above all that mirror and store have seen, under an epoch far above, with what plan says on what they hold. It
// is mirrored before HEAD is put; then the mirror is listed again, and if another has done the same meanwhile, all of it starts over. With dryRun
// it only plans.
func (n named) leadOn(ctx context.Context, o *EditOptions, plan func(context.Context, *line) (leading, error), dryRun bool) (*Checkpoint, error) {
	const tries = 8
	for try := 1; ; try++ {
		l, err := n.line(ctx)
		if err != nil {
			return nil, err
		}
		planned, err := plan(ctx, l)
		if err != nil || dryRun {
			return nil, err
		}
		cp, err := l.lead(ctx, o, planned)
		if !errors.Is(err, errOvertaken) || try == tries {
			return cp, err
		}
		// At random: two that meet must not meet for ever.
		if !retries.Sleep(ctx, time.Duration(try)*rand.N(500*time.Millisecond)) {
			return nil, wrap("lead on", n.key, context.Cause(ctx))
		}
	}
}

// lead makes the version, once.
func (l *line) lead(ctx context.Context, o *EditOptions, planned leading) (*Checkpoint, error) {
	want := l.epoch()
	o.Lease.AcceptRegression = true
	if err := l.clearLease(ctx, o, want-1); err != nil {
		return nil, err
	}
	e, err := l.editor(ctx, o)
	if err != nil {
		return nil, err
	}
	defer e.abandon(ctx)
	head := e.lease.Head()
	if was := l.records.Head; e.lease.Epoch() < want || was != nil && head.CommitID != was.CommitID || was == nil && head.Number > 0 {
		return nil, wrap("lead on", l.key, errOvertaken)
	}
	next := planned.content
	next.Number = l.next()
	next.ArchivedThrough = next.Number - 1
	if e.c.mirror != nil {
		e.c.mirror.mirroredElsewhere(next.ArchivedThrough)
	}
	if err := e.c.begin(ctx, plainSave); err != nil {
		return nil, err
	}
	defer e.c.end()
	var own archive.ID
	err = e.c.commitDraft(ctx, draft{next: next, before: func(ctx context.Context, v *store.Version) error {
		own = archive.IDOf(v)
		if err := l.mirrorFirst(ctx, e.c, v); err != nil {
			return err
		}
		if planned.beside != nil {
			return planned.beside(ctx)
		}
		return nil
	}})
	if err != nil {
		if own.Version > 0 && !errors.Is(err, ErrOutcomeUnknown) {
			l.unmirror(ctx, e.c, own)
		}
		return nil, err
	}
	cp, err := view(l.key, "HEAD", &e.c.base)
	if err != nil {
		return nil, err
	}
	e.close(ctx)
	return cp, nil
}

// clearLease sees to it that the lease is free under that epoch, so that whoever acquires it next is above.
func (l *line) clearLease(ctx context.Context, o *EditOptions, epoch int64) error {
	if held := l.records.Lease; held != nil && held.Status == store.Held {
		e, err := l.editor(ctx, o) // judges whether its holder is gone, or waits
		if err != nil {
			return err
		}
		e.abandon(ctx)
		found, err := l.look(ctx)
		if err != nil {
			return err
		}
		l.records.Lease = found.Lease
	}
	observed := l.records.Lease
	now := l.records.Clock.Time()
	free := store.Lease{
		Epoch: epoch, LeaseID: lease.NewID(), Status: store.Free, Duration: lease.DefaultDuration,
		AcquiredAt: now, RenewedAt: now, Reason: o.Reason,
	}
	if observed != nil {
		if observed.Status == store.Held {
			return wrap("lead on", l.key, errOvertaken)
		}
		free.Holder, free.Version, free.Duration = observed.Holder, observed.Version, observed.Duration
	}
	err := persist(ctx, editTimeout, func(ctx context.Context) error {
		_, err := l.Store.Acquire(ctx, l.key, observed, free)
		return err
	})
	if conflict, ok := errors.AsType[*store.ConflictError](err); ok {
		if conflict.Lease != nil && conflict.Lease.LeaseID == free.LeaseID { // an earlier try has landed
			return nil
		}
		return wrap("lead on", l.key, errOvertaken)
	}
	if err != nil {
		return wrap("raise the epoch of", l.key, err)
	}
	return nil
}

// mirrorFirst mirrors v before HEAD is put, and makes sure that nobody else did so.
func (l *line) mirrorFirst(ctx context.Context, c *committer, v *store.Version) error {
	if err := c.archive.PutVersion(ctx, v); err != nil {
		return fmt.Errorf("mirror it: %w", err)
	}
	ids, err := archive.IDs(ctx, l.Archive, l.key)
	if err != nil {
		return fmt.Errorf("list the mirror again: %w", err)
	}
	for _, id := range ids {
		if id.Epoch >= v.CommitEpoch && id != archive.IDOf(v) {
			return fmt.Errorf("%w: the mirror has %v", errOvertaken, id)
		}
	}
	return nil
}

// unmirror removes the object of a version that was never put.
func (l *line) unmirror(ctx context.Context, c *committer, id archive.ID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*c.timeout)
	defer cancel()
	object := archive.VersionKey(l.key, id)
	if err := c.archive.Delete(ctx, object); err != nil {
		c.log.Error("the object of a version that was not restored was left in the mirror",
			"checkpoint", l.key.String(), "object", object, "error", err)
	}
}
