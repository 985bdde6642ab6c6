package lease

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
	"github.com/milepost-dev/milepost/store/memstore"
)

// torn makes the next Look read HEAD, then call meanwhile, and then read LEASE. A look is not one
// snapshot.
type torn struct {
	store.Store
	meanwhile func()
}

func (s *torn) Look(ctx context.Context, key store.Key) (store.Records, error) {
	before, err := s.Store.Look(ctx, key)
	if s.meanwhile == nil || err != nil {
		return before, err
	}
	meanwhile := s.meanwhile
	s.meanwhile = nil
	meanwhile()
	after, err := s.Store.Look(ctx, key)
	after.Head = before.Head
	return after, err
}

// quick is a holder whose beats follow one another within the time of one look.
func quick(id string) *Options {
	o := as(id)
	o.Beat = time.Second
	return o
}

func TestACommitAndABeatWithinOneLookAreNoRegression(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &torn{Store: memstore.New(nil)}
		a := acquire(t, st, quick("a"))
		st.meanwhile = func() {
			commit(t, st.Store, a, 1)
			time.Sleep(2 * time.Second) // a beat records the version
		}
		_, err := Acquire(t.Context(), st, key, as("b"))
		require.NotErrorIs(t, err, ErrStoreRegressed)
		require.ErrorIs(t, err, ErrHeld)

		st.meanwhile = func() {
			commit(t, st.Store, a, 2)
			require.NoError(t, a.Release(t.Context()))
		}
		b := acquire(t, st, as("b"))
		assert.Equal(t, int64(2), b.Head().Number)
	})
}

// A holder that commits faster than a contender looks never makes the store look older than it is.
func TestEachTornLookIsJudgedByTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &torn{Store: memstore.New(nil)}
		a := acquire(t, st, quick("a"))
		var again func(version int64) func()
		again = func(version int64) func() {
			return func() {
				commit(t, st.Store, a, version)
				time.Sleep(2 * time.Second)
				if version < 5 {
					st.meanwhile = again(version + 1)
				}
			}
		}
		st.meanwhile = again(1)
		_, err := Acquire(t.Context(), st, key, as("b"))
		require.ErrorIs(t, err, ErrHeld)
		assert.Nil(t, st.meanwhile)
	})
}

func TestALookThatHangsDoesNotPutTheClockAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := faultstore.New(memstore.New(nil))
		st.On("Look", 1, faultstore.Hang) // for the five seconds of one attempt
		began := time.Now()
		l := acquire(t, st, as("a"))
		assert.GreaterOrEqual(t, time.Since(began), 5*time.Second)
		assert.WithinDuration(t, time.Now(), l.Clock().Time(), 0)

		next := l.Clock().Time()
		for range 10 {
			time.Sleep(DefaultDuration / 6)
			assert.Equal(t, DefaultDuration/6, l.Clock().Time().Sub(next), "after each renewal")
			next = l.Clock().Time()
		}
	})
}

func TestASlowReplyNeitherPutsTheClockAheadNorBack(t *testing.T) {
	// The store reads its clock at the start or at the end of a slow request.
	for name, slow := range map[string]faultstore.Fault{
		"the request": faultstore.Delay(4 * time.Second),
		"the reply":   faultstore.After(func() { time.Sleep(4 * time.Second) }),
	} {
		for _, method := range []string{"Look", "Renew"} {
			t.Run(method+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					st := faultstore.New(memstore.New(nil))
					st.On(method, 1, slow)
					l := acquire(t, st, as("a"))
					last := l.Clock().Time()
					for range 60 {
						time.Sleep(time.Second)
						now := l.Clock().Time()
						assert.False(t, now.After(time.Now()), "%v is ahead of %v", now, time.Now())
						assert.False(t, now.Before(last.Add(time.Second)), "%v fell behind %v", now, last)
						last = now
					}
				})
			})
		}
	}
}

func TestTheClockFollowsAStoreWhoseClockWasSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var back atomic.Int64
		now := func() store.Clock { return store.Clock{Wall: time.Now().Add(-time.Duration(back.Load()))} }
		st := memstore.New(&memstore.Options{Clock: now})
		l := acquire(t, st, as("a"))
		back.Store(int64(time.Hour))
		time.Sleep(DefaultDuration / 5)
		assert.WithinDuration(t, now().Time(), l.Clock().Time(), time.Second)
	})
}

func TestALeaseIsNotFreeWhileItsContextLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New(nil)
		st := faultstore.New(mem)
		a := acquire(t, st, as("a"))
		st.On("Release", 1, faultstore.After(func() {
			b := acquire(t, mem, as("b"))
			assert.NoError(t, b.Context().Err())
			assert.ErrorIs(t, context.Cause(a.Context()), ErrLost, "another run holds the lease")
		}))
		require.NoError(t, a.Release(t.Context()))
		assert.Equal(t, Released, a.Lost().Reason)
	})
}

func TestBreakOutlastsARequestThatIsNeverAnswered(t *testing.T) {
	for _, now := range []bool{false, true} {
		for _, method := range []string{"Look", "Acquire", "Steal", "Raise"} {
			for name, fault := range map[string]faultstore.Fault{"silent": faultstore.Hang, "applied, silent": faultstore.HangAfter} {
				if now && method == "Acquire" || !now && method == "Steal" {
					continue
				}
				t.Run(method+" "+name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						mem := memstore.New(nil)
						crash(acquire(t, mem, as("a")))
						st := faultstore.New(mem)
						st.On(method, 1, fault)
						minute, cancel := context.WithTimeout(t.Context(), time.Minute)
						defer cancel()
						epoch, err := Break(minute, st, key, &BreakOptions{Reason: "gone", Now: now})
						require.NoError(t, err)
						assert.Equal(t, int64(2), epoch)
						found, err := mem.Look(t.Context(), key)
						require.NoError(t, err)
						assert.Equal(t, int64(2), found.Head.Fence.Epoch)
						assert.Equal(t, store.Free, found.Lease.Status)
					})
				})
			}
		}
	}
}

// A renewal after the last look of the watch is a renewal, too.
func TestBreakSparesALeaseThatIsRenewedAtTheLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New(nil)
		a := acquire(t, mem, as("a"))
		crash(a)
		st := faultstore.New(mem)
		renew := faultstore.Before(func() {
			_, _, err := mem.Renew(t.Context(), key, store.Renewal{Fence: a.Fence(), Beat: 1, RenewedAt: time.Now()})
			assert.NoError(t, err)
		})
		st.On("Acquire", 1, renew)
		st.On("Steal", 1, renew)
		_, err := Break(t.Context(), st, key, &BreakOptions{Reason: "stuck"})
		held, ok := errors.AsType[*HeldError](err)
		require.True(t, ok, "got %v", err)
		assert.True(t, held.Renewed)
	})
}

func TestAWaitGoesOnWhateverBecomesOfItsWish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := faultstore.New(memstore.New(nil))
		a := acquire(t, st, as("a"))
		time.AfterFunc(10*time.Second, func() { _ = a.Release(context.Background()) })
		st.On("Want", 0, faultstore.Fail(errors.New("a proxy's page")))
		b := as("b")
		b.Wait, b.TakeOver = time.Minute, true
		acquire(t, st, b)
		assert.NotEmpty(t, st.Calls("Want"))
	})
}
