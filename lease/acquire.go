package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/milepost-dev/milepost/internal/retries"
	"github.com/milepost-dev/milepost/store"
)

// EpochLeap is how far an epoch rises where records were lost: above HEAD's if LEASE is missing,
// and above every epoch seen if a lost store is restored. A holder from before the loss can have
// gone on, but never so far.
const EpochLeap = 1_000_000

// patience is how long an acquisition tries to reach a store that does not answer.
const patience = 10 * time.Second

// Acquire acquires the lease of key and raises its fence, in three requests if the lease is free.
// If another run holds the lease, it waits for Options.Wait and then returns a [*HeldError]. An
// error that matches [ErrStoreRegressed], [store.ErrBadRecord] or [store.ErrNewerFormat] says what
// must be repaired first; for ErrStoreRegressed nothing was written. If the store does not answer
// for ten seconds, the error matches [store.ErrUnavailable]. If it refuses the credentials for ten
// seconds, the error matches [store.ErrCredentials]. When ctx ends, Acquire returns the
// cause of ctx, and tries to leave the lease free. If ctx ends while Acquire waits for another
// run's lease, the HeldError has the cause. A key without a namespace is in the default namespace.
func Acquire(ctx context.Context, st store.Store, key store.Key, opts *Options) (*Lease, error) {
	key = key.Filled()
	if err := key.Validate(); err != nil {
		return nil, err
	}
	o, err := opts.normalised()
	if err != nil {
		return nil, err
	}
	c := newContender(st, key, o)
	l, err := c.contend(ctx)
	if err != nil {
		if _, held := errors.AsType[*HeldError](err); held || errors.Is(err, ErrStoreRegressed) {
			return nil, err
		}
		return nil, wrap("acquire the lease of", key, err)
	}
	return l, nil
}

// contender is one run that tries to acquire a lease.
type contender struct {
	st      store.Store
	key     store.Key
	opts    *Options
	judge   judge
	least   clockFloor // by the look that the acquisition goes by
	teller  *teller
	known   int64 // the version that LEASE had in an earlier look, so HEAD must have it by now
	polls   int64
	waiting time.Duration // monotonic, when the lease was first found held
	held    *HeldError    // nil: it was not found held
}

func newContender(st store.Store, key store.Key, o *Options) *contender {
	return &contender{st: st, key: key, opts: o, judge: judge{opts: o}, teller: newTeller(o, key)}
}

func (c *contender) contend(ctx context.Context) (*Lease, error) {
	for {
		found, err := c.look(ctx)
		if c.held != nil && ctx.Err() != nil {
			return nil, c.gaveUp(ctx)
		}
		if err != nil {
			return nil, err
		}
		c.judge.look(found.Lease, found.received)
		again, err := c.goneBackward(found.Records)
		if err != nil {
			return nil, err
		}
		if again {
			continue
		}
		if !c.judge.may(found.Clock, found.received) {
			if err := c.wait(ctx, found.Records); err != nil {
				return nil, err
			}
			continue
		}
		if err := c.accept(ctx, found.Records); err != nil {
			return nil, err
		}
		l, err := c.take(ctx, found)
		if l == nil && err == nil { // lost the race
			continue
		}
		return l, err
	}
}

// looked is what a look found, and when: the store read its clock between sent and received.
type looked struct {
	store.Records
	sent, received time.Duration // monotonic, of the request that was answered
}

// look reads LEASE and HEAD, and tries again while the store does not answer.
func (c *contender) look(ctx context.Context) (looked, error) {
	retry := newRetry(c.teller)
	for {
		attempt, cancel := context.WithTimeout(ctx, c.opts.attemptTimeout())
		sent := c.opts.Readings.Mono()
		found, err := c.st.Look(attempt, c.key)
		cancel()
		if err == nil {
			return looked{found, sent, c.opts.Readings.Mono()}, nil
		}
		if !retry.again(ctx, err) {
			return looked{}, err
		}
	}
}

// goneBackward returns an error if HEAD is below a version that LEASE had before HEAD was read.
// Nothing is written then. A look is not one snapshot: a commit and a beat may come between its
// reads of HEAD and of LEASE. So a HEAD that is below the LEASE of the same look proves nothing, and
// goneBackward asks for another look.
func (c *contender) goneBackward(found store.Records) (again bool, _ error) {
	if c.opts.AcceptRegression {
		return false, nil
	}
	version := headVersion(found.Head)
	if version < c.known {
		return false, c.regression(version, c.known)
	}
	if found.Lease == nil || found.Lease.Version <= version {
		return false, nil
	}
	c.known = found.Lease.Version
	return true, nil
}

func (c *contender) regression(version, known int64) error {
	return fmt.Errorf("checkpoint %s: %w: HEAD is at version %d, and version %d was committed before",
		c.key, ErrStoreRegressed, version, known)
}

// accept asks the caller whether what was read may be led on from.
func (c *contender) accept(ctx context.Context, found store.Records) error {
	if c.opts.Accept == nil {
		return nil
	}
	return c.opts.Accept(ctx, found)
}

// wait sleeps until the next poll, or gives up.
func (c *contender) wait(ctx context.Context, found store.Records) error {
	now := c.opts.Readings.Mono()
	if c.held == nil {
		c.waiting = now
	}
	held := heldError(c.key, found.Lease, found.Clock, c.judge.renewed)
	c.held = held
	left := c.opts.Wait - (now - c.waiting)
	if left <= 0 {
		return held
	}
	if c.opts.OnWait != nil {
		c.opts.OnWait(held)
	}
	if c.opts.TakeOver {
		c.polls++
		attempt, cancel := context.WithTimeout(ctx, c.opts.attemptTimeout())
		err := c.st.Want(attempt, c.key, found.Lease.Fence(), store.Wanted{By: c.opts.Holder.ID, Count: c.polls})
		cancel()
		c.teller.failed(err) // a wish that is not heard is no reason to stop: the next look decides
	}
	if !retries.Sleep(ctx, min(left, c.judge.pollAfter(found.Clock, now))) {
		return c.gaveUp(ctx)
	}
	return nil
}

// gaveUp returns who held the lease when ctx ended the wait for it.
func (c *contender) gaveUp(ctx context.Context) error {
	held := *c.held // OnWait may have kept the other
	held.Err = context.Cause(ctx)
	return &held
}

// take writes LEASE and raises the fence. It returns nil and nil if another run was faster.
func (c *contender) take(ctx context.Context, found looked) (*Lease, error) {
	next := c.next(found.Records)
	if next.Epoch > store.MaxNumber {
		return nil, &store.BadRecordError{Key: c.key, Record: store.RecordLease,
			Err: fmt.Errorf("no epoch is left above those of LEASE and HEAD: %d is the highest", int64(store.MaxNumber))}
	}
	c.least = clockFloor{found.Clock, found.received}
	// All that the lease promises counts from here, before the first attempt: several attempts
	// carry the same bytes, and it is not known which one landed.
	sent, sentWall := c.opts.Readings.Mono(), c.opts.Readings.Wall().Round(0)
	clock := found.Clock
	if !clock.IsZero() {
		clock = clock.Add(sent - found.sent)
		next.Until = clock.Add(c.opts.Duration)
	}
	if mine, err := c.write(ctx, found.Lease, next); err != nil || !mine {
		return nil, err
	}
	l := newLease(ctx, c, next, sent, sentWall, clock)
	l.prior, l.expect = found.Lease, found.Expect
	head, err := c.raise(l, found.Head)
	if err == nil {
		err = c.fell(found.Records, head)
	}
	if err == nil {
		err = c.accept(l.ctx, store.Records{Head: &head, Lease: found.Lease, Expect: found.Expect, Clock: clock})
	}
	if err == nil {
		err = context.Cause(l.ctx)
	}
	if err != nil {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.opts.attemptTimeout())
		defer cancel()
		_ = l.Release(bounded) // else it expires by itself
		if lost, ok := errors.AsType[*LostError](err); errors.Is(err, errOutrun) || ok && lost.Reason == Stolen {
			return nil, nil // the raise or a renewal found another run, which now has the lease
		}
		return nil, err
	}
	l.head = head
	l.Committed(max(next.Version, head.Number))
	l.tellAcquired(next.AcquiredAt)
	return l, nil
}

func (l *Lease) tellAcquired(acquiredAt time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := Acquired{Died: l.prior != nil && l.prior.Status == store.Held}
	if e.Died {
		e.Silent = max(acquiredAt.Sub(l.prior.RenewedAt), 0)
	}
	l.teller.tell(e)
	l.acquired = true
	l.tellLoss()
}

// fell returns an error if HEAD, read behind the fence, is below what was read before.
func (c *contender) fell(found store.Records, head store.Head) error {
	if c.opts.AcceptRegression {
		return nil
	}
	if before := headVersion(found.Head); head.Number < before {
		return fmt.Errorf("checkpoint %s: %w: HEAD was at version %d and is at %d",
			c.key, ErrStoreRegressed, before, head.Number)
	}
	if found.Lease != nil && head.Number < found.Lease.Version {
		return c.regression(head.Number, found.Lease.Version)
	}
	return nil
}

// next is the LEASE record that this acquisition writes.
func (c *contender) next(found store.Records) store.Lease {
	wall := c.opts.Readings.Wall().Round(0)
	next := store.Lease{
		Epoch:      1,
		LeaseID:    c.opts.Readings.ID(),
		Status:     store.Held,
		Holder:     c.opts.Holder,
		Duration:   c.opts.Duration,
		AcquiredAt: wall,
		RenewedAt:  wall,
		Reason:     store.CutText(c.opts.Reason, maxReason),
		Version:    headVersion(found.Head),
	}
	switch {
	case found.Lease != nil:
		next.Epoch = found.Lease.Epoch + 1
		next.Version = max(next.Version, found.Lease.Version)
		if found.Head != nil {
			next.Epoch = max(next.Epoch, found.Head.Fence.Epoch+1)
		}
		if unsaid := found.Head == nil || found.Head.CommitEpoch < found.Lease.Epoch; unsaid && next.Reason == "" {
			next.Reason = found.Lease.Reason
		}
	case found.Head != nil:
		next.Epoch = found.Head.Fence.Epoch + EpochLeap
	}
	return next
}

// write puts next into LEASE. It sends the same bytes until an answer is definite, and reports
// whether they are there: otherwise another run was faster.
func (c *contender) write(ctx context.Context, observed *store.Lease, next store.Lease) (bool, error) {
	retry := newRetry(c.teller)
	for {
		attempt, cancel := context.WithTimeout(ctx, c.opts.attemptTimeout())
		_, err := c.st.Acquire(attempt, c.key, observed, next)
		cancel()
		if err == nil {
			return true, nil
		}
		if conflict, ok := errors.AsType[*store.ConflictError](err); ok {
			return conflict.Lease != nil && conflict.Lease.LeaseID == next.LeaseID, nil
		}
		if !errors.Is(err, store.ErrNotApplied) && ctx.Err() == nil {
			if found, lookErr := c.look(ctx); lookErr == nil {
				switch at := found.Lease; {
				case at != nil && at.LeaseID == next.LeaseID:
					return true, nil
				case !at.SameAs(observed):
					return false, nil // so ours can never land any more
				}
			}
		}
		if !retry.again(ctx, err) {
			return false, err
		}
	}
}

// errOutrun: another run raised the fence first.
var errOutrun = errors.New("another run raised the fence")

// raise puts the fence on HEAD. The lease is renewed in the meantime. If it is lost, raise fails.
func (c *contender) raise(l *Lease, seen *store.Head) (store.Head, error) {
	ctx := l.ctx
	retry := newRetry(c.teller)
	for {
		attempt, cancel := context.WithTimeout(ctx, c.opts.attemptTimeout())
		head, _, err := c.st.Raise(attempt, c.key, l.fence, c.opts.Holder, seen == nil)
		cancel()
		if err == nil {
			return head, nil
		}
		if conflict, ok := errors.AsType[*store.ConflictError](err); ok {
			switch at := conflict.Head; {
			case at == nil:
				return store.Head{}, fmt.Errorf("checkpoint %s: %w: HEAD was at version %d and is gone",
					c.key, ErrStoreRegressed, headVersion(seen))
			case at.Fence.LeaseID == l.fence.LeaseID:
				return *at, nil // an attempt of ours landed
			default:
				return store.Head{}, errOutrun
			}
		}
		if !errors.Is(err, store.ErrNotApplied) && ctx.Err() == nil {
			if found, lookErr := c.look(ctx); lookErr == nil && found.Head != nil {
				switch at := found.Head; {
				case at.Fence.LeaseID == l.fence.LeaseID:
					return *at, nil
				case at.Fence.Epoch >= l.fence.Epoch:
					return store.Head{}, errOutrun
				}
			}
		}
		if !retry.again(ctx, err) {
			if cause := context.Cause(ctx); cause != nil {
				return store.Head{}, cause
			}
			return store.Head{}, err
		}
	}
}

func headVersion(h *store.Head) int64 {
	if h == nil {
		return 0
	}
	return h.Number
}

func newLease(ctx context.Context, c *contender, next store.Lease, sent time.Duration, wall time.Time, clock store.Clock) *Lease {
	l := &Lease{
		st: c.st, key: c.key, opts: c.opts, fence: next.Fence(), teller: c.teller,
		handoff: make(chan struct{}), lost: make(chan struct{}), kick: make(chan struct{}, 1),
		renewed: make(chan struct{}), beatDone: make(chan struct{}), released: make(chan struct{}),
		sent: sent, sentWall: wall, clock: clock, least: c.least, beat: next.Beat, version: next.Version,
	}
	if next.Reason != store.CutText(c.opts.Reason, maxReason) {
		l.reason = next.Reason
	}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	l.beating, l.stopBeat = context.WithCancel(context.WithoutCancel(ctx))
	l.Progress()
	l.mu.Lock() // the timer may fire before it is assigned
	l.deadline = time.AfterFunc(max(c.opts.LoseAfter-(c.opts.Readings.Mono()-sent), 0), l.expire)
	l.mu.Unlock()
	go l.keepBeating()
	return l
}

// attemptTimeout bounds one request, so that a connection that hangs does not outlast the lease.
func (o *Options) attemptTimeout() time.Duration {
	return min(5*time.Second, max(o.Duration/3, 500*time.Millisecond))
}

// retry paces the attempts of one step.
type retry struct {
	intervals *backoff.ExponentialBackOff
	tries     retries.Tries
	began     time.Time
	teller    *teller
}

func newRetry(t *teller) *retry {
	b := retries.Pace()
	b.MaxInterval = time.Second
	return &retry{intervals: b, began: time.Now(), teller: t}
}

// again sleeps until the next attempt, after an attempt that failed with err. It reports false if
// there is to be none.
func (r *retry) again(ctx context.Context, err error) bool {
	r.teller.failed(err)
	return r.tries.Again(err) && ctx.Err() == nil && time.Since(r.began) < patience && retries.Sleep(ctx, r.intervals.NextBackOff())
}

func wrap(doing string, key store.Key, err error) error {
	return fmt.Errorf("%s %s: %w", doing, key, err)
}
