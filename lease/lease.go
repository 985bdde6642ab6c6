package lease

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/milepost-dev/milepost/internal/later"
	"github.com/milepost-dev/milepost/internal/retries"
	"github.com/milepost-dev/milepost/store"
)

// Lease is the right to advance one checkpoint, from [Acquire] to [Lease.Release]. Its methods may
// be called from any goroutine.
type Lease struct {
	st     store.Store
	key    store.Key
	opts   *Options
	fence  store.Fence
	reason string
	head   store.Head
	prior  *store.Lease
	expect *store.Expectation

	ctx    context.Context
	cancel context.CancelCauseFunc

	handoff  chan struct{} // closed when a handoff is wanted
	lost     chan struct{} // closed when the lease is lost or released
	kick     chan struct{} // asks for a renewal now
	beating  context.Context
	stopBeat context.CancelFunc
	beatDone chan struct{}
	released chan struct{} // closed when the first Release has ended
	progress atomic.Int64  // monotonic reading of the last Progress
	deadline *time.Timer
	teller   *teller
	over     atomic.Bool // lost or released

	mu        sync.Mutex
	sent      time.Duration // monotonic, just before the last request that succeeded was sent
	sentWall  time.Time     // the wall clock at that moment
	clock     store.Clock   // of the reply to that request, as if it was read at sent: never too early
	least     clockFloor    // of all replies: never too late
	jumped    bool          // the clocks ran apart: no commit until a renewal succeeds
	blind     bool          // the next renewal records no expiry
	beat      int64
	version   int64
	renewed   chan struct{} // closed and replaced at each renewal
	renewErr  error
	loss      *LostError
	acquired  bool // Acquire has returned the lease, or is about to
	releasing bool
	wanted    *store.Wanted // as the renewal before showed it
	yielding  bool
}

// Context is derived from Acquire's context. It is cancelled, with a [*LostError] as its cause, the
// moment the lease is lost or released: at the latest Options.LoseAfter after the last renewal.
// When Acquire's context ends, so does this one, but the lease is renewed until Release.
func (l *Lease) Context() context.Context { return l.ctx }

// Epoch is the fencing token: it rises with every acquisition of this key, forever. Give it to
// everything else that the lease is to fence, and let that refuse lower epochs.
func (l *Lease) Epoch() int64 { return l.fence.Epoch }

// Fence is the fence that this holder's commits carry.
func (l *Lease) Fence() store.Fence { return l.fence }

// Key is the key of the checkpoint.
func (l *Lease) Key() store.Key { return l.key }

// Holder is who holds the lease, with all its fields filled in.
func (l *Lease) Holder() store.Holder { return l.opts.Holder }

// Head is HEAD as it was when the fence was raised: no older epoch can change it any more.
func (l *Lease) Head() store.Head { return l.head }

// Prior is LEASE as it was before this acquisition. Nil: there was none.
func (l *Lease) Prior() *store.Lease { return l.prior }

// Expected is EXPECT as it was before this acquisition. Nil: there was none.
func (l *Lease) Expected() *store.Expectation { return l.expect }

// Reason is the reason of an operator's steal that no version carries yet: the first commit takes
// it over. It is usually empty.
func (l *Lease) Reason() string { return l.reason }

// HandoffWanted is closed when a live waiter asks for the lease and Options.Yield agreed to that.
func (l *Lease) HandoffWanted() <-chan struct{} { return l.handoff }

// Committed tells the lease the version that HEAD now has. The next beat and the release record it.
func (l *Lease) Committed(version int64) {
	l.mu.Lock()
	l.version = version
	l.mu.Unlock()
}

// Progress says that the holder is not stuck (Options.MaxSilence). It costs some nanoseconds.
func (l *Lease) Progress() { l.progress.Store(int64(l.opts.Readings.Mono())) }

// Clock is the store's clock now: a reading, and the monotonic time since its receipt. So it is not
// ahead of the store's clock, and a slow reply does not set it back. It is zero if the store has no
// clock.
func (l *Lease) Clock() store.Clock {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.least.at(l.opts.Readings.Mono())
}

// Tell passes an event of the caller's own to Options.Observer, in order with those of the lease.
// It never blocks.
func (l *Lease) Tell(e Event) { l.teller.tell(e) }

// Failed tells Options.Observer if err says that the store throttled a request.
func (l *Lease) Failed(err error) { l.teller.failed(err) }

// clockAt is the latest that the store's clock can be at that moment. The end of the lease is
// recorded by it: late is safe there.
func (l *Lease) clockAt(mono time.Duration) store.Clock {
	if l.clock.IsZero() {
		return store.Clock{}
	}
	return l.clock.Add(mono - l.sent)
}

// Ready returns nil if a new commit may start: the last renewal is younger than
// Options.CommitWithin, and the clocks have not jumped since. Otherwise it asks for a renewal and
// waits for it. It returns a [*LostError] if the lease is lost, and the cause of ctx when ctx ends.
func (l *Lease) Ready(ctx context.Context) error {
	for {
		l.mu.Lock()
		now := l.opts.Readings.Mono()
		l.noticeJump(now)
		loss, renewed := l.loss, l.renewed
		ready := !l.jumped && now-l.sent < l.opts.CommitWithin
		l.mu.Unlock()
		if loss != nil {
			return loss
		}
		if ready {
			return nil
		}
		select {
		case l.kick <- struct{}{}:
		default:
		}
		select {
		case <-renewed:
		case <-l.lost:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Lose ends the lease because a commit found that it is lost: HEAD has a higher epoch, or the store
// has gone backward. If the lease is lost already, the first reason stays.
func (l *Lease) Lose(e *LostError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lose(e)
}

// Left is how long it takes from now until another run may take the lease, if no further renewal
// succeeds. It is 0 or less once that can have happened, and once another run has taken the lease.
func (l *Lease) Left() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loss != nil && l.loss.Reason == Stolen {
		return 0
	}
	return l.opts.Duration - (l.opts.Readings.Mono() - l.sent)
}

// Over reports whether the lease is lost or released. It costs some nanoseconds, and is true from
// before the moment that [Lease.Context] ends.
func (l *Lease) Over() bool { return l.over.Load() }

// Lost returns why the lease is lost or released, and nil before that.
func (l *Lease) Lost() *LostError {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.loss
}

func (l *Lease) lose(e *LostError) {
	if l.loss != nil {
		return
	}
	e.Key, e.Epoch, e.LastRenewal = l.key, l.fence.Epoch, l.sentWall
	l.loss = e
	l.over.Store(true)
	l.deadline.Stop()
	l.cancel(e)
	close(l.lost)
	if e.Reason != Released {
		l.tellLoss()
		l.opts.Logger.Warn("lease lost", "checkpoint", l.key.String(), "epoch", l.fence.Epoch, "reason", string(e.Reason))
	}
}

// tellLoss tells of a loss, unless Acquire fails: then no run has lost a lease. It is called with
// l.mu held.
func (l *Lease) tellLoss() {
	if l.acquired && l.loss != nil && l.loss.Reason != Released {
		l.teller.tell(l.loss)
	}
}

// expire is called by the deadline's timer. It waits for no request.
func (l *Lease) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if left := l.opts.LoseAfter - (l.opts.Readings.Mono() - l.sent); left > 0 { // it was renewed
		l.deadline.Reset(left)
		return
	}
	err := l.renewErr
	if l.silent() {
		err = errors.New("the holder reported no progress for " + l.opts.MaxSilence.String())
	}
	l.lose(&LostError{Reason: Expired, Err: err})
}

func (l *Lease) silent() bool {
	return l.opts.MaxSilence > 0 &&
		l.opts.Readings.Mono()-time.Duration(l.progress.Load()) > l.opts.MaxSilence
}

// noticeJump compares the wall clock with the monotonic one since the last renewal. A step of the
// clock or a sleep of the machine counts as a missed renewal.
func (l *Lease) noticeJump(mono time.Duration) {
	wall := l.opts.Readings.Wall().Round(0)
	drift := wall.Sub(l.sentWall) - (mono - l.sent)
	if drift.Abs() > l.opts.Duration/10 {
		l.jumped, l.blind = true, true
	}
}

// keepBeating renews until the lease is lost or released.
func (l *Lease) keepBeating() {
	defer close(l.beatDone)
	timer := time.NewTimer(l.opts.Beat)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-l.kick:
		case <-l.lost:
			return
		case <-l.beating.Done():
			return
		}
		if !l.silent() && !l.renew() {
			timer.Reset(l.opts.Beat / 4)
			continue
		}
		l.mu.Lock()
		sinceSent := l.opts.Readings.Mono() - l.sent
		l.mu.Unlock()
		timer.Reset(max(l.opts.Beat-sinceSent, l.opts.Beat/4))
	}
}

// renew sends one beat, and reports whether it is recorded in LEASE.
func (l *Lease) renew() bool {
	l.mu.Lock()
	sent := l.opts.Readings.Mono()
	l.noticeJump(sent)
	sentWall := l.opts.Readings.Wall().Round(0)
	l.beat++
	r := store.Renewal{Fence: l.fence, Beat: l.beat, RenewedAt: sentWall, Version: l.version}
	if !l.blind && !l.clock.IsZero() {
		r.Until = l.clockAt(sent).Add(l.opts.Duration)
	}
	l.mu.Unlock()

	ctx, cancel := context.WithTimeout(l.beating, l.opts.Beat)
	defer cancel()
	record, clock, err := l.st.Renew(ctx, l.key, r)

	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loss != nil || l.releasing {
		return true
	}
	if conflict, ok := errors.AsType[*store.ConflictError](err); ok {
		switch at := conflict.Lease; {
		case at == nil:
			l.lose(&LostError{Reason: Stolen, Err: errors.New("LEASE is gone")})
			return false
		case at.LeaseID != l.fence.LeaseID || at.Status != store.Held:
			l.lose(&LostError{Reason: Stolen, By: at.Holder, ByEpoch: at.Epoch})
			return false
		case at.Beat >= r.Beat: // an attempt of ours landed
			record, clock, err = *at, store.Clock{}, nil
		}
	}
	if errors.Is(err, store.ErrReplaced) {
		l.lose(&LostError{Reason: Stolen, Err: err})
		return false
	}
	l.renewErr = err
	if err != nil {
		l.teller.failed(err)
		l.opts.Logger.Warn("lease not renewed", "checkpoint", l.key.String(), "epoch", l.fence.Epoch, "error", err)
		return false
	}
	if l.acquired {
		l.teller.tell(Renewed{Late: sent-l.sent > l.opts.CommitWithin})
	}
	l.took(sent, sentWall, clock)
	l.noticeHandoff(record.Wanted)
	return true
}

// took records that a request that was sent at that moment succeeded.
func (l *Lease) took(sent time.Duration, sentWall time.Time, clock store.Clock) {
	now := l.opts.Readings.Mono()
	l.blind = false
	l.least.read(clock, sent, now)
	if !clock.IsZero() {
		l.blind = differ(clock, l.clockAt(now))
		l.clock = clock
	} else if !l.clock.IsZero() { // the reply had no reading: continue from the last one
		l.clock = l.clockAt(sent)
	}
	l.sent, l.sentWall, l.jumped = sent, sentWall, false
	l.deadline.Reset(max(l.opts.LoseAfter-(now-sent), 0))
	close(l.renewed)
	l.renewed = make(chan struct{})
}

// differ reports whether a reading differs from the expected one by more than 2 s.
func differ(read, expected store.Clock) bool {
	const most = 2 * time.Second
	switch {
	case expected.IsZero():
		return false
	case read.Boot != "" || expected.Boot != "":
		return read.Boot != expected.Boot || (read.Uptime-expected.Uptime).Abs() > most
	}
	return read.Wall.Sub(expected.Wall).Abs() > most
}

func (l *Lease) noticeHandoff(w *store.Wanted) {
	before := l.wanted
	l.wanted = w
	moved := before != nil && w != nil && before.By == w.By && w.Count > before.Count
	if l.opts.Yield && moved && !l.yielding {
		l.yielding = true
		close(l.handoff)
	}
}

// Release marks the lease free and stops the renewals. It also tries to mark free a lease that was
// lost by expiry, but leaves a lease alone that another run holds. It tries until ctx ends, and at
// most for the lease's duration. If it does not succeed, it returns the error, and the lease
// expires by itself. After a handoff it returns two polls later, so that a caller that acquires
// again at once does not come before the waiter. A second call waits for the first one to end.
func (l *Lease) Release(ctx context.Context) error {
	l.mu.Lock()
	again := l.releasing
	l.releasing = true
	stolen := l.loss != nil && l.loss.Reason == Stolen
	version, yielding := l.version, l.yielding
	l.mu.Unlock()
	if again {
		<-l.released
		return nil
	}
	defer close(l.released)
	ctx, cancel := context.WithTimeout(ctx, l.opts.Duration)
	defer cancel()
	l.Lose(&LostError{Reason: Released}) // first: once LEASE is free, another run may begin
	var err error
	if !stolen {
		err = l.markFree(ctx, version)
	}
	l.stopBeat()
	<-l.beatDone
	if yielding && err == nil {
		retries.Sleep(ctx, 2*pollInterval(l.opts.Duration))
	}
	by := time.Now().Add(tellWithin)
	l.teller.queue.Wait(tellWithin)
	later.Flush(l.opts.Logger, time.Until(by))
	return err
}

func (l *Lease) markFree(ctx context.Context, version int64) error {
	retry := newRetry(l.teller)
	for {
		attempt, cancel := context.WithTimeout(ctx, l.opts.attemptTimeout())
		err := l.st.Release(attempt, l.key, l.fence, version)
		cancel()
		if _, taken := errors.AsType[*store.ConflictError](err); err == nil || taken {
			return nil
		}
		if !retry.again(ctx, err) {
			return wrap("release the lease of", l.key, err)
		}
	}
}
