package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/milepost-dev/milepost/internal/retries"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// copying is the write of V#n behind the commit of version n.
type copying struct {
	version store.Version
	done    chan struct{} // closed when it has ended
	err     error         // set before done is closed; nil: it is durable
}

// copyBehind has V#base written in the background. The commit of the next version waits for it.
func (c *committer) copyBehind() {
	c.copying = &copying{version: c.base, done: make(chan struct{})}
	c.copies <- c.copying
}

// writeCopies is the goroutine behind the commits. One that waits for the next copy costs a save less than one that is
// started for each (docs/benchmarks.md). It ends with what was handed to it before closing was closed.
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

// copied waits until V#base is durable.
func (c *committer) copied(ctx context.Context) error {
	if c.copying == nil {
		return nil
	}
	select {
	case <-c.copying.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.lost:
		return context.Cause(c.lease.Context())
	}
	if err := c.copying.err; err != nil {
		return wrap(fmt.Sprintf("copy version %d of", c.base.Number), c.key, err)
	}
	return nil
}

// keepBase makes sure of the version that this lease started from, without expiry: it repairs
// a copy that the last holder could not write. A tombstone is nothing to go back to, and expires.
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

// loseTo: another's copy of a higher epoch stands where ours should be, so HEAD was once
// further than it is.
func (c *committer) loseTo(conflict *store.ConflictError) error {
	return c.lose(&lease.LostError{Reason: lease.Regressed, Err: conflict})
}

// persist sends a write that may be repeated until it is applied or cannot be, or ctx ends.
func (c *committer) persist(ctx context.Context, write func(context.Context) error) error {
	return persist(ctx, c.timeout, func(ctx context.Context) error {
		err := write(ctx)
		c.lease.Failed(err)
		return err
	})
}

func persist(ctx context.Context, timeout time.Duration, write func(context.Context) error) error {
	intervals := retries.Pace()
	for {
		bounded, cancel := context.WithTimeout(ctx, timeout)
		err := write(bounded)
		cancel()
		if err == nil || permanent(err) {
			return err
		}
		if _, conflict := errors.AsType[*store.ConflictError](err); conflict {
			return err
		}
		if !retries.Sleep(ctx, intervals.NextBackOff()) {
			return fmt.Errorf("%w; the last attempt: %w", context.Cause(ctx), err)
		}
	}
}

// retention says how long versions are kept.
type retention struct {
	age    time.Duration
	starts int // how many sessions' first versions stay whatever their age

	mu   sync.Mutex
	gone []int64 // starts that have their expiry back, and leave HEAD's list with the next commit
}

func (r *retention) expiry(saved time.Time) time.Time { return saved.Add(r.age).Truncate(time.Second) }

// carry gives next what it takes over from the version before: its life, the versions that
// sessions started from, and how far the mirror is.
func (c *committer) carry(next *store.Version) {
	next.ArchivedThrough = c.base.ArchivedThrough
	if c.mirror != nil {
		next.ArchivedThrough = max(next.ArchivedThrough, c.mirror.throughAt(next.Number))
	}
	if c.base.Number == 0 || c.base.Deleted || next.Deleted {
		next.Born, next.Starts = next.Number, nil
		return
	}
	next.Born = c.base.Born
	c.mu.Lock()
	defer c.mu.Unlock()
	next.Starts = slices.DeleteFunc(slices.Clone(c.base.Starts), func(v int64) bool { return slices.Contains(c.gone, v) })
	if c.first && !slices.Contains(next.Starts, c.base.Number) {
		next.Starts = append(next.Starts, c.base.Number)
	}
}

// retire gives the starts that fall out of v's list their expiry back, in the background, and
// then has them leave the list with the next commit. The closing commit waits for it, or
// sessions too short for it would make the list grow.
func (c *committer) retire(v store.Version) {
	if len(v.Starts) <= c.starts {
		return
	}
	out := v.Starts[:len(v.Starts)-c.starts]
	before, done := c.retired, make(chan struct{})
	c.retired = done
	c.behind.Go(func() {
		defer close(done)
		if before != nil {
			<-before
		}
		for _, version := range out {
			if err := c.restoreExpiry(c.life, version); err != nil {
				c.log.Warn("a version that no session start keeps any more was given no expiry",
					"checkpoint", c.key.String(), "version", version, "error", err)
				if !permanent(err) {
					return // it stays in the list, for the next session
				}
			}
			c.mu.Lock()
			c.gone = append(c.gone, version)
			c.mu.Unlock()
		}
	})
}

// restoreExpiry gives a version that no session start keeps any more its expiry back,
// unless it is a savepoint.
func (c *committer) restoreExpiry(ctx context.Context, version int64) error {
	copied, err := c.st.Version(ctx, c.key, version)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return err
	case copied.Label != "":
		return nil
	}
	expires := c.expiry(copied.SavedAt)
	return c.amend(ctx, copied, store.Amendment{ExpiresAt: &expires, IfUnlabelled: true})
}

// amend changes a copy; one that was removed, replaced or labelled meanwhile is left alone.
func (c *committer) amend(ctx context.Context, copied store.Copy, a store.Amendment) error {
	err := c.persist(ctx, func(ctx context.Context) error {
		return c.st.Amend(ctx, c.key, copied.Number, copied.CommitID, a)
	})
	if _, conflict := errors.AsType[*store.ConflictError](err); conflict {
		return nil
	}
	return err
}
