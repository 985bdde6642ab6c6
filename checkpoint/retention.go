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

// restoreExpiry makes a version that is no longer kept as a session's start expire again, unless it
// is a savepoint.
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

// amend changes a copy. It leaves alone a copy that was removed, replaced or labelled meanwhile.
func (c *committer) amend(ctx context.Context, copied store.Copy, a store.Amendment) error {
	err := c.persist(ctx, func(ctx context.Context) error {
		return c.st.Amend(ctx, c.key, copied.Number, copied.CommitID, a)
	})
	if _, conflict := errors.AsType[*store.ConflictError](err); conflict {
		return nil
	}
	return err
}
