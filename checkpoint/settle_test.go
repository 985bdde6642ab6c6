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

func TestASaveWhoseReplyIsLostIsASuccessAndLandsOnce(t *testing.T) {
	for what, fault := range map[string]faultstore.Fault{
		"reply lost": faultstore.LoseReply, "request lost": faultstore.LoseRequest,
		"throttled": faultstore.Throttle, "no answer": faultstore.Hang, "no answer, landed": faultstore.HangAfter,
		"delivered twice": faultstore.Duplicate, "delivered late": faultstore.Hold,
	} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				s := r.open(&checkpoint.Options{Interval: time.Hour}) // no save but the test's
				r.On("Commit", 1, fault)
				require.NoError(r, s.Save(r.Context(), "a", sum{1}))
				for _, late := range r.Held() {
					require.ErrorIs(r, late.Deliver(r.Context()), store.ErrNotApplied)
				}
				require.NoError(r, s.Save(r.Context(), "b", sum{2}))
				r.done(s)
				assert.Equal(r, int64(2), r.sum())
				r.assertHistory(3, 2, 1)
			})
		})
	}
}

func TestTheSameBytesAreSentAgain(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		r.On("Commit", 1, faultstore.LoseRequest)
		require.NoError(r, s.Save(r.Context(), "a", sum{1}))
		sent := r.Calls("Commit")
		require.Len(r, sent, 2)
		assert.Equal(r, sent[0].Arg, sent[1].Arg)
		r.done(s)
	})
}

func TestThrottledToTheEndIsAFailureThatNeverLands(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		r.On("Commit", 0, faultstore.Throttle)
		err := s.Save(r.seconds(5), "a", sum{1})
		require.ErrorIs(r, err, store.ErrNotApplied)
		require.ErrorIs(r, err, context.DeadlineExceeded)
		require.NotErrorIs(r, err, checkpoint.ErrOutcomeUnknown)
		r.Clear()
		r.done(s)
	})
}

func TestAmbiguityIsStickyWhateverLaterAttemptsSay(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		r.On("Commit", 1, faultstore.LoseRequest)
		r.On("Commit", 0, faultstore.Throttle)
		err := s.Save(r.seconds(5), "a", sum{1})
		var unknown *checkpoint.OutcomeUnknownError
		require.ErrorAs(r, err, &unknown)
		require.NotErrorIs(r, err, lease.ErrLost)
		assert.Equal(r, int64(1), unknown.Version)
		assert.Equal(r, r.Calls("Commit")[0].Arg.(store.Commit).Next.CommitID, unknown.CommitID)

		r.Clear()
		require.NoError(r, s.Save(r.Context(), "b", sum{2}), "plain saves go on in silence")
		r.done(s)
		r.assertHistory(3, 2, 1)
	})
}

func TestALandedSaveIsASuccessThoughTheLeaseWasLostSince(t *testing.T) {
	for what, meanwhile := range map[string]func(*rig){
		"fenced":                          (*rig).breakLease,
		"another is a version further":    func(r *rig) { r.breakLease(); r.another(1) },
		"another is two versions further": func(r *rig) { r.breakLease(); r.another(2) },
	} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				s := r.open(nil)
				require.NoError(r, s.Save(r.Context(), "a", sum{1}))
				r.On("Commit", 1, func(ctx context.Context, c *faultstore.Call) error {
					err := faultstore.LoseReply(ctx, c)
					meanwhile(r)
					return err
				})
				require.NoError(r, s.Save(r.Context(), "b", sum{2}))
				synctest.Wait()
				assert.ErrorIs(r, context.Cause(s.Context()), lease.ErrLost)
				assert.Equal(r, int64(2), s.Version())
				require.ErrorIs(r, s.Save(r.Context(), "c", sum{3}), lease.ErrLost)
				require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrLost)
				assert.Equal(r, "b", r.copy(2).Cursor)
			})
		})
	}
}

func TestASaveThatAnotherOvertookFailsAndNeverLands(t *testing.T) {
	for what, others := range map[string]int{"fenced": 0, "one version": 1, "two versions": 2, "three versions": 3} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				s := r.open(nil)
				require.NoError(r, s.Save(r.Context(), "a", sum{1}))
				r.On("Commit", 1, func(ctx context.Context, c *faultstore.Call) error {
					err := faultstore.Hold(ctx, c)
					r.breakLease()
					if others > 0 {
						r.another(others)
					}
					return err
				})
				err := s.Save(r.Context(), "b", sum{2})
				require.ErrorIs(r, err, lease.ErrLost)
				require.NotErrorIs(r, err, checkpoint.ErrOutcomeUnknown)
				require.ErrorIs(r, r.Held()[0].Deliver(r.Context()), store.ErrNotApplied)
				require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrLost)
				assert.Equal(r, int64(1+others), r.head().Number)
			})
		})
	}
}

func TestWithoutTheVersionItMadeTheOutcomeIsUnknown(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		r.On("Commit", 1, func(ctx context.Context, c *faultstore.Call) error {
			err := faultstore.LoseReply(ctx, c)
			r.breakLease()
			r.another(2)
			r.inner.Drop(key, store.CopyRecord(1))
			return err
		})
		err := s.Save(r.Context(), "a", sum{1})
		require.ErrorIs(r, err, checkpoint.ErrOutcomeUnknown)
		err = s.Close(r.Context(), nil)
		require.ErrorIs(r, err, checkpoint.ErrOutcomeUnknown)
		require.ErrorIs(r, err, lease.ErrLost)
	})
}

func TestAStoreThatWentBackwardEndsTheSession(t *testing.T) {
	for what, mishap := range map[string]func(*rig){
		"HEAD is gone":              func(r *rig) { r.inner.Drop(key, "HEAD") },
		"the store is another":      func(r *rig) { r.Use(memstore.New(nil)) },
		"an older one was restored": func(r *rig) { r.Use(older(r)) },
	} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				s := r.open(nil)
				require.NoError(r, s.Save(r.Context(), "a", sum{1}))
				require.NoError(r, s.Save(r.Context(), "b", sum{2}))
				mishap(r)
				err := s.Save(r.Context(), "c", sum{3})
				require.ErrorIs(r, err, lease.ErrStoreRegressed)
				synctest.Wait()
				assert.ErrorIs(r, context.Cause(s.Context()), lease.ErrStoreRegressed)
				require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrStoreRegressed)
			})
		})
	}
}

// older is a store in which the same holder's fence is raised, at an earlier version.
func older(r *rig) store.Store {
	st := memstore.New(nil)
	h := r.head()
	_, _, err := st.Raise(r.Context(), key, h.Fence, h.Holder, true)
	require.NoError(r, err)
	return st
}

func TestADefiniteErrorFailsAtOnceWithItsKind(t *testing.T) {
	for what, want := range map[string]error{
		"too large": &store.SizeError{Key: key, Size: 500_000, Limit: 409_600},
		"no table":  errors.Join(store.ErrNoTable, store.ErrNotApplied),
		"bad HEAD":  errors.Join(store.ErrBadRecord, store.ErrNotApplied),
	} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				s := r.open(nil)
				r.On("Commit", 1, faultstore.Fail(want))
				require.ErrorIs(r, s.Save(r.Context(), "a", sum{1}), want)
				assert.Len(r, r.Calls("Commit"), 1)
				r.done(s)
			})
		})
	}
}

func TestASignatureALittleTooOldIsTriedOnceMore(t *testing.T) {
	skew := errors.Join(errors.New("the signature is too old"), store.ErrNotApplied)
	over(t, func(r *rig) {
		s := r.open(nil)
		r.On("Commit", 1, faultstore.Fail(skew))
		require.NoError(r, s.Save(r.Context(), "a", sum{1}))
		r.On("Commit", 0, faultstore.Fail(skew))
		require.ErrorContains(r, s.Save(r.Context(), "b", sum{2}), "too old")
		assert.Len(r, r.Calls("Commit"), 4)
		r.Clear()
		r.done(s)
	})
}

func TestASaveOfAnExpiredSessionIsUnknownAndTheNextSessionFindsTheAnswer(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		require.NoError(r, s.Save(r.Context(), "a", sum{1}))
		r.On("Renew", 0, faultstore.Hang)
		r.On("Commit", 0, faultstore.Hold)
		err := s.Save(r.Context(), "b", sum{2})
		require.ErrorIs(r, err, checkpoint.ErrOutcomeUnknown)
		require.ErrorIs(r, err, lease.ErrLost)
		err = s.Close(r.Context(), nil)
		require.ErrorIs(r, err, checkpoint.ErrOutcomeUnknown)
		require.ErrorIs(r, err, lease.ErrLost)
		r.Clear()
		next := r.open(nil)
		assert.Equal(r, "a", next.Cursor())
		for _, late := range r.Held() {
			require.ErrorIs(r, late.Deliver(r.Context()), store.ErrNotApplied, "the new fence makes HEAD's answer final")
		}
		r.done(next)
	})
}
