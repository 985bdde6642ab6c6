package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/milepost-dev/milepost/internal/retries"
	"github.com/milepost-dev/milepost/store"
)

// Observation is what anyone can see of a lease without holding it.
type Observation struct {
	Lease *store.Lease // nil: it was never acquired
	Clock store.Clock  // the store's, at the read
	Left  time.Duration
}

// Observe reads LEASE, strongly consistent. Left is how long the lease still runs by the
// store's clock; 0 if it is free, past its end, or has no end recorded.
func Observe(ctx context.Context, st store.Store, key store.Key) (Observation, error) {
	key = key.Filled()
	if err := key.Validate(); err != nil {
		return Observation{}, err
	}
	found, err := st.Look(ctx, key)
	if err != nil {
		return Observation{}, wrap("read the lease of", key, err)
	}
	o := Observation{Lease: found.Lease, Clock: found.Clock}
	_, o.Left = o.Lease.HeldAt(o.Clock)
	return o, nil
}

// BreakOptions say how a lease is broken.
type BreakOptions struct {
	By     store.Holder // who breaks the lease; empty fields are filled in
	Reason string       // required: kept on LEASE, and on the next version

	// Now does not watch for a renewal first. The holder is fenced whether it is alive or not.
	Now bool

	// DryRun watches and judges, and changes nothing.
	DryRun bool

	Readings *Readings
}

// Break ends a lease, no matter who holds it: it is for operators. Unless opts.Now is set, it first
// watches for half the lease's duration. A renewal in that time is a [*HeldError]: the holder is
// alive. Then it raises the epoch on LEASE, which it leaves free, and on HEAD, so that the old
// holder can commit nothing any more. It returns the new epoch; with DryRun, the epoch that it
// would be. If the lease is not held, the error matches [store.ErrNotFound].
func Break(ctx context.Context, st store.Store, key store.Key, opts *BreakOptions) (int64, error) {
	key = key.Filled()
	if err := key.Validate(); err != nil {
		return 0, err
	}
	if opts == nil || opts.Reason == "" {
		return 0, fmt.Errorf("break the lease of %s: a reason is required", key)
	}
	o, err := (&Options{Holder: opts.By, Readings: opts.Readings}).normalised()
	if err != nil {
		return 0, err
	}
	c := newContender(st, key, o)
	seen, err := c.look(ctx)
	if err != nil {
		return 0, wrap("break the lease of", key, err)
	}
	found := seen.Records
	if found.Lease == nil || found.Lease.Status == store.Free {
		return 0, fmt.Errorf("break the lease of %s: no one holds it: %w", key, store.ErrNotFound)
	}
	if !opts.Now {
		if found, err = c.watch(ctx, seen); err != nil {
			return 0, err
		}
	}
	next := c.next(found)
	next.Status, next.Reason, next.Duration = store.Free, store.CutText(opts.Reason, maxReason), found.Lease.Duration
	if opts.DryRun {
		return next.Epoch, nil
	}
	if err := c.steal(ctx, found, next, opts.Now); err != nil {
		if _, held := errors.AsType[*HeldError](err); held {
			return 0, err
		}
		return 0, wrap("break the lease of", key, err)
	}
	return next.Epoch, nil
}

// watch looks at the lease for half its duration.
func (c *contender) watch(ctx context.Context, seen looked) (store.Records, error) {
	found := seen.Records
	c.judge.look(found.Lease, seen.received)
	for c.opts.Readings.Mono()-seen.received < found.Lease.Duration/2 {
		if !retries.Sleep(ctx, pollInterval(found.Lease.Duration)) {
			return found, wrap("watch the lease of", c.key, context.Cause(ctx))
		}
		now, err := c.look(ctx)
		if err != nil {
			return found, wrap("watch the lease of", c.key, err)
		}
		if !now.Lease.SameAs(found.Lease) {
			if now.Lease == nil || now.Lease.Status == store.Free {
				return found, fmt.Errorf("break the lease of %s: it was released in the meantime: %w", c.key, store.ErrNotFound)
			}
			return found, heldError(c.key, now.Lease, now.Clock, true)
		}
		found = now.Records
	}
	return found, nil
}

// steal writes LEASE, and raises the fence on HEAD. With now it writes LEASE whatever its beat.
// Otherwise LEASE must be as the watch saw it last, since a renewal after that shows that the holder
// is alive.
func (c *contender) steal(ctx context.Context, found store.Records, next store.Lease, now bool) error {
	write := c.st.Acquire
	if now {
		write = c.st.Steal
	}
	err := c.until(ctx, func(ctx context.Context) error {
		_, err := write(ctx, c.key, found.Lease, next)
		return err
	})
	if conflict, ok := errors.AsType[*store.ConflictError](err); ok {
		switch at := conflict.Lease; {
		case at != nil && at.LeaseID == next.LeaseID: // an attempt landed
		case at.HeldUnder(found.Lease.Fence()):
			return heldError(c.key, at, found.Clock, true)
		default:
			return fmt.Errorf("it changed hands in the meantime: %w", err)
		}
	} else if err != nil {
		return err
	}
	err = c.until(ctx, func(ctx context.Context) error {
		_, _, err := c.st.Raise(ctx, c.key, next.Fence(), c.opts.Holder, found.Head == nil)
		return err
	})
	if conflict, ok := errors.AsType[*store.ConflictError](err); ok && conflict.Head != nil {
		return nil // raised by us or even higher: the old holder is fenced either way
	}
	return err
}

// until sends a write until an answer is definite, and returns that answer. Each attempt has its own
// timeout.
func (c *contender) until(ctx context.Context, write func(context.Context) error) error {
	retry := newRetry(c.teller)
	for {
		attempt, cancel := context.WithTimeout(ctx, c.opts.attemptTimeout())
		err := write(attempt)
		cancel()
		_, conflict := errors.AsType[*store.ConflictError](err)
		if err == nil || conflict || !retry.again(ctx, err) {
			return err
		}
	}
}
