package checkpoint

import (
	"context"
	"errors"
	"time"

	"github.com/milepost-dev/milepost/store"
)

// Opened is the [lease.Event] of a session that has opened.
type Opened struct {
	Context context.Context // the session's context, which ends with the session
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
	//   - unknown: the session ended before the outcome was known;
	//   - error: anything else.
	Outcome string

	Context context.Context // the save's context, which may hold a trace
	Version int64
	By      store.Holder
	Took    time.Duration // since the first attempt was sent

	// These are 0 unless Outcome is ok.
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

// tellSaved sends the observer the outcome of a save. base is the version that the save builds on.
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
		if !next.Deleted && next.RestoredFrom == 0 { // a restored version has old counts
			e.Processed, e.Failed = counted(base.Processed, next.Processed), counted(base.Failed, next.Failed)
		}
	}
	c.lease.Tell(e)
}

// tellUnknown sends the observer a save that the next session settles.
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

// counted returns by how much a count has risen. A count that fell was reset to 0 first.
func counted(before, now int64) int64 {
	if now < before {
		return now
	}
	return now - before
}

// outcomeOf returns the outcome of a save that failed with err.
func outcomeOf(err error) string {
	if _, theirs := errors.AsType[*store.WriteError](err); theirs {
		return savedConflict
	}
	return savedError
}

// unsaved returns how many records are marked and not yet saved.
func (s *Session[T]) unsaved() int64 {
	s.view.Lock()
	defer s.view.Unlock()
	return max(s.processed+s.failed-s.kept.Processed-s.kept.Failed, 0)
}

// tellOpened sends the observer the event of a new session.
func (s *Session[T]) tellOpened() {
	s.c.lease.Tell(Opened{Context: s.ctx, Unsaved: s.unsaved})
}
