package checkpoint_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
)

func start(r *rig, s *checkpoint.Session[sum], cursor string) *checkpoint.Record[sum] {
	r.Helper()
	record, ok := s.Start(cursor)
	require.True(r, ok, "record %s is to be processed", cursor)
	return record
}

func TestTheCursorIsTheLowWaterMarkOfWhatIsFinished(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		a, b, c, d := start(r, s, "a"), start(r, s, "b"), start(r, s, "c"), start(r, s, "d")
		d.Done(add(1000))
		b.Failed(add(10))
		assert.Empty(r, s.Cursor())
		a.Done(add(1))
		a.Done(add(1))
		assert.Equal(r, "b", s.Cursor())
		require.NoError(r, s.Flush(r.Context()))
		cp := r.get()
		assert.Equal(r, "b", cp.Cursor)
		assert.Equal(r, []store.Range{{First: "d", Last: "d"}}, cp.Finished)
		assert.Equal(r, int64(2), cp.Processed)
		assert.Equal(r, int64(1), cp.Failed)
		assert.Equal(r, int64(1011), r.sum())
		c.Done(add(100))
		assert.Equal(r, "d", s.Cursor())
		r.done(s)
		assert.Empty(r, r.get().Finished)
	})
}

func TestTheRecordThatHoldsTheMarkBackHasAName(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		cursor, since := s.Holding()
		assert.Empty(r, cursor)
		assert.True(r, since.IsZero())
		began := time.Now()
		slow := start(r, s, "a")
		time.Sleep(time.Minute)
		start(r, s, "b").Done(nil)
		cursor, since = s.Holding()
		assert.Equal(r, "a", cursor)
		assert.Equal(r, began, since)
		slow.Done(nil)
		r.done(s)
	})
}

func TestStartWaitsPastTheBound(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(&checkpoint.Options{MaxAhead: 3})
		slow := start(r, s, "a")
		start(r, s, "b").Done(nil)
		start(r, s, "c").Done(nil)
		began := time.Now()
		time.AfterFunc(time.Second, func() { slow.Done(nil) })
		start(r, s, "d").Done(nil)
		assert.Equal(r, time.Second, time.Since(began))
		r.done(s)
		assert.Equal(r, "d", r.get().Cursor)
	})
}

func TestNothingIsStartedOnceTheSessionIsToStop(t *testing.T) {
	over(t, func(r *rig) {
		ctx, stop := context.WithCancel(r.Context())
		s, err := checkpoint.Open[sum](ctx, in(r.Store), name, &checkpoint.Options{MaxAhead: 1})
		require.NoError(r, err)
		slow := start(r, s, "a")
		time.AfterFunc(time.Second, stop)
		_, ok := s.Start("b")
		assert.False(r, ok)
		slow.Done(add(1))
		_, ok = s.Start("c")
		assert.False(r, ok, "b was never processed, so nothing after it may be")
		require.NoError(r, s.Close(ctx, ctx.Err()))
		assert.Equal(r, "a", r.get().Cursor)
	})
}

func TestAMarkFinishesInItsTurnAmongStartedRecords(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		a := start(r, s, "a")
		s.Mark("b", add(10))
		assert.Empty(r, s.Cursor())
		a.Done(add(1))
		assert.Equal(r, "b", s.Cursor())
		r.done(s)
		assert.Equal(r, int64(11), r.sum())
	})
}

func TestAResumeSkipsWhatWasFinishedAboveTheMark(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		records := map[string]*checkpoint.Record[sum]{}
		for _, c := range []string{"a", "b", "c", "d", "e", "f"} {
			records[c] = start(r, s, c)
		}
		for _, c := range []string{"a", "c", "d", "f"} {
			records[c].Done(add(1))
		}
		require.NoError(r, s.Close(r.Context(), context.Canceled))
		assert.Equal(r, []store.Range{{First: "c", Last: "d"}, {First: "f", Last: "f"}}, r.get().Finished)

		s = r.open(nil)
		assert.Equal(r, "a", s.Cursor())
		b := start(r, s, "b")
		for _, c := range []string{"c", "d"} {
			_, ok := s.Start(c)
			assert.False(r, ok, c)
		}
		require.NoError(r, s.Flush(r.Context()))
		e := start(r, s, "e")
		e.Done(add(1))
		require.NoError(r, s.Flush(r.Context()))
		assert.Equal(r, []store.Range{{First: "c", Last: "e"}, {First: "f", Last: "f"}}, r.get().Finished)
		b.Done(add(1))
		assert.Equal(r, "e", s.Cursor())
		_, ok := s.Start("f")
		assert.False(r, ok)
		assert.Equal(r, "f", s.Cursor())
		r.done(s)
		assert.Equal(r, int64(6), r.get().Processed)
		assert.Equal(r, int64(6), r.sum())
	})
}

func TestARangeThatTheInputHasNoMoreDoesNotHoldTheNextOnes(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		start(r, s, "a")
		start(r, s, "b").Done(nil)
		start(r, s, "c")
		start(r, s, "d").Done(nil)
		require.NoError(r, s.Close(r.Context(), context.Canceled))

		s = r.open(nil)
		start(r, s, "a").Done(nil)
		start(r, s, "c").Done(nil)
		_, ok := s.Start("d")
		assert.False(r, ok)
		require.NoError(r, s.Flush(r.Context()))
		assert.Equal(r, "d", r.get().Cursor)
		assert.Empty(r, r.get().Finished)
		r.done(s)
	})
}

func TestWhatWasFinishedAboveTheMarkIsForgottenWhenTheInputIsDone(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		start(r, s, "a")
		start(r, s, "b").Done(nil)
		require.NoError(r, s.Close(r.Context(), context.Canceled))
		s = r.open(nil)
		start(r, s, "a").Done(nil)
		require.NoError(r, s.Flush(r.Context()))
		assert.NotEmpty(r, r.get().Finished)
		r.done(s) // without b: the input has it no more
		assert.Empty(r, r.get().Finished)
	})
}

// Records finish in random order by many goroutines, and the session ends at any moment: what
// is counted and summed is each record once.
func TestCountsAreExactAcrossResumesOutOfOrder(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			over(t, func(r *rig) {
				random := rand.New(rand.NewPCG(seed, 4))
				const records = 200
				processed := make([]int, records+1)
				for last := 0; last < records; {
					s := r.open(&checkpoint.Options{Every: 7, MaxAhead: 12})
					ctx, stop := context.WithTimeout(r.Context(), time.Duration(random.IntN(300))*time.Millisecond)
					at := 0
					if s.Cursor() != "" {
						_, err := fmt.Sscan(s.Cursor(), &at)
						require.NoError(r, err)
					}
					for i := at + 1; i <= records && ctx.Err() == nil; i++ {
						record, ok := s.Start(fmt.Sprint(i))
						if !ok {
							continue
						}
						processed[i]++
						took := time.Duration(random.IntN(50)) * time.Millisecond
						go func() {
							select {
							case <-time.After(took):
								record.Done(add(int64(i)))
							case <-ctx.Done():
								processed[i]-- // not finished: it is to be done again
							}
						}()
						time.Sleep(5 * time.Millisecond)
					}
					<-ctx.Done()
					synctest.Wait()
					stop()
					require.NoError(r, s.Close(r.Context(), context.Canceled))
					last = 0
					if c := r.get().Cursor; c != "" {
						_, err := fmt.Sscan(c, &last)
						require.NoError(r, err)
					}
				}
				assert.Equal(r, int64(records), r.get().Processed)
				assert.Equal(r, int64(records*(records+1)/2), r.sum())
				for i := 1; i <= records; i++ {
					require.Equal(r, 1, processed[i], "record %d", i)
				}
			})
		})
	}
}
