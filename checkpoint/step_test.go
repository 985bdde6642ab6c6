package checkpoint_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
	"github.com/milepost-dev/milepost/store/memstore"
)

var errCondition = errors.New("the item is there already")

// sink is the caller's own table, in the same transaction.
type sink struct{ rows []string }

func (k *sink) put(row string) store.Write {
	return memstore.Do(func() error { k.rows = append(k.rows, row); return nil })
}

func refuses() store.Write { return memstore.Do(func() error { return errCondition }) }

// at is a step that changes only the cursor.
func at(cursor string, writes ...store.Write) checkpoint.Step[sum] {
	return checkpoint.Step[sum]{Cursor: cursor, Writes: writes}
}

func step(cursor string, n int64, writes ...store.Write) checkpoint.Step[sum] {
	return checkpoint.Step[sum]{Cursor: cursor, Processed: 1, Update: add(n), Writes: writes}
}

func TestOutputAndCheckpointLandTogether(t *testing.T) {
	over(t, func(r *rig) {
		s, out := r.open(nil), &sink{}
		require.NoError(r, s.SaveStep(r.Context(), step("a", 1, out.put("a"))))
		require.NoError(r, s.SaveStep(r.Context(), at("b", out.put("b"))))
		cp := r.get()
		assert.Equal(r, []string{"a", "b"}, out.rows)
		assert.Equal(r, "b", cp.Cursor)
		assert.Equal(r, int64(1), cp.Processed)
		assert.Equal(r, int64(1), r.sum())
		r.done(s)
	})
}

func TestOfAStepThatWasRefusedNothingIsLeft(t *testing.T) {
	over(t, func(r *rig) {
		s, out := r.open(nil), &sink{}
		s.Mark("a", add(1))
		err := s.SaveStep(r.Context(), step("b", 10, refuses()))
		var refused *store.WriteError
		require.ErrorAs(r, err, &refused)
		require.ErrorIs(r, err, errCondition)
		require.ErrorIs(r, err, store.ErrNotApplied)
		assert.Equal(r, 0, refused.Index)
		assert.Equal(r, "a", s.Cursor())
		assert.Equal(r, int64(1), s.Processed())

		require.ErrorIs(r, s.SaveStep(r.Context(), at("b", "not a write of this store's")), store.ErrWrite)
		require.NoError(r, s.SaveStep(r.Context(), step("c", 100, out.put("c"))))
		r.done(s)
		assert.Equal(r, int64(101), r.sum())
	})
}

func TestARefusedWriteProvesNothingAfterAnAmbiguousAttempt(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		r.On("Commit", 1, faultstore.Hold)
		first := true
		err := s.SaveStep(r.seconds(5), step("a", 1, memstore.Do(func() error {
			if first {
				first = false
				return errCondition
			}
			return nil
		})))
		require.NoError(r, err, "the first attempt may still land, so it is sent again")
		assert.Equal(r, int64(1), r.sum())

		r.On("Commit", 1, faultstore.Hold)
		err = s.SaveStep(r.seconds(5), step("b", 10, refuses()))
		require.ErrorIs(r, err, checkpoint.ErrOutcomeUnknown)
		var refused *store.WriteError
		require.NotErrorAs(r, err, &refused, "nobody may take it for the answer")
		require.ErrorContains(r, err, errCondition.Error())
		r.breakLease()
		err = s.SaveStep(r.Context(), at("c"))
		var settled *checkpoint.SettledError
		require.ErrorAs(r, err, &settled)
		assert.False(r, settled.Landed)
		require.ErrorIs(r, err, lease.ErrLost)
		require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrLost)
		assert.Equal(r, int64(1), r.sum())
	})
}

func TestTheNextSaveTellsWhatBecameOfAStep(t *testing.T) {
	for what, c := range map[string]struct {
		fault   faultstore.Fault
		settles func(*rig, *checkpoint.Session[sum]) error
		landed  bool
		want    int64
	}{
		"landed, told by Save": {faultstore.LoseReply, func(r *rig, s *checkpoint.Session[sum]) error {
			return s.Save(r.Context(), "never", sum{1000})
		}, true, 11},
		"landed, told by SaveStep": {faultstore.LoseReply, func(r *rig, s *checkpoint.Session[sum]) error {
			return s.SaveStep(r.Context(), at("never"))
		}, true, 11},
		"sent again, told by Flush": {faultstore.LoseRequest, func(r *rig, s *checkpoint.Session[sum]) error {
			return s.Flush(r.Context())
		}, true, 11},
	} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				s, out := r.open(nil), &sink{}
				s.Mark("a", add(1))
				r.On("Commit", 1, c.fault)
				r.On("Commit", 0, faultstore.Throttle)
				require.ErrorIs(r, s.SaveStep(r.seconds(3), step("b", 10, out.put("b"))), checkpoint.ErrOutcomeUnknown)
				r.Clear()
				var settled *checkpoint.SettledError
				require.ErrorAs(r, c.settles(r, s), &settled)
				assert.Equal(r, c.landed, settled.Landed)
				assert.Equal(r, "b", s.Cursor())
				assert.Equal(r, []string{"b"}, out.rows)
				s.Mark("c", nil)
				require.NoError(r, s.Save(r.Context(), "d", sum{c.want}), "and it is told once")
				r.done(s)
				assert.Equal(r, c.want, r.sum())
				assert.Equal(r, int64(3), r.get().Processed)
			})
		})
	}
}

func TestNothingIsSavedInTheBackgroundBeforeAStepWasReported(t *testing.T) {
	over(t, func(r *rig) {
		s, out := r.open(nil), &sink{}
		r.On("Commit", 1, faultstore.LoseRequest)
		r.On("Commit", 0, faultstore.Throttle)
		require.ErrorIs(r, s.SaveStep(r.seconds(3), step("a", 1, out.put("a"))), checkpoint.ErrOutcomeUnknown)
		r.Clear()
		time.Sleep(time.Minute)
		assert.Equal(r, int64(1), r.head().Number, "it was settled, and nothing else was done")
		require.ErrorAs(r, s.Flush(r.Context()), new(*checkpoint.SettledError))
		r.done(s)
		assert.Equal(r, []string{"a"}, out.rows)
	})
}

func TestASaveWithWritesTellsWhatBecameOfAPlainOne(t *testing.T) {
	over(t, func(r *rig) {
		s, out := r.open(nil), &sink{}
		r.On("Commit", 1, faultstore.LoseRequest)
		r.On("Commit", 0, faultstore.Throttle)
		require.ErrorIs(r, s.Save(r.seconds(3), "a", sum{1}), checkpoint.ErrOutcomeUnknown)
		r.Clear()
		require.ErrorAs(r, s.SaveStep(r.Context(), at("b", out.put("b"))), new(*checkpoint.SettledError))
		assert.Empty(r, out.rows)
		require.NoError(r, s.SaveStep(r.Context(), at("b", out.put("b"))))
		r.done(s)
		r.assertHistory(3, 2, 1)
	})
}

func TestAMarkBeforeAStepIsSettledEndsTheSession(t *testing.T) {
	over(t, func(r *rig) {
		s, out := r.open(nil), &sink{}
		r.On("Commit", 1, faultstore.LoseRequest)
		r.On("Commit", 0, faultstore.Throttle)
		require.ErrorIs(r, s.SaveStep(r.seconds(3), step("a", 1, out.put("a"))), checkpoint.ErrOutcomeUnknown)
		r.Clear()
		s.Mark("b", add(10))
		require.ErrorIs(r, context.Cause(s.Context()), checkpoint.ErrOutcomeUnknown)
		require.ErrorAs(r, s.Close(r.Context(), nil), new(*checkpoint.SettledError))
		cp := r.get()
		assert.Equal(r, "a", cp.Cursor, "sent again, it landed")
		assert.Equal(r, []string{"a"}, out.rows)
		assert.Equal(r, int64(1), r.sum())
		assert.Equal(r, store.EndedError, cp.Ended)
		assert.Contains(r, cp.LastError, "outcome unknown")
	})
}

func TestCloseTellsWhatBecameOfAStepAndDoesNotSayDone(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		r.On("Commit", 1, faultstore.Hold)
		r.On("Commit", 0, faultstore.Throttle)
		require.ErrorIs(r, s.SaveStep(r.seconds(3), step("a", 1, refuses())), checkpoint.ErrOutcomeUnknown)
		r.Clear()
		err := s.Close(r.Context(), nil)
		require.ErrorIs(r, err, checkpoint.ErrOutcomeUnknown, "it is refused each time, and the first may still land")
		next := r.open(nil)
		assert.Empty(r, next.Cursor())
		require.ErrorIs(r, r.Held()[0].Deliver(r.Context()), store.ErrNotApplied)
		r.done(next)
	})
}

func TestMarksWaitForAStepInFlight(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		marked := make(chan struct{})
		r.On("Commit", 1, faultstore.Before(func() {
			go func() { s.Mark("b", add(10)); close(marked) }()
			synctest.Wait()
			select {
			case <-marked:
				assert.Fail(r, "the mark did not wait")
			default:
			}
		}))
		require.Error(r, s.SaveStep(r.Context(), step("a", 1, refuses())))
		<-marked
		r.done(s)
		assert.Equal(r, int64(10), r.sum())
	})
}

func TestAWriteRefusedAfterALostReplyHoldsUpNobody(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		r.On("Commit", 1, faultstore.LoseRequest)
		began := time.Now()
		err := s.SaveStep(r.Context(), at("a", refuses()))
		unknown, ok := errors.AsType[*checkpoint.OutcomeUnknownError](err)
		require.True(r, ok, "got %v", err)
		assert.False(r, unknown.Earlier)
		assert.NotErrorIs(r, err, errCondition, "the refusal is no answer for the first attempt")

		err = s.Save(r.Context(), "b", sum{})
		again, ok := errors.AsType[*checkpoint.OutcomeUnknownError](err)
		require.True(r, ok, "got %v", err)
		assert.True(r, again.Earlier, "this call has begun nothing")
		assert.Equal(r, unknown.CommitID, again.CommitID)
		assert.ErrorIs(r, s.Close(r.Context(), nil), checkpoint.ErrOutcomeUnknown)
		assert.Less(r, time.Since(began), 10*time.Second)

		next := r.open(nil)
		assert.Zero(r, next.Version(), "the new fence makes the answer final: it has not landed")
		r.done(next)
	})
}
