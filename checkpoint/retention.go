package checkpoint

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/milepost-dev/milepost/store"
)

// retention says how long versions are kept.
type retention struct {
	age    time.Duration
	starts int // the versions that this many of the newest sessions started from stay, of any age

	mu   sync.Mutex
	gone []int64 // starts that expire again, and leave HEAD's list with the next commit
}

func (r *retention) expiry(saved time.Time) time.Time { return saved.Add(r.age).Truncate(time.Second) }

// carry gives next what it takes over from the version before: the first version of its life, the
// versions that sessions started from, and how far the mirror has come.
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

// retire makes the starts that v's list has too many expire again, in the background. They leave
// the list with the next commit. The closing commit waits for that: otherwise sessions that are too
// short would make the list grow.
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
				c.log.Warn("a version that is no longer kept as a session's start was not set to expire",
					"checkpoint", c.key.String(), "version", version, "error", err)
				if !permanent(err) {
					return // the version stays in the list, for the next session
				}
			}
			c.mu.Lock()
			c.gone = append(c.gone, version)
			c.mu.Unlock()
		}
	})
}

// awaitRetired waits a moment for retire, so that the starts leave the list with the closing
// commit. A store that does not answer must not cost the last save.
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

// restoreExpiry makes a version that is no longer kept as a session's start expire again. A savepoint
// does not expire, but it is no longer kept: so it expires once it is unpinned.
func (c *committer) restoreExpiry(ctx context.Context, version int64) error {
	return c.amend(ctx, version, func(copied *store.Copy) (a store.Amendment, wanted bool) {
		kept, expires := false, c.expiry(copied.SavedAt)
		a.Kept = &kept
		if copied.Label == "" {
			a.ExpiresAt = &expires
		}
		return a, copied.Kept || copied.Label == "" && copied.ExpiresAt.IsZero()
	})
}

// amend changes a copy if change, which is called with the copy as it is, wants to. If the copy
// changes meanwhile, amend asks again. It leaves alone a copy that was removed or replaced meanwhile.
func (c *committer) amend(ctx context.Context, version int64, change func(*store.Copy) (a store.Amendment, wanted bool)) error {
	bounded, cancel := context.WithTimeout(ctx, c.timeout)
	copied, err := c.st.Version(bounded, c.key, version)
	cancel()
	if err != nil {
		return unlessAny(err, store.ErrNotFound)
	}
	for {
		a, wanted := change(&copied)
		if !wanted {
			return nil
		}
		err := c.persist(ctx, func(ctx context.Context) error { return c.st.Amend(ctx, c.key, copied, a) })
		conflict, changed := errors.AsType[*store.ConflictError](err)
		if !changed {
			return err
		}
		if conflict.Copy == nil || conflict.Copy.CommitID != copied.CommitID {
			return nil
		}
		copied = *conflict.Copy
	}
}
