package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// committer commits the versions of one checkpoint under one lease, one after
// another: sessions and edits alike go this way, and no other writes HEAD.
type committer struct {
	st      store.Store
	key     store.Key
	lease   *lease.Lease
	timeout time.Duration // of one attempt
	log     *slog.Logger
	retention

	archive archive.Writer  // of this checkpoint; its Archive is nil where there is none
	mirror  *mirror         // nil: versions are not mirrored
	from    int64           // the version that it began with
	landed  map[string]bool // the commit ids of versions with a body that it has made

	life    context.Context // of the writes behind the commits
	stop    context.CancelFunc
	behind  sync.WaitGroup
	copies  chan *copying // there is room for one, and there is never more than one
	closing chan struct{} // closed by close

	turn chan struct{} // holds a token; who takes it owns all that follows

	lost    <-chan struct{} // closed when the lease ends, and the owner's waiting with it; nil: the closing save goes on
	base    store.Version   // the newest version known to be committed
	first   bool            // the next commit is this lease's first
	open    *pending        // the commit whose outcome is not known
	settled *SettledError   // what became of one, not yet reported
	copying *copying        // V#base on its way
	retired chan struct{}   // closed when starts that fell out have their expiry back; nil: none did
}

// pending is one commit, from its first attempt until it is settled.
type pending struct {
	commit    store.Commit
	body      string // the body that was made for it; "": none
	reported  bool   // the caller must be told what became of it
	ambiguous bool   // an attempt had no definite answer: sticky until it is settled
	refused   bool   // an unexplained definite error was seen once
	refusals  int    // how often the caller's own write was refused, after an ambiguous attempt
	after     func(landed bool)

	began  time.Time       // when the first attempt was sent; zero: none was
	ctx    context.Context // of the save
	failed string          // its outcome if it fails; "": savedError
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
	c.archive = archive.Writer{Archive: n.Archive, Key: c.key, Inline: n.InlineLimit, Timeout: c.timeout}
	c.life, c.stop = context.WithCancel(context.WithoutCancel(ctx))
	c.turn <- struct{}{}
	c.behind.Go(c.writeCopies)
	if c.archive.Archive != nil && n.Mirror != MirrorOff {
		c.mirror = newMirror(ctx, c, n.Mirror)
	}
	c.retire(c.base) // what the session before had no time for
	return c
}

// purpose says who asks for a commit: what became of an earlier one is reported to some, and
// settled in silence for others.
type purpose int

const (
	plainSave      purpose = iota // the caller's
	writesSave                    // the caller's, with writes of theirs
	backgroundSave                // nobody is there to be told
	closingSave                   // the session ends; Close reports
)

// errUnreported: nothing is saved in the background until the caller was told what
// became of their writes.
var errUnreported = errors.New("the outcome of an earlier save waits to be reported")

// begin waits for the turn, settles what is open, and returns nil when a commit may start:
// V#base is durable, and the lease allows it. The caller then calls end.
func (c *committer) begin(ctx context.Context, why purpose) error {
	lost := c.lease.Context().Done()
	if why == closingSave {
		lost = nil
	}
	select {
	case <-c.turn: // though ctx has ended: what is open may still be settled
	default:
		select {
		case <-c.turn:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-lost:
			return context.Cause(c.lease.Context())
		}
	}
	c.lost = lost
	err := c.prepare(ctx, why)
	if err != nil {
		c.end()
	}
	return err
}

func (c *committer) end() { c.turn <- struct{}{} }

// over is why who has the turn waits no longer: ctx has ended, or the lease. nil: neither has.
func (c *committer) over(ctx context.Context) error {
	if ctx.Err() != nil || c.lost == nil {
		return context.Cause(ctx)
	}
	return context.Cause(c.lease.Context())
}

// bounded is ctx, ended by the lease as well where that ends the turn.
func (c *committer) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if c.lost == nil {
		return ctx, func() { cancel(nil) }
	}
	live := c.lease.Context()
	undo := context.AfterFunc(live, func() { cancel(context.Cause(live)) })
	if live.Err() != nil { // now, not when the scheduler comes to it: what follows must not depend on that
		cancel(context.Cause(live))
	}
	return ctx, func() { undo(); cancel(nil) }
}

func (c *committer) prepare(ctx context.Context, why purpose) error {
	if err := c.settleOpen(ctx, why); err != nil {
		return err
	}
	if s := c.settled; s != nil {
		switch why {
		case backgroundSave:
			return errUnreported
		case plainSave, writesSave:
			c.settled = nil
			return s
		}
	}
	if lost := c.lease.Lost(); lost != nil {
		return lost
	}
	if err := c.copied(ctx); err != nil {
		return err
	}
	if c.first {
		if err := c.keepBase(ctx); err != nil {
			return err
		}
	}
	if why == closingSave {
		c.awaitRetired(ctx)
		if c.mirror != nil {
			c.mirror.await(ctx)
		}
	}
	return c.lease.Ready(ctx)
}

// awaitRetired gives the starts that fell out a moment to leave the list with the closing
// commit. It is housekeeping: a store that does not answer it must not cost the last save.
func (c *committer) awaitRetired(ctx context.Context) {
	if c.retired == nil {
		return
	}
	moment, cancel := context.WithTimeout(ctx, c.timeout/2)
	defer cancel()
	select {
	case <-c.retired:
	case <-moment.Done():
	}
}

// settleOpen sends the open commit again until its outcome is known.
func (c *committer) settleOpen(ctx context.Context, why purpose) error {
	p := c.open
	if p == nil {
		return nil
	}
	err := c.send(ctx, p)
	if c.open != nil {
		if unknown, ok := errors.AsType[*OutcomeUnknownError](err); ok {
			unknown.Earlier = true
		}
		return err
	}
	if p.reported || why == writesSave {
		s := &SettledError{
			Key: c.key, Version: p.commit.Next.Number, CommitID: p.commit.Next.CommitID, Landed: err == nil, Err: err,
		}
		if lost := c.lease.Lost(); lost != nil {
			s.Err = lost
		}
		c.settled = s
	}
	return nil
}

// commit makes next the version after base. What it returns is final, but for an
// [*OutcomeUnknownError]. after is called once when the outcome is known, now or
// by a later begin, before the next commit can start.
func (c *committer) commit(ctx context.Context, next store.Version, writes []store.Write, after func(landed bool)) error {
	return c.commitDraft(ctx, draft{next: next, writes: writes, after: after})
}

// draft is a version to be committed. All but next may be nil.
type draft struct {
	next   store.Version
	write  func(io.Writer) error // writes the state, which is of type
	typed  string                // this content type
	writes []store.Write
	before func(context.Context, *store.Version) error // comes last before it is sent; its error fails the commit
	after  func(landed bool)
}

// commitDraft is commit.
func (c *committer) commitDraft(ctx context.Context, d draft) error {
	c.stamp(&d.next)
	p := &pending{
		commit:   store.Commit{Fence: c.lease.Fence(), Base: c.base.Number, Next: d.next, Writes: d.writes},
		reported: len(d.writes) > 0 || d.write != nil,
		after:    d.after,
	}
	err := c.place(ctx, p, d.write, d.typed)
	if err == nil && d.before != nil {
		err = d.before(ctx, &p.commit.Next)
	}
	if err == nil && (p.body != "" || d.before != nil) { // that may have taken long
		err = c.lease.Ready(ctx)
	}
	if err != nil {
		c.settle(p, savedError)
		return wrap(fmt.Sprintf("save version %d of", d.next.Number), c.key, fmt.Errorf("%w: %w", store.ErrNotApplied, err))
	}
	return c.send(ctx, p)
}

// stamp makes next the version after base, but for what is set already where a history is brought in
// from elsewhere.
func (c *committer) stamp(next *store.Version) {
	fence := c.lease.Fence()
	next.Number = max(next.Number, c.base.Number+1)
	next.CommitID = lease.NewID()
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

// secondsOff is how far two readings of a store's clock, each of whole seconds, may contradict each other.
const secondsOff = 2 * time.Second

// savedAt is the time of the next version, which is not before the last one's: what is read as of a time goes by that. A
// clock that was set back by more is believed, or one that was once set wrong would stop time for as long.
func (c *committer) savedAt() time.Time {
	now := c.lease.Clock().Time().Truncate(time.Microsecond)
	if before := c.base.SavedAt; before.After(now) && before.Sub(now) <= secondsOff {
		return before.UTC()
	}
	return now
}

// close waits until what is behind the last commit is durable, or ctx ends.
func (c *committer) close(ctx context.Context) error {
	defer context.AfterFunc(ctx, c.stop)()
	close(c.closing)
	c.tellUnknown()
	c.behind.Wait()
	c.stop()
	if c.copying != nil {
		return c.copying.err
	}
	return nil
}
