package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
)

func TestAnEmptyCursorAfterAnotherIsRefused(t *testing.T) {
	// Each moves the cursor to "", and returns what it knows of an error.
	for what, empty := range map[string]func(context.Context, *checkpoint.Session[sum]) error{
		"Mark":       func(_ context.Context, s *checkpoint.Session[sum]) error { s.Mark("", add(10)); return nil },
		"MarkFailed": func(_ context.Context, s *checkpoint.Session[sum]) error { s.MarkFailed("", add(10)); return nil },
		"MarkBatch":  func(_ context.Context, s *checkpoint.Session[sum]) error { s.MarkBatch("", 5, 0, add(10)); return nil },
		"Start": func(_ context.Context, s *checkpoint.Session[sum]) error {
			_, ok := s.Start("")
			if ok {
				return errors.New("it was started")
			}
			return nil
		},
		"Save": func(ctx context.Context, s *checkpoint.Session[sum]) error { return s.Save(ctx, "", sum{10}) },
		"SaveStep": func(ctx context.Context, s *checkpoint.Session[sum]) error {
			return s.SaveStep(ctx, checkpoint.Step[sum]{Update: add(10)})
		},
	} {
		for _, order := range []func(a, b string) int{nil, compareText} {
			t.Run(fmt.Sprint(what, ", order: ", order != nil), func(t *testing.T) {
				over(t, func(r *rig) {
					s := r.open(&checkpoint.Options{Order: order})
					s.Mark("a", add(1))
					require.NoError(r, s.Flush(r.Context()))
					s.Mark("b", add(1))
					err := empty(r.Context(), s)
					if what == "Save" || what == "SaveStep" {
						require.ErrorIs(r, err, checkpoint.ErrRefused)
						require.ErrorIs(r, err, store.ErrNotApplied)
						s.Mark("c", nil)
						r.done(s) // the call failed, and the job may go on
						assert.Equal(r, "c", r.get().Cursor)
						assert.Equal(r, int64(2), r.sum())
						return
					}
					require.NoError(r, err)
					require.ErrorIs(r, context.Cause(s.Context()), checkpoint.ErrRefused, "the job must not go on")
					s.Mark("c", add(100))
					require.ErrorIs(r, s.Flush(r.Context()), checkpoint.ErrRefused)
					err = s.Close(r.Context(), nil)
					require.ErrorIs(r, err, checkpoint.ErrRefused)
					assert.ErrorContains(r, err, "reset")
					cp := r.get()
					assert.Equal(r, "b", cp.Cursor, "what was marked before is saved")
					assert.Equal(r, int64(2), r.sum())
					assert.Equal(r, int64(2), cp.Processed)
					assert.Equal(r, store.EndedError, cp.Ended)
				})
			})
		}
	}
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func TestAFreshSessionMayMarkAnEmptyCursor(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		s.Mark("", add(1)) // such as a job that counts, and has no position
		s.Mark("", add(1))
		r.done(s)
		assert.Equal(r, int64(2), r.sum())
	})
}

func TestADoneSessionWithARecordInHandIsAnErrorThatNamesIt(t *testing.T) {
	over(t, func(r *rig) {
		err := checkpoint.Run(r.Context(), in(r.Store), name, func(_ context.Context, s *checkpoint.Session[sum]) error {
			a, _ := s.Start("a")
			_, _ = s.Start("b")
			_, _ = s.Start("c")
			d, _ := s.Start("d")
			a.Done(add(1))
			d.Done(add(1000))
			return nil
		}, nil)
		require.ErrorIs(r, err, checkpoint.ErrUnfinished)
		assert.ErrorContains(r, err, `"b"`)
		assert.ErrorContains(r, err, "1 more")
		cp := r.get()
		assert.Equal(r, "a", cp.Cursor)
		assert.Equal(r, []store.Range{{First: "d", Last: "d"}}, cp.Finished)
		assert.Equal(r, int64(1001), r.sum())
		assert.Equal(r, store.EndedError, cp.Ended)
		assert.Contains(r, cp.LastError, `"b"`)

		again := r.open(nil)
		for _, cursor := range []string{"b", "c"} {
			start(r, again, cursor).Done(add(10))
		}
		_, ok := again.Start("d")
		assert.False(r, ok)
		r.done(again)
		assert.Equal(r, int64(1021), r.sum())
	})
}

func TestASessionThatDidNotEndDoneMayHaveRecordsInHand(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		start(r, s, "a")
		require.NoError(r, s.Close(r.Context(), checkpoint.ErrYielded))
		assert.Equal(r, store.EndedYielded, r.get().Ended)
	})
}

// flat holds no pointer, and deep does.
type (
	flat struct {
		Name string
		Sums [2]int64
	}
	deep struct{ Sums map[string]int64 }
)

func TestAPanicInAnUpdateKeepsTheMarksBeforeItIfTheStateIsFlat(t *testing.T) {
	over(t, func(r *rig) {
		assert.Panics(r, func() {
			_ = checkpoint.Run(r.Context(), in(r.Store), name, func(_ context.Context, s *checkpoint.Session[flat]) error {
				s.Mark("a", func(f *flat) { f.Name, f.Sums[1] = "one", 1 })
				s.Mark("b", func(f *flat) { f.Name = "half"; panic("a bug") })
				return nil
			}, nil)
		})
		cp := r.get()
		assert.Equal(r, "a", cp.Cursor)
		assert.Equal(r, int64(1), cp.Processed)
		assert.Equal(r, store.EndedError, cp.Ended)
		assert.Contains(r, cp.LastError, "a bug")
		state, err := checkpoint.Decode[flat](cp)
		require.NoError(r, err)
		assert.Equal(r, flat{"one", [2]int64{0, 1}}, state)
	})
}

func TestAPanicInAnUpdateOfADeepStateSavesNothingOfItAndCountsWhatIsLost(t *testing.T) {
	over(t, func(r *rig) {
		s, err := checkpoint.Open[deep](r.Context(), in(r.Store), name, nil)
		require.NoError(r, err)
		require.NoError(r, s.Save(r.Context(), "a", deep{map[string]int64{"a": 1}}))
		s.Mark("b", func(d *deep) { d.Sums["b"] = 2 })
		s.Mark("c", func(d *deep) { d.Sums["c"] = 3 })
		assert.Panics(r, func() { s.Mark("d", func(d *deep) { d.Sums["d"] = 4; panic("a bug") }) })
		err = s.Close(r.Context(), errors.New("panic: a bug"))
		require.ErrorContains(r, err, "2 records")
		cp := r.get()
		assert.Equal(r, "a", cp.Cursor)
		assert.Contains(r, cp.LastError, "a bug")
		assert.Contains(r, cp.LastError, "2 records", "so a person sees it in the history")
		state, err := checkpoint.Decode[deep](cp)
		require.NoError(r, err)
		assert.Equal(r, map[string]int64{"a": 1}, state.Sums)
	})
}

func TestAPanicInTheUpdateOfAStepLeavesNothingOfTheStep(t *testing.T) {
	over(t, func(r *rig) {
		s, err := checkpoint.Open[deep](r.Context(), in(r.Store), name, nil)
		require.NoError(r, err)
		s.Mark("a", func(d *deep) { d.Sums = map[string]int64{"a": 1} })
		assert.Panics(r, func() {
			_ = s.SaveStep(r.Context(), checkpoint.Step[deep]{Cursor: "b", Update: func(d *deep) { d.Sums["b"] = 2; panic("a bug") }})
		})
		require.NoError(r, s.Close(r.Context(), errors.New("panic: a bug")))
		cp := r.get()
		assert.Equal(r, "a", cp.Cursor)
		state, err := checkpoint.Decode[deep](cp)
		require.NoError(r, err)
		assert.Equal(r, map[string]int64{"a": 1}, state.Sums)
	})
}

func TestRunReturnsTheCauseOfItsContext(t *testing.T) {
	shutdown := errors.New("the pod is shut down")
	for what, job := range map[string]func(context.Context) error{
		"nil":                       func(context.Context) error { return nil },
		"its context's error":       func(ctx context.Context) error { return ctx.Err() },
		"the cause":                 context.Cause,
		"it wraps its context's":    func(ctx context.Context) error { return fmt.Errorf("read: %w", ctx.Err()) },
		"it wraps the cause itself": func(ctx context.Context) error { return fmt.Errorf("read: %w", context.Cause(ctx)) },
	} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				ctx, cancel := context.WithCancelCause(r.Context())
				var returned error
				err := checkpoint.Run(ctx, in(r.Store), name, func(ctx context.Context, s *checkpoint.Session[sum]) error {
					s.Mark("a", nil)
					cancel(shutdown)
					<-ctx.Done()
					returned = job(ctx)
					return returned
				}, nil)
				require.ErrorIs(r, err, shutdown)
				if returned != nil && returned != context.Canceled {
					require.ErrorIs(r, err, returned, "the job's own error stays")
				}
				assert.Equal(r, store.EndedStopped, r.get().Ended)
			})
		})
	}
	over(t, func(r *rig) {
		own := errors.New("the job's own")
		ctx, cancel := context.WithCancelCause(r.Context())
		err := checkpoint.Run(ctx, in(r.Store), name, func(context.Context, *checkpoint.Session[sum]) error {
			cancel(shutdown)
			return own
		}, nil)
		assert.Equal(r, own, err)
	})
}
