package checkpoint

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/milepost-dev/milepost/internal/later"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// committer commits the versions of one checkpoint under one lease, one after another. Sessions and
// edits use a committer. Nothing else writes HEAD's content.
type committer struct {
	st      store.Store
	key     store.Key
	lease   *lease.Lease
	timeout time.Duration // of one attempt
	log     *slog.Logger
	retention

	archive archive.Writer  // of this checkpoint; its Archive is nil if there is none
	mirror  *mirror         // nil: versions are not mirrored
	from    int64           // the version that the lease started from
	landed  map[string]bool // the commit ids of the versions with a body that have landed

	life    context.Context // of the writes behind the commits
	stop    context.CancelCauseFunc
	silent  atomic.Pointer[silence] // since the last answer to a write; nil: the last write was answered
	behind  sync.WaitGroup
	copies  chan *copying // has room for one; there is never more than one
	closing chan struct{} // closed by close

	turn chan struct{} // holds a token; its owner owns all that follows

	lost    <-chan struct{} // closed when the lease ends; nil: the owner, a closing save, waits on
	base    store.Version   // the newest version that has landed
	commits int64           // how many commits were begun: with the lease's id, a commit's id
	first   bool            // the next commit is this lease's first
	open    *save           // the save whose outcome is not known; nil: none
	settled *SettledError   // the outcome of an open save, not yet reported
	copying *copying        // the copy of base; nil: the lease has committed nothing
	retired chan struct{}   // closed when the starts that left the list expire again; nil: none left
}

func newCommitter(ctx context.Context, n named, l *lease.Lease, o *Options) *committer {
	c := &committer{
		st: n.Store, key: n.key, lease: l, log: o.Logger,
		timeout:   min(10*time.Second, max(o.Lease.Duration/3, time.Second)),
		retention: retention{age: n.RetainAge, starts: n.RetainStarts},
		from:      l.Head().Number,
		landed:    map[string]bool{},
		copies:    make(chan *copying, 1),
		closing:   make(chan struct{}),
		turn:      make(chan struct{}, 1),
		base:      l.Head().Version,
		first:     true,
	}
	c.archive = archive.Writer{Archive: n.Archive, Key: c.key, Home: archive.Home(n.Store), Inline: n.InlineLimit, Timeout: c.timeout}
	c.life, c.stop = context.WithCancelCause(context.WithoutCancel(ctx))
	c.turn <- struct{}{}
	c.behind.Go(c.writeCopies)
	if c.archive.Archive != nil && n.Mirror != MirrorOff {
		c.mirror = newMirror(ctx, c, n.Mirror)
	}
	c.retire(c.base) // the starts that the session before had no time to retire
	return c
}

// commit makes sv the version after base. What it returns is final, except for an
// [*OutcomeUnknownError]. It calls sv.settled once the outcome is known: now, or in a later begin,
// before the next commit can start. The caller owns the turn.
func (c *committer) commit(ctx context.Context, sv *save) error {
	next := &sv.commit.Next
	if sv.state != nil {
		next.State, sv.state = packed(sv.state, sv.contentType), nil // compressed with no lock held
	}
	c.stamp(next)
	sv.commit.Fence, sv.commit.Base = c.lease.Fence(), c.base.Number
	sv.reported = len(sv.commit.Writes) > 0 || sv.write != nil
	err := c.place(ctx, sv)
	if err == nil && sv.before != nil {
		err = sv.before(ctx, next)
	}
	if err == nil && (sv.body != "" || sv.before != nil) { // the body or the call of before may have taken long
		err = c.lease.Ready(ctx)
	}
	if err != nil {
		c.settle(sv, savedError)
		return wrap(fmt.Sprintf("save version %d of", next.Number), c.key, fmt.Errorf("%w: %w", store.ErrNotApplied, err))
	}
	return c.send(ctx, sv)
}

// stamp makes next the version after base. It does not change fields that are set already, such as
// those that an import sets.
func (c *committer) stamp(next *store.Version) {
	fence := c.lease.Fence()
	next.Number = max(next.Number, c.base.Number+1)
	c.commits++
	next.CommitID = fmt.Sprintf("%s-%d", fence.LeaseID, c.commits)
	next.CommitEpoch = fence.Epoch
	next.By = c.lease.Holder().WithoutProcess()
	if next.SavedAt.IsZero() {
		next.SavedAt = c.savedAt()
	}
	if next.Born == 0 {
		c.carry(next)
	}
	if c.first && next.Reason == "" {
		next.Reason = c.lease.Reason()
	}
}

// secondsOff is how far two readings of a store's clock, in whole seconds, may contradict each
// other.
const secondsOff = 2 * time.Second

// savedAt returns the time of the next version. Reads as of a time need times that do not fall. So
// if the store's clock is behind the last version by up to secondsOff, savedAt returns the last
// version's time. If the clock is further behind, savedAt returns the clock's time: otherwise a
// clock that was wrong once would keep the time from moving.
func (c *committer) savedAt() time.Time {
	now := c.lease.Clock().Time().Truncate(time.Microsecond)
	if before := c.base.SavedAt; before.After(now) && before.Sub(now) <= secondsOff {
		return before.UTC()
	}
	return now
}

// flushWithin is how long the end of a session waits for the log to take its last messages.
const flushWithin = time.Second

// finish does what is left at the end of a session, when the lease is free: all of it within
// limits.
func (c *committer) finish(ctx context.Context) {
	c.finishArchive(ctx)
	later.Flush(c.log, flushWithin)
}

// close waits until the writes behind the last commit are durable, or ctx ends.
func (c *committer) close(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { c.stop(context.Cause(ctx)) })()
	close(c.closing)
	c.tellUnknown()
	c.behind.Wait()
	c.stop(nil)
	if c.copying != nil {
		return c.copying.err
	}
	return nil
}
