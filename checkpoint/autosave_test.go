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
)

func TestMarksAreSavedEverySoManyRecords(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(&checkpoint.Options{Every: 3})
		for range 2 {
			s.Mark("a", add(1))
		}
		synctest.Wait()
		assert.Empty(r, r.Calls("Commit"))
		s.Mark("b", add(1))
		synctest.Wait()
		assert.Equal(r, "b", r.get().Cursor)
		assert.Equal(r, int64(3), r.sum())
		s.MarkBatch("c", 2, 1, nil)
		synctest.Wait()
		cp := r.get()
		assert.Equal(r, "c", cp.Cursor)
		assert.Equal(r, int64(5), cp.Processed)
		assert.Equal(r, int64(1), cp.Failed)
		r.done(s)
	})
}

func TestMarksWhileASaveWaitsAskForNoOtherBesideIt(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(&checkpoint.Options{Every: 3})
		r.On("Copy", 1, faultstore.Delay(5*time.Second))
		r.On("Commit", 2, faultstore.Delay(5*time.Second))
		mark := func(n int) {
			for range n {
				s.Mark("a", add(1))
			}
			synctest.Wait()
		}
		mark(3)
		mark(3) // the second save waits for the copy of the first
		mark(1) // and takes this along
		time.Sleep(6 * time.Second)
		mark(1) // while it is on its way
		time.Sleep(6 * time.Second)
		assert.Len(r, r.Calls("Commit"), 2, "one record is no reason for a third")
		assert.Equal(r, int64(7), r.get().Processed)
		r.done(s)
	})
}

func TestMarksAreSavedAfterSoMuchTime(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(&checkpoint.Options{Interval: time.Minute})
		s.MarkFailed("a", nil)
		time.Sleep(59 * time.Second)
		assert.Empty(r, r.Calls("Commit"))
		time.Sleep(2 * time.Second)
		assert.Equal(r, "a", r.get().Cursor)
		time.Sleep(10 * time.Minute)
		assert.Len(r, r.Calls("Commit"), 1, "nothing is saved where nothing was marked")
		r.done(s)
	})
}

func TestOneSaveIsInFlightAndMarksWaitOnlyPastTheBound(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(&checkpoint.Options{Every: 2, MaxUnsaved: 6})
		r.On("Commit", 1, faultstore.Delay(5*time.Second))
		began := time.Now()
		for range 6 {
			s.Mark("a", add(1))
		}
		assert.Zero(r, time.Since(began))
		s.Mark("b", add(1))
		assert.Equal(r, 5*time.Second, time.Since(began))
		assert.Len(r, r.Calls("Commit"), 1)
		r.done(s)
		assert.Equal(r, int64(7), r.sum())
	})
}

func TestAMarkThatWaitsIsRecordedWhenTheCallerStops(t *testing.T) {
	over(t, func(r *rig) {
		ctx, stop := context.WithCancel(r.Context())
		s, err := checkpoint.Open[sum](ctx, in(r.Store), name, &checkpoint.Options{Every: 1, MaxUnsaved: 1})
		require.NoError(r, err)
		r.On("Commit", 1, faultstore.Delay(9*time.Second))
		s.Mark("a", add(1))
		time.AfterFunc(time.Second, stop)
		began := time.Now()
		s.Mark("b", add(1))
		assert.Equal(r, time.Second, time.Since(began))
		require.NoError(r, s.Close(ctx, ctx.Err()))
		assert.Equal(r, "b", r.get().Cursor)
		assert.Equal(r, int64(2), r.sum())
		assert.Equal(r, store.EndedStopped, r.get().Ended)
	})
}

func TestFlushSavesWhatIsMarkedAndNothingTwice(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		require.NoError(r, s.Flush(r.Context()))
		assert.Empty(r, r.Calls("Commit"))
		s.Mark("a", add(1))
		require.NoError(r, s.Flush(r.Context()))
		require.NoError(r, s.Flush(r.Context()))
		assert.Len(r, r.Calls("Commit"), 1)
		assert.Equal(r, int64(1), r.sum())
		r.done(s)
	})
}

func TestASaveIsOneRequestAndTheCopyFollowsBehindIt(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		assert.Equal(r, []string{"Look", "Acquire", "Raise"}, r.methods(0), "open")
		require.NoError(r, s.Save(r.Context(), "a", sum{1}))
		synctest.Wait()
		before := len(r.Calls(""))
		r.On("Copy", 1, faultstore.Delay(3*time.Second))
		began := time.Now()
		require.NoError(r, s.Save(r.Context(), "b", sum{2}))
		assert.Zero(r, time.Since(began))
		synctest.Wait()
		assert.Equal(r, []string{"Commit", "Copy"}, r.methods(before))
		require.NoError(r, s.Save(r.Context(), "c", sum{3}))
		assert.Equal(r, 3*time.Second, time.Since(began), "version 3 is not committed before the copy of version 2 is durable")
		r.done(s)
	})
}

func TestTheCopyIsWrittenUntilItIsDurable(t *testing.T) {
	for what, fault := range map[string]faultstore.Fault{
		"reply lost": faultstore.LoseReply, "request lost": faultstore.LoseRequest, "throttled": faultstore.Throttle,
		"no answer": faultstore.Hang, "delivered late": faultstore.Hold, "unknown error": faultstore.Fail(errors.New("500")),
	} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				s := r.open(nil)
				r.On("Copy", 1, fault)
				require.NoError(r, s.Save(r.Context(), "a", sum{1}))
				require.NoError(r, s.Save(r.Context(), "b", sum{2}))
				assert.Equal(r, "a", r.copy(1).Cursor)
				r.done(s)
				for _, late := range r.Held() {
					require.NoError(r, late.Deliver(r.Context()))
				}
				r.assertHistory(3, 2, 1)
			})
		})
	}
}

func TestTheSessionEndsWhenNothingCanBeSavedAnyMore(t *testing.T) {
	over(t, func(r *rig) {
		err := checkpoint.Run(r.Context(), in(r.Store), name, func(ctx context.Context, s *checkpoint.Session[sum]) error {
			require.NoError(r, s.Save(ctx, "a", sum{1}))
			r.On("Commit", 1, faultstore.Fail(&store.SizeError{Key: key, Size: 500_000, Limit: 400_000}))
			r.On("Commit", 1, faultstore.Fail(&store.SizeError{Key: key, Size: 500_000, Limit: 400_000}))
			for ctx.Err() == nil {
				s.Mark("b", add(1))
				time.Sleep(time.Second)
			}
			return ctx.Err()
		}, nil)
		require.ErrorIs(r, err, store.ErrTooLarge)
		cp := r.get()
		assert.Equal(r, "a", cp.Cursor, "what cannot be saved stays behind")
		assert.Equal(r, int64(1), r.sum())
		assert.Equal(r, store.EndedError, cp.Ended)
		assert.Contains(r, cp.LastError, "500000 bytes")
	})
}

func TestABackgroundSaveGoesOnAfterATimeOfNoAnswer(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(&checkpoint.Options{Every: 1, Lease: lease.Options{Duration: time.Minute}})
		r.On("Commit", 0, faultstore.Hang)
		s.Mark("a", add(1))
		time.Sleep(100 * time.Second)
		r.Clear()
		time.Sleep(30 * time.Second)
		assert.Equal(r, "a", r.get().Cursor)
		r.done(s)
	})
}

func TestNoCommitStartsWithoutARenewalInTime(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		r.On("Renew", 0, faultstore.Throttle)
		time.Sleep(16 * time.Second) // past half the lease, before its loss at 24 s
		time.AfterFunc(3*time.Second, r.Clear)
		began := time.Now()
		require.NoError(r, s.Save(r.Context(), "a", sum{1}))
		assert.GreaterOrEqual(r, time.Since(began), 3*time.Second)
		r.done(s)
	})
}

func TestAfterALossMarksDoNothingAndSavesSayWhy(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(&checkpoint.Options{Every: 1, MaxUnsaved: 1})
		s.Mark("a", add(1))
		synctest.Wait()
		r.breakLease()
		time.Sleep(10 * time.Second)
		var lost *lease.LostError
		require.ErrorAs(r, context.Cause(s.Context()), &lost)
		assert.Equal(r, lease.Stolen, lost.Reason)
		for range 3 {
			s.Mark("b", add(1))
		}
		assert.Equal(r, "a", s.Cursor())
		require.ErrorIs(r, s.Save(r.Context(), "c", sum{}), lease.ErrLost)
		require.ErrorIs(r, s.SaveStep(r.Context(), at("c")), lease.ErrLost)
		require.ErrorIs(r, s.Flush(r.Context()), lease.ErrLost)
		require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrLost)
		assert.Equal(r, "a", r.get().Cursor)
	})
}

func TestACursorThatIsNoTextIsRefusedOnEveryEngine(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		require.NoError(r, s.Save(r.Context(), "a", sum{Sum: 1}))
		err := s.Save(r.Context(), "b\xff", sum{Sum: 2})
		require.ErrorIs(r, err, store.ErrNotApplied)
		assert.ErrorContains(r, err, `"b\xff" is not valid UTF-8`)
		require.NoError(r, s.Save(r.Context(), "c", sum{Sum: 3}), "and the session goes on")
		s.Mark("d\xff", nil)
		require.ErrorContains(r, s.Close(r.Context(), nil), "not valid UTF-8")
		cp := r.get()
		assert.Equal(r, "c", cp.Cursor, "the closing save keeps what was saved last")
		assert.Equal(r, store.EndedError, cp.Ended)
		assert.Contains(r, cp.LastError, "not valid UTF-8")
	})
}

func TestMarksAreSavedSoonOnceTheProcessMayBeKilled(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		s.Mark("a", add(1))
		s.SaveSoon()
		s.SaveSoon()
		synctest.Wait()
		assert.Equal(r, "a", r.get().Cursor, "at once")
		s.Mark("b", add(1))
		time.Sleep(300 * time.Millisecond)
		assert.Equal(r, "b", r.get().Cursor)
		time.Sleep(time.Minute)
		assert.Len(r, r.Calls("Commit"), 2, "nothing is saved where nothing was marked")
		r.done(s)
	})
}

func TestMarksAreSavedSoonAfterTheEndOfTheCallersContext(t *testing.T) {
	over(t, func(r *rig) {
		ctx, stop := context.WithCancel(r.Context())
		s, err := checkpoint.Open[sum](ctx, in(r.Store), name, nil)
		require.NoError(r, err)
		s.Mark("a", add(1))
		stop()
		time.Sleep(300 * time.Millisecond) // the job still works
		assert.Equal(r, "a", r.get().Cursor)
		s.Mark("b", add(1))
		time.Sleep(300 * time.Millisecond)
		assert.Equal(r, "b", r.get().Cursor)
		require.NoError(r, s.Close(ctx, ctx.Err()))
		assert.Equal(r, store.EndedStopped, r.get().Ended)
	})
}

func TestAJobThatEndsWithItsContextMakesOneSave(t *testing.T) {
	over(t, func(r *rig) {
		ctx, stop := context.WithCancel(r.Context())
		s, err := checkpoint.Open[sum](ctx, in(r.Store), name, nil)
		require.NoError(r, err)
		s.Mark("a", add(1))
		stop()
		synctest.Wait()
		require.NoError(r, s.Close(ctx, ctx.Err()))
		assert.Equal(r, int64(1), r.get().Number)
	})
}

func TestAMarkThatWaitsEndsInTimeThoughNoWriteIsAnswered(t *testing.T) {
	for _, method := range []string{"Commit", "Copy"} {
		t.Run(method, func(t *testing.T) {
			over(t, func(r *rig) {
				s := r.open(&checkpoint.Options{Every: 1, MaxUnsaved: 1})
				r.On(method, 0, faultstore.Hang) // the renewals are answered
				began := time.Now()
				for s.Context().Err() == nil && time.Since(began) < time.Hour {
					s.Mark("a", add(1))
					time.Sleep(time.Second)
				}
				assert.Less(r, time.Since(began), time.Minute)
				require.ErrorIs(r, context.Cause(s.Context()), store.ErrUnavailable)
				r.Clear()
				_ = s.Close(r.Context(), nil)
				assert.Equal(r, "a", r.get().Cursor)
				assert.Equal(r, store.EndedError, r.get().Ended)
			})
		})
	}
}

func TestACloseThatGivesUpNamesTheStoresLastError(t *testing.T) {
	for _, method := range []string{"Commit", "Copy", "KeepBase"} {
		t.Run(method, func(t *testing.T) {
			over(t, func(r *rig) {
				r.versions(1)
				s := r.open(nil)
				if method == "Copy" {
					s.Mark("a", add(1)) // the closing save lands, and its copy does not
				}
				r.On(method, 0, faultstore.LoseRequest)
				s.Mark("b", add(1))
				err := s.Close(r.Context(), nil)
				require.ErrorContains(r, err, "the store did not take it within 30s")
				assert.NotContains(r, err.Error(), "canceled", "no one cancelled it")
				assert.ErrorContains(r, err, "the reply was lost")
			})
		})
	}
}
