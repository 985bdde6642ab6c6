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

// traces are what the store and the mirror have of a checkpoint that the store has lost, or of
// which the store has only old versions.
type traces struct {
	named
	records store.Records
	ids     []archive.ID // all versions in the mirror, also those that do not count
}

func (n named) traces(ctx context.Context) (*traces, error) {
	t := &traces{named: n}
	var err error
	if t.ids, err = archive.IDs(ctx, n.Archive, n.key); err != nil {
		return nil, wrap("list the mirror of", n.key, err)
	}
	if t.records, err = n.look(ctx); err != nil {
		return nil, err
	}
	if t.next() > store.MaxNumber || t.epoch() > store.MaxNumber {
		return nil, wrap("go on from the mirror of", n.key, fmt.Errorf("%w: versions end at %d, epochs %d below that, and a record or an object has one "+
			"that no job reaches: remove it by hand", store.ErrBadRecord, int64(store.MaxNumber), int64(lease.EpochLeap)))
	}
	return t, nil
}

// next returns the number of the version that leads on. It is above every version that the mirror
// or the store has.
func (t *traces) next() int64 {
	newest, _ := archive.Newest(t.ids)
	version := newest.Version
	if h := t.records.Head; h != nil {
		version = max(version, h.Number)
	}
	if held := t.records.Lease; held != nil {
		version = max(version, held.Version)
	}
	return version + 1
}

// epoch returns the epoch that leads on. It is far above every epoch in the store and the mirror.
func (t *traces) epoch() int64 {
	var seen int64
	for _, id := range t.ids {
		seen = max(seen, id.Epoch)
	}
	if h := t.records.Head; h != nil {
		seen = max(seen, h.Fence.Epoch)
	}
	if held := t.records.Lease; held != nil {
		seen = max(seen, held.Epoch)
	}
	return seen + lease.EpochLeap
}

// version reads one version of the mirror.
func (t *traces) version(ctx context.Context, id archive.ID) (*store.Version, error) {
	m, err := archive.ReadVersion(ctx, t.Archive, t.key, id)
	if err != nil {
		return nil, wrap(fmt.Sprintf("read version %d in the mirror of", id.Version), t.key, err)
	}
	return &m.Version, nil
}

// leading is the version that leads on, with what must be written before it.
type leading struct {
	content store.Version
	before  func(context.Context) error // writes what must be there before HEAD is put; may be nil
}

// errOvertaken says that another process has led on at the same time.
var errOvertaken = errors.New("another restore or reset is under way")

// leadOn makes a version above all that mirror and store have, under an epoch far above theirs,
// with the content that plan chooses from what they have. The version is mirrored before HEAD is
// put. Then leadOn lists the mirror again, and if another process has led on meanwhile, it starts
// over. With dryRun it only plans.
func (n named) leadOn(ctx context.Context, o *EditOptions, plan func(context.Context, *traces) (leading, error), dryRun bool) (*Checkpoint, error) {
	const tries = 8
	for try := 1; ; try++ {
		t, err := n.traces(ctx)
		if err != nil {
			return nil, err
		}
		planned, err := plan(ctx, t)
		if err != nil || dryRun {
			return nil, err
		}
		cp, err := t.lead(ctx, o, planned)
		if !errors.Is(err, errOvertaken) || try == tries {
			return cp, err
		}
		// A random time: two processes that meet must not meet again and again.
		if !retries.Sleep(ctx, time.Duration(try)*rand.N(500*time.Millisecond)) {
			return nil, wrap("go on from the mirror of", n.key, context.Cause(ctx))
		}
	}
}

// lead tries once to make the version.
func (t *traces) lead(ctx context.Context, o *EditOptions, planned leading) (*Checkpoint, error) {
	want := t.epoch()
	o.Lease.AcceptRegression = true
	if err := t.clearLease(ctx, o, want-1); err != nil {
		return nil, err
	}
	e, err := t.editor(ctx, o)
	if err != nil {
		return nil, err
	}
	defer e.abandon(ctx)
	head := e.lease.Head()
	was := t.records.Head
	changed := was != nil && head.CommitID != was.CommitID || was == nil && head.Number > 0
	if e.lease.Epoch() < want || changed {
		return nil, wrap("go on from the mirror of", t.key, errOvertaken)
	}
	next := planned.content
	next.Number = t.next()
	next.ArchivedThrough = next.Number - 1
	if e.c.mirror != nil {
		e.c.mirror.mirroredElsewhere(next.ArchivedThrough)
	}
	if err := e.c.begin(ctx, plainSave); err != nil {
		return nil, err
	}
	defer e.c.end()
	var own archive.ID
	sv := newSave(next)
	sv.before = func(ctx context.Context, v *store.Version) error {
		own = archive.IDOf(v)
		if err := t.mirrorFirst(ctx, e.c, v); err != nil {
			return err
		}
		if planned.before != nil {
			return planned.before(ctx)
		}
		return nil
	}
	sv.retract = func(ctx context.Context) error {
		if own.Version == 0 {
			return nil
		}
		return e.c.archive.Delete(ctx, archive.VersionKey(t.key, own))
	}
	if err := e.c.commit(ctx, sv); err != nil {
		return nil, err
	}
	cp, err := view(t.key, "HEAD", &e.c.base)
	if err != nil {
		return nil, err
	}
	e.close(ctx)
	return cp, nil
}

// clearLease makes the lease free under that epoch, so that the next process that acquires it has a
// higher epoch.
func (t *traces) clearLease(ctx context.Context, o *EditOptions, epoch int64) error {
	if held := t.records.Lease; held != nil && held.Status == store.Held {
		e, err := t.editor(ctx, o) // it decides whether the holder is gone, or waits
		if err != nil {
			return err
		}
		e.abandon(ctx)
		found, err := t.look(ctx)
		if err != nil {
			return err
		}
		t.records.Lease = found.Lease
	}
	observed := t.records.Lease
	now := t.records.Clock.Time()
	free := store.Lease{
		Epoch: epoch, LeaseID: lease.NewID(), Status: store.Free, Duration: lease.DefaultDuration,
		AcquiredAt: now, RenewedAt: now, Reason: o.Reason,
	}
	if observed != nil {
		if observed.Status == store.Held {
			return wrap("go on from the mirror of", t.key, errOvertaken)
		}
		free.Holder, free.Version, free.Duration = observed.Holder, observed.Version, observed.Duration
	}
	err := persistEdit(ctx, func(ctx context.Context) error {
		_, err := t.Store.Acquire(ctx, t.key, observed, free)
		return err
	})
	if conflict, ok := errors.AsType[*store.ConflictError](err); ok {
		if conflict.Lease != nil && conflict.Lease.LeaseID == free.LeaseID { // an earlier attempt was applied
			return nil
		}
		return wrap("go on from the mirror of", t.key, errOvertaken)
	}
	if err != nil {
		return wrap("raise the epoch of", t.key, err)
	}
	return nil
}

// mirrorFirst mirrors v before HEAD is put, and checks that no other process did the same.
func (t *traces) mirrorFirst(ctx context.Context, c *committer, v *store.Version) error {
	if err := c.archive.PutVersion(ctx, v); err != nil {
		return fmt.Errorf("mirror it: %w", err)
	}
	ids, err := archive.IDs(ctx, t.Archive, t.key)
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
