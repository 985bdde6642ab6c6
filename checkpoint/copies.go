package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/milepost-dev/milepost/internal/retries"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// copying is the write of the copy V#n, after the commit of version n.
type copying struct {
	version store.Version
	done    chan struct{} // closed when the write has ended
	err     error         // set before done is closed; nil: the copy is durable
}

// silence says since when the store has answered no write.
type silence struct {
	since time.Time
	err   error // of the last attempt
}

// heard notes whether the store has answered a write that was sent at that time.
func (c *committer) heard(sent time.Time, err error) {
	_, conflict := errors.AsType[*store.ConflictError](err)
	if err == nil || conflict || errors.Is(err, store.ErrNotApplied) {
		c.silent.Store(nil)
		return
	}
	if before := c.silent.Load(); before != nil {
		sent = before.since
	}
	c.silent.Store(&silence{sent, err})
}

// unanswered returns an error if the store has answered no write for the time of three attempts.
func (c *committer) unanswered() error {
	s := c.silent.Load()
	if s == nil || time.Since(s.since) < 3*c.timeout {
		return nil
	}
	return wrap("save", c.key, fmt.Errorf("%w: no answer for %v; the last attempt: %w",
		store.ErrUnavailable, time.Since(s.since).Round(time.Second), s.err))
}

// copyBehind starts to write the copy of base in the background. The next commit waits for it.
func (c *committer) copyBehind() {
	c.copying = &copying{version: c.base, done: make(chan struct{})}
	c.copies <- c.copying
}

// writeCopies is the goroutine that writes the copies after the commits. One goroutine for all
// copies costs a save less than a new one for each copy (docs/benchmarks.md). It ends when closing
// is closed, after it has written the copies that it was given before.
func (c *committer) writeCopies() {
	for {
		select {
		case cp := <-c.copies:
			c.writeCopy(cp)
		case <-c.closing:
			select {
			case cp := <-c.copies:
				c.writeCopy(cp)
			default:
			}
			return
		}
	}
}

func (c *committer) writeCopy(cp *copying) {
	defer close(cp.done)
	cp.err = c.persist(c.life, func(ctx context.Context) error {
		return c.st.Copy(ctx, c.key, store.Copy{Version: cp.version, ExpiresAt: c.expiry(c.lease.Clock().Time())})
	})
	if conflict, ok := errors.AsType[*store.ConflictError](cp.err); ok {
		cp.err = c.loseTo(conflict)
	}
}

// copied waits until the copy of base is durable.
func (c *committer) copied(ctx context.Context) error {
	if c.copying == nil {
		return nil
	}
	select {
	case <-c.copying.done:
	case <-ctx.Done():
		if s := c.silent.Load(); s != nil {
			return wrap(fmt.Sprintf("copy version %d of", c.base.Number), c.key, fmt.Errorf("%w; the last attempt: %w", context.Cause(ctx), s.err))
		}
		return context.Cause(ctx)
	case <-c.lost:
		return context.Cause(c.lease.Context())
	}
	if err := c.copying.err; err != nil {
		return wrap(fmt.Sprintf("copy version %d of", c.base.Number), c.key, err)
	}
	return nil
}

// keepBase makes sure that the version that this lease started from has a copy, which does not
// expire: the last holder may have died before it wrote one. A tombstone's copy expires, because no
// one goes back to a tombstone.
func (c *committer) keepBase(ctx context.Context) error {
	v := c.base
	if v.Number == 0 {
		return nil
	}
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	err := c.persist(ctx, func(ctx context.Context) error {
		if v.Deleted {
			return c.st.Copy(ctx, c.key, store.Copy{Version: v, ExpiresAt: c.expiry(c.lease.Clock().Time())})
		}
		return c.st.KeepBase(ctx, c.key, v)
	})
	if conflict, ok := errors.AsType[*store.ConflictError](err); ok {
		err = c.loseTo(conflict)
	}
	if err != nil {
		return wrap(fmt.Sprintf("keep version %d of", v.Number), c.key, err)
	}
	return nil
}

// loseTo ends the lease because another run's copy, of a higher epoch, is in the place of this
// run's copy. So HEAD was once at a higher version than it is now.
func (c *committer) loseTo(conflict *store.ConflictError) error {
	return c.lose(&lease.LostError{Reason: lease.Regressed, Err: conflict})
}

// persist is the function persist with the committer's timeout. It reports throttles to the
// observer.
func (c *committer) persist(ctx context.Context, write func(context.Context) error) error {
	return persist(ctx, c.timeout, func(ctx context.Context) error {
		sent := time.Now()
		err := write(ctx)
		c.heard(sent, err)
		c.lease.Failed(err)
		return err
	})
}

// persistEdit is the function persist for an operator's change. It tries for editPatience.
func persistEdit(ctx context.Context, write func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, editPatience, fmt.Errorf("%w for %v", store.ErrUnavailable, editPatience))
	defer cancel()
	return persist(ctx, editTimeout, write)
}

// persist sends a write, which may be repeated, until it is applied, cannot be applied, or ctx
// ends. Credentials that are refused for [retries.Lag] cannot apply it.
func persist(ctx context.Context, timeout time.Duration, write func(context.Context) error) error {
	pauses := retries.Pace()
	var tries retries.Tries
	for {
		bounded, cancel := context.WithTimeout(ctx, timeout)
		err := write(bounded)
		cancel()
		if err == nil || permanent(err) || !tries.Again(err) && errors.Is(err, store.ErrCredentials) {
			return err
		}
		if _, conflict := errors.AsType[*store.ConflictError](err); conflict {
			return err
		}
		if !retries.Sleep(ctx, pauses.NextBackOff()) {
			return fmt.Errorf("%w; the last attempt: %w", context.Cause(ctx), err)
		}
	}
}
