package metered

import (
	"context"
	"errors"
	"time"

	"github.com/milepost-dev/milepost/store"
)

// job is what is known of the holder of one lease. Store.mu guards it.
type job struct {
	fence     store.Fence
	duration  time.Duration // of the lease; 0: not known
	renewed   time.Time     // when the last acquisition or renewal that succeeded was sent
	releasing bool
	lost      bool

	processed, failed int64 // as saved

	save *save // under way; nil: none
}

// save is one commit, from its first attempt until it is known how it ended.
type save struct {
	commit  store.Commit
	began   time.Time
	tried   Outcome // how the last attempt ended that did not decide it
	unknown bool    // an attempt may have landed
}

// loseAfter is after which part of its duration without a renewal a lease counts as lost by default.
const loseAfter = 0.8

// hold notes that a fence is held.
func (s *Store) hold(ctx context.Context, key store.Key, fence store.Fence, sent time.Time) *job {
	j := s.of(key)
	if j.fence != fence {
		s.giveUp(ctx, key, j)
		*j = job{fence: fence, duration: j.duration, processed: j.processed, failed: j.failed}
		s.in.count(ctx, s.in.acquisitions, 1, key)
	}
	if sent.After(j.renewed) {
		j.renewed = sent
	}
	return j
}

// lose counts a loss, once a lease.
func (s *Store) lose(ctx context.Context, key store.Key, j *job, cause string) {
	if !j.lost && !j.releasing {
		j.lost = true
		s.in.count(ctx, s.in.losses, 1, key, AttrCause.String(cause))
	}
}

// committed takes in how one attempt of a commit ended.
func (s *Store) committed(ctx context.Context, key store.Key, c store.Commit, sent time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.of(key)
	if j.save == nil || j.save.commit.Next.CommitID != c.Next.CommitID {
		if j.save != nil && c.Base >= j.save.commit.Next.Version {
			s.end(ctx, key, j, OK) // it is built on
		}
		s.giveUp(ctx, key, j)
		j.save = &save{commit: c, began: sent}
	}
	conflict, refused := errors.AsType[*store.ConflictError](err)
	_, theirs := errors.AsType[*store.WriteError](err)
	switch {
	case err == nil:
		s.end(ctx, key, j, OK)
	case refused:
		s.refused(ctx, key, j, conflict.Head)
	case errors.Is(err, store.ErrThrottled):
		j.save.tried = Throttled
	case errors.Is(err, store.ErrNotApplied) && j.save.unknown:
	case theirs:
		s.end(ctx, key, j, Conflict)
	case errors.Is(err, store.ErrNotApplied):
		s.end(ctx, key, j, Failure)
	default:
		j.save.tried, j.save.unknown = Unknown, true
	}
}

// refused takes in the HEAD on which a commit's condition failed.
func (s *Store) refused(ctx context.Context, key store.Key, j *job, head *store.Head) {
	c := &j.save.commit
	switch {
	case head == nil || head.Version.Version < c.Base || head.Fence.Epoch < c.Fence.Epoch:
		s.end(ctx, key, j, Conflict)
		s.lose(ctx, key, j, Regressed)
		return
	case head.CommitID == c.Next.CommitID:
		s.end(ctx, key, j, OK)
	case j.save.unknown && head.Version.Version > c.Next.Version: // the version it would have made will tell
		j.save.tried = Unknown
	case head.Fence != c.Fence:
		s.end(ctx, key, j, Fenced)
	default:
		s.end(ctx, key, j, Conflict)
	}
	if head.Fence != c.Fence {
		s.lose(ctx, key, j, Stolen)
	}
}

// saw takes in a version that was read while it is not known whether a commit landed.
func (s *Store) saw(ctx context.Context, key store.Key, v *store.Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[key]
	if j == nil || j.save == nil || v.Version != j.save.commit.Next.Version {
		return
	}
	if v.CommitID == j.save.commit.Next.CommitID {
		s.end(ctx, key, j, OK)
		return
	}
	s.end(ctx, key, j, Fenced)
}

// giveUp counts the save under way, if there is one, as what its last attempt was: nobody will settle it.
func (s *Store) giveUp(ctx context.Context, key store.Key, j *job) {
	if j.save != nil && j.save.tried != "" {
		s.end(ctx, key, j, j.save.tried)
	}
	j.save = nil
}

// end counts the save under way.
func (s *Store) end(ctx context.Context, key store.Key, j *job, how Outcome) {
	c, began := &j.save.commit, j.save.began
	j.save = nil
	s.in.count(ctx, s.in.saves, 1, key, AttrOutcome.String(string(how)))
	if how != OK {
		s.in.count(ctx, s.in.failures, 1, key)
		return
	}
	s.in.duration.Record(ctx, time.Since(began).Seconds(), s.in.of(key))
	if state := c.Next.State; state != nil {
		s.in.count(ctx, s.in.bytes, state.Size, key)
	}
	if !c.Next.Deleted && c.Next.RestoredFrom == 0 { // whose counts are old ones
		s.in.count(ctx, s.in.processed, since(j.processed, c.Next.Processed), key)
		s.in.count(ctx, s.in.failed, since(j.failed, c.Next.Failed), key)
	}
	j.processed, j.failed = c.Next.Processed, c.Next.Failed
	s.last = Saved{Key: key, Version: c.Next.Version, By: c.Next.By}
}

// since is how far a count has come; one that fell began anew.
func since(before, now int64) int64 {
	if now < before {
		return now
	}
	return now - before
}
