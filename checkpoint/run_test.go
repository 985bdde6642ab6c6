package checkpoint_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
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

var errJob = errors.New("record 7 is broken")

func (r *rig) run(fn func(context.Context, *checkpoint.Session[sum]) error, opts *checkpoint.Options) error {
	return checkpoint.Run(r.Context(), in(r.Store), name, fn, opts)
}

func TestASecondRunGoesOnWhereTheFirstStopped(t *testing.T) {
	over(t, func(r *rig) {
		job := func(_ context.Context, s *checkpoint.Session[sum]) error {
			s.Mark(s.Cursor()+"x", add(3))
			return nil
		}
		require.NoError(r, r.run(job, nil))
		require.NoError(r, r.run(job, nil))
		cp := r.get()
		assert.Equal(r, int64(2), cp.Number)
		assert.Equal(r, "xx", cp.Cursor)
		assert.Equal(r, int64(2), cp.Processed)
		assert.Equal(r, store.EndedDone, cp.Ended)
		assert.Equal(r, int64(6), r.sum())
	})
}

func TestAnErrorIsSavedWithTheLastMarkNotTheLastSave(t *testing.T) {
	over(t, func(r *rig) {
		err := r.run(func(ctx context.Context, s *checkpoint.Session[sum]) error {
			require.NoError(r, s.Save(ctx, "saved", sum{1}))
			s.Mark("marked", add(10))
			s.MarkFailed("failed", nil)
			return errJob
		}, nil)
		assert.Equal(r, errJob, err, "unchanged")
		cp := r.get()
		assert.Equal(r, "failed", cp.Cursor)
		assert.Equal(r, int64(1), cp.Processed)
		assert.Equal(r, int64(1), cp.Failed)
		assert.Equal(r, int64(11), r.sum())
		assert.Equal(r, store.EndedError, cp.Ended)
		assert.Equal(r, errJob.Error(), cp.LastError)
		require.NoError(r, r.run(func(context.Context, *checkpoint.Session[sum]) error { return nil }, nil))
		assert.Empty(r, r.get().LastError)
	})
}

func TestTheErrorsTextIsRedactedCutAndValid(t *testing.T) {
	over(t, func(r *rig) {
		long := "password=hunter2 \xff " + strings.Repeat("é", 1000)
		err := r.run(func(context.Context, *checkpoint.Session[sum]) error { return errors.New(long) }, &checkpoint.Options{
			Redact: func(s string) string { return strings.ReplaceAll(s, "hunter2", "…") },
		})
		require.EqualError(r, err, long)
		saved := r.get().LastError
		assert.True(r, strings.HasPrefix(saved, "password=… � éé"), saved[:40])
		assert.LessOrEqual(r, len(saved), store.MaxLastError)
		assert.Greater(r, len(saved), store.MaxLastError-2)
		assert.True(r, strings.HasSuffix(saved, "é"), "cut at a character's boundary")
	})
}

func TestAPanicIsSavedAndGoesOn(t *testing.T) {
	over(t, func(r *rig) {
		assert.PanicsWithValue(r, "no such column", func() {
			_ = r.run(func(_ context.Context, s *checkpoint.Session[sum]) error {
				s.Mark("a", add(1))
				panic("no such column")
			}, nil)
		})
		cp := r.get()
		assert.Equal(r, "a", cp.Cursor)
		assert.Equal(r, store.EndedError, cp.Ended)
		assert.Equal(r, "panic: no such column", cp.LastError)
		r.done(r.open(nil))
	})
}

func TestAnUpdateThatPanicsLeavesTheVersionBefore(t *testing.T) {
	over(t, func(r *rig) {
		assert.Panics(r, func() {
			_ = r.run(func(ctx context.Context, s *checkpoint.Session[sum]) error {
				require.NoError(r, s.Save(ctx, "a", sum{1}))
				s.Mark("b", func(v *sum) { v.Sum = 666; panic("half done") })
				return nil
			}, nil)
		})
		cp := r.get()
		assert.Equal(r, "a", cp.Cursor)
		assert.Equal(r, int64(1), r.sum())
		assert.Equal(r, "panic: half done", cp.LastError)
	})
}

func TestAFunctionThatExitsItsGoroutineIsClosed(t *testing.T) {
	over(t, func(r *rig) {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = r.run(func(_ context.Context, s *checkpoint.Session[sum]) error {
				s.Mark("a", nil)
				runtime.Goexit()
				return nil
			}, nil)
		}()
		<-ended
		assert.Contains(r, r.get().LastError, "runtime.Goexit")
	})
}

func TestACallerWhoStopsIsSavedAsStopped(t *testing.T) {
	for what, returns := range map[string]func(context.Context) error{
		"its context's error": func(ctx context.Context) error { return ctx.Err() },
		"the cause":           context.Cause,
		"nil":                 func(context.Context) error { return nil },
	} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				ctx, stop := context.WithCancelCause(r.Context())
				sigterm := errors.New("SIGTERM")
				err := checkpoint.Run(ctx, in(r.Store), name, func(ctx context.Context, s *checkpoint.Session[sum]) error {
					s.Mark("a", add(1))
					stop(sigterm)
					<-ctx.Done()
					s.Mark("b", add(1)) // the step in hand is finished
					return returns(ctx)
				}, nil)
				require.Error(r, err, "it came to no end of its own")
				cp := r.get()
				assert.Equal(r, "b", cp.Cursor)
				assert.Equal(r, store.EndedStopped, cp.Ended)
				assert.Empty(r, cp.LastError)
				r.done(r.open(nil))
			})
		})
	}
}

func TestAfterALossRunReturnsTheCause(t *testing.T) {
	for what, returns := range map[string]error{"nil": nil, "its context's error": context.Canceled, "an error of its own": errJob} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				err := r.run(func(ctx context.Context, s *checkpoint.Session[sum]) error {
					require.NoError(r, s.Save(ctx, "a", sum{1}))
					r.breakLease()
					<-ctx.Done()
					s.Mark("b", add(1))
					return returns
				}, nil)
				var lost *lease.LostError
				require.ErrorAs(r, err, &lost)
				assert.Equal(r, lease.Stolen, lost.Reason)
				assert.Equal(r, "operator", lost.By.ID)
				if returns == errJob {
					require.ErrorIs(r, err, errJob)
				}
				assert.Equal(r, "a", r.get().Cursor)
			})
		})
	}
}

func TestALeaseThatIsHeldIsSaidByWhom(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(&checkpoint.Options{Lease: lease.Options{Holder: store.Holder{ID: "nightly", Host: "etl-7"}}})
		err := r.run(func(context.Context, *checkpoint.Session[sum]) error {
			assert.Fail(r, "two runs at once")
			return nil
		}, nil)
		var held *lease.HeldError
		require.ErrorAs(r, err, &held)
		assert.Equal(r, "nightly", held.Holder.ID)
		r.done(s)
	})
}

func TestASessionThatWatchesHandsOverAtOnce(t *testing.T) {
	over(t, func(r *rig) {
		yields := &checkpoint.Options{Lease: lease.Options{Yield: true, Holder: store.Holder{ID: "first"}}}
		first := make(chan error)
		go func() {
			first <- r.run(func(ctx context.Context, s *checkpoint.Session[sum]) error {
				<-s.HandoffWanted()
				assert.NoError(r, ctx.Err(), "the step in hand may be finished")
				s.Mark("a", add(1))
				return checkpoint.ErrYielded
			}, yields)
		}()
		synctest.Wait()
		next := r.open(&checkpoint.Options{Lease: lease.Options{TakeOver: true, Wait: time.Minute}})
		assert.Equal(r, "a", next.Cursor())
		assert.Equal(r, store.EndedYielded, next.Resumed().Ended)
		assert.Equal(r, checkpoint.ErrYielded, <-first)
		r.done(next)
	})
}

func TestASessionThatDoesNotWatchIsCancelledAfterAWhile(t *testing.T) {
	over(t, func(r *rig) {
		yields := &checkpoint.Options{Lease: lease.Options{Yield: true}}
		first := make(chan error)
		go func() {
			first <- r.run(func(ctx context.Context, s *checkpoint.Session[sum]) error {
				s.Mark("a", add(1))
				<-ctx.Done()
				return ctx.Err()
			}, yields)
		}()
		synctest.Wait()
		next := r.open(&checkpoint.Options{Lease: lease.Options{TakeOver: true, Wait: 2 * time.Minute}})
		assert.Equal(r, "a", next.Cursor())
		assert.Equal(r, store.EndedYielded, next.Resumed().Ended)
		assert.ErrorIs(r, <-first, checkpoint.ErrYielded)
		r.done(next)
	})
}

func TestTheLeaseIsReleasedAfterTheLastCopyIsDurable(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		r.On("Copy", 1, faultstore.Delay(2*time.Second))
		s.Mark("a", nil)
		r.done(s)
		methods := r.methods(0)
		assert.Equal(r, []string{"Commit", "Copy", "Release"}, methods[len(methods)-3:])
		assert.Equal(r, int64(1), r.copy(1).Number)
	})
}

func TestCloseIsBoundedWhateverTheStoreDoes(t *testing.T) {
	for what, fault := range map[string]faultstore.Fault{"no answer": faultstore.Hang, "throttled": faultstore.Throttle, "lost": faultstore.LoseRequest} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				s := r.open(&checkpoint.Options{Every: 1})
				r.On("", 0, fault)
				s.Mark("a", nil)
				time.Sleep(time.Second)
				began := time.Now()
				require.Error(r, s.Close(r.Context(), nil))
				assert.Less(r, time.Since(began), 61*time.Second)
				require.Error(r, s.Close(r.Context(), nil), "and says the same again")
			})
		})
	}
}

func TestACloseIsOverByTheTimeThatItsCallerSet(t *testing.T) {
	for what, fault := range map[string]faultstore.Fault{"no answer": faultstore.Hang, "throttled": faultstore.Throttle, "lost": faultstore.LoseRequest} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				s := r.open(&checkpoint.Options{Every: 1})
				r.On("", 0, fault)
				s.Mark("a", nil)
				time.Sleep(time.Second)
				by := time.Now().Add(3 * time.Second)
				s.CloseBy(by)
				require.Error(r, s.Close(r.Context(), nil))
				assert.False(r, time.Now().After(by), "%v late", time.Since(by))
			})
		})
	}
}

func TestASaveAfterTheCloseIsRefused(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		r.done(s)
		r.done(s)
		require.ErrorIs(r, s.Save(r.Context(), "a", sum{}), checkpoint.ErrClosed)
		require.ErrorIs(r, s.SaveStep(r.Context(), at("a")), checkpoint.ErrClosed)
		require.ErrorIs(r, s.Flush(r.Context()), checkpoint.ErrClosed)
		s.Mark("a", nil)
		assert.Empty(r, s.Cursor())
		_, ok := s.Start("a")
		assert.False(r, ok)
		r.assertHistory(1)
	})
}

func TestTheReasonOfAStealIsOnTheNextVersion(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		require.NoError(r, s.Save(r.Context(), "a", sum{}))
		r.breakLease()
		require.ErrorIs(r, s.Save(r.Context(), "b", sum{}), lease.ErrLost)
		require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrLost)
		next := r.open(nil)
		require.NoError(r, next.Save(r.Context(), "b", sum{}))
		assert.Equal(r, "stuck", r.get().Reason)
		r.done(next)
		assert.Empty(r, r.get().Reason)
	})
}
