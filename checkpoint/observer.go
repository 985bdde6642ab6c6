package checkpoint

import (
	"context"
	"errors"
	"time"

	"github.com/milepost-dev/milepost/store"
)

// Opened is the [lease.Event] of a session that has opened.
type Opened struct {
	Context context.Context // the session's, which ends with the session
	Unsaved func() int64    // how many records are marked and not yet saved, now
}

// Saved is the [lease.Event] of a save whose outcome is known. There is one for each save of which
// at least one attempt was sent, whatever the number of attempts.
type Saved struct {
	// Outcome is one of
	//   - ok: the version is durable;
	//   - conflict: the checkpoint is not at the version that the save builds on, or a write of the
	//     caller's own was refused;
	//   - fenced: another run has the lease;
	//   - throttled: the store throttled the last attempt, and the caller waited no longer;
	//   - unknown: the session ended before anyone learned whether the save landed;
	//   - error: anything else.
	Outcome string

	Context context.Context // of the save, for what a trace keeps in it
	Version int64
	By      store.Holder
	Took    time.Duration // since the first attempt was sent

	// These are of a save that is ok, and 0 otherwise.
	Processed int64 // records processed since the version before
	Failed    int64 // records failed since the version before
	Bytes     int64 // of the state, before compression
}

// Outcomes of a save.
const (
	savedOK        = "ok"
	savedConflict  = "conflict"
	savedFenced    = "fenced"
	savedThrottled = "throttled"
	savedUnknown   = "unknown"
	savedError     = "error"
)

// tellSaved tells the observer how a save ended. base is the version that it builds on.
func (c *committer) tellSaved(sv *save, outcome string, base *store.Version) {
	if sv.began.IsZero() { // no attempt was sent
		return
	}
	next := &sv.commit.Next
	e := Saved{Outcome: outcome, Context: sv.ctx, Version: next.Number, By: next.By, Took: time.Since(sv.began)}
	if outcome == savedOK {
		if next.State != nil {
			e.Bytes = next.State.Size
		}
		if !next.Deleted && next.RestoredFrom == 0 { // whose counts are old ones
			e.Processed, e.Failed = counted(base.Processed, next.Processed), counted(base.Failed, next.Failed)
		}
	}
	c.lease.Tell(e)
}

// tellUnknown tells of a save that the next session settles.
func (c *committer) tellUnknown() {
	select {
	case <-c.turn:
		if c.open != nil {
			c.tellSaved(c.open, savedUnknown, &c.base)
		}
		c.end()
	default: // a save is still in flight, against the contract of Close
	}
}

// counted is by how much a count has risen. One that fell began again at 0.
func counted(before, now int64) int64 {
	if now < before {
		return now
	}
	return now - before
}

// outcomeOf is the outcome of a save that one attempt has ended for good.
func outcomeOf(err error) string {
	if _, theirs := errors.AsType[*store.WriteError](err); theirs {
		return savedConflict
	}
	return savedError
}

// unsaved is how many records are marked and not yet saved.
func (s *Session[T]) unsaved() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(s.processed+s.failed-s.kept.Processed-s.kept.Failed, 0)
}

// tellOpened tells the observer of the session.
func (s *Session[T]) tellOpened() {
	s.c.lease.Tell(Opened{Context: s.ctx, Unsaved: s.unsaved})
}
