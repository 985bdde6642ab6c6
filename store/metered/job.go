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
	landed  time.Time // when the reply came that it has; zero: none did, or not yet
	tried   Outcome   // how the last attempt ended that did not decide it
	unknown bool      // an attempt may have landed
}

// loseAfter is after which part of its duration without a renewal a lease counts as lost by default.
const loseAfter = 0.8

// hold notes that a fence is held.
func (s *Store) hold(ctx context.Context, key store.Key, fence store.Fence, sent time.Time) *job {
	j := s.of(key)
	if j.fence != fence {
		s.giveUp(ctx, key, j)
		*j = job{fence: fence, duration: j.duration, processed: j.processed, failed: j.failed}
		s.in.of(key).count(ctx, s.in.acquisitions, 1)
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
		s.in.by(key, AttrCause, cause).count(ctx, s.in.losses, 1)
	}
}

// landed is a commit that the store has taken, and that is not counted yet.
type landed struct {
	ctx      context.Context // of the save: it may have a trace, of which a sample is kept
	key      store.Key
	commit   store.Commit
	sent, at time.Time
}

// mostLanded bounds how many commits wait to be counted where no other call comes.
const mostLanded = 64

// land notes a commit that landed. It is counted by what comes next, most often the copy that is written behind the save:
// the caller of a save does not wait for it.
func (s *Store) land(ctx context.Context, key store.Key, c store.Commit, sent time.Time) {
	at := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.landed = append(s.landed, landed{ctx, key, c, sent, at})
	if len(s.landed) >= mostLanded {
		s.catchUp()
	}
}

// lock takes s.mu, with all counted that landed before.
func (s *Store) lock() {
	s.mu.Lock()
	s.catchUp()
}

// catchUp counts what landed. The caller holds s.mu.
func (s *Store) catchUp() {
	for i := range s.landed {
		l := &s.landed[i]
		s.attempted(l.ctx, l.key, &l.commit, l.sent).landed = l.at
		s.end(l.ctx, l.key, s.jobs[l.key], OK)
	}
	clear(s.landed)
	s.landed = s.landed[:0]
}

// attempted returns the save that an attempt of a commit belongs to. The caller holds s.mu.
func (s *Store) attempted(ctx context.Context, key store.Key, c *store.Commit, sent time.Time) *save {
	j := s.of(key)
	if j.save == nil || j.save.commit.Next.CommitID != c.Next.CommitID {
		if j.save != nil && c.Base >= j.save.commit.Next.Number {
			s.end(ctx, key, j, OK) // it is built on
		}
		s.giveUp(ctx, key, j)
		j.save = &save{commit: *c, began: sent}
	}
	return j.save
}

// notCommitted takes in an attempt of a commit that failed.
func (s *Store) notCommitted(ctx context.Context, key store.Key, c store.Commit, sent time.Time, err error) {
	s.lock()
	defer s.mu.Unlock()
	s.attempted(ctx, key, &c, sent)
	j := s.jobs[key]
	conflict, refused := errors.AsType[*store.ConflictError](err)
	_, theirs := errors.AsType[*store.WriteError](err)
	switch {
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
	case head == nil || head.Number < c.Base || head.Fence.Epoch < c.Fence.Epoch:
		s.end(ctx, key, j, Conflict)
		s.lose(ctx, key, j, Regressed)
		return
	case head.CommitID == c.Next.CommitID:
		s.end(ctx, key, j, OK)
	case j.save.unknown && head.Number > c.Next.Number: // the version it would have made will tell
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
	s.lock()
	defer s.mu.Unlock()
	j := s.jobs[key]
	if j == nil || j.save == nil || v.Number != j.save.commit.Next.Number {
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
	c, began, landed := &j.save.commit, j.save.began, j.save.landed
	j.save = nil
	s.in.by(key, AttrOutcome, string(how)).count(ctx, s.in.saves, 1)
	of := s.in.of(key)
	if how != OK {
		of.count(ctx, s.in.failures, 1)
		return
	}
	if landed.IsZero() {
		landed = time.Now()
	}
	s.in.duration.Record(ctx, landed.Sub(began).Seconds(), of.record...)
	if state := c.Next.State; state != nil {
		of.count(ctx, s.in.bytes, state.Size)
	}
	if !c.Next.Deleted && c.Next.RestoredFrom == 0 { // whose counts are old ones
		of.count(ctx, s.in.processed, since(j.processed, c.Next.Processed))
		of.count(ctx, s.in.failed, since(j.failed, c.Next.Failed))
	}
	j.processed, j.failed = c.Next.Processed, c.Next.Failed
	s.last = Saved{Key: key, Version: c.Next.Number, By: c.Next.By}
}

// since is how far a count has come; one that fell began anew.
func since(before, now int64) int64 {
	if now < before {
		return now
	}
	return now - before
}
