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

func TestALostReplyDoesNotStopTheRenewals(t *testing.T) {
	for name, fault := range map[string]faultstore.Fault{
		"reply lost":      faultstore.LoseReply,
		"request lost":    faultstore.LoseRequest,
		"throttled":       faultstore.Throttle,
		"no answer":       faultstore.Hang,
		"applied, silent": faultstore.HangAfter,
		"delivered late":  faultstore.Hold,
		"delivered twice": faultstore.Duplicate,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := faultstore.New(memstore.New(nil))
				l := acquire(t, st, as("a"))
				for i := range 20 {
					st.On("Renew", 3*i+1, fault)
				}
				time.Sleep(3 * time.Minute)
				for _, held := range st.Held() {
					assert.Error(t, held.Deliver(t.Context()), "a late beat is refused")
				}
				time.Sleep(time.Minute)
				assert.NoError(t, l.Context().Err())
				assert.GreaterOrEqual(t, len(st.Calls("Renew")), 40)
			})
		})
	}
}

func TestTheContextEndsAtFourFifthsWithoutARenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := faultstore.New(memstore.New(nil))
		l := acquire(t, st, as("a"))
		st.On("Renew", 0, faultstore.Hang)
		began := time.Now()
		<-l.Context().Done()
		assert.Equal(t, 24*time.Second, time.Since(began))
		lost, ok := errors.AsType[*LostError](context.Cause(l.Context()))
		require.True(t, ok)
		assert.Equal(t, Expired, lost.Reason)
		assert.ErrorIs(t, lost, ErrLost)
		assert.Error(t, lost.Err, "the last renewal's error is told")
		assert.WithinDuration(t, began, lost.LastRenewal, 0)
	})
}

func TestNoCommitStartsPastHalfWithoutARenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := faultstore.New(memstore.New(nil))
		l := acquire(t, st, as("a"))
		st.On("Renew", 0, faultstore.LoseRequest)
		time.Sleep(15*time.Second - time.Millisecond)
		require.NoError(t, l.Ready(t.Context()))
		time.Sleep(time.Millisecond)
		soon, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		require.ErrorIs(t, l.Ready(soon), context.DeadlineExceeded)

		st.Clear()
		began := time.Now()
		require.NoError(t, l.Ready(t.Context()), "it waits for the renewal that lets it go on")
		assert.LessOrEqual(t, time.Since(began), 2*time.Second)

		st.On("Renew", 0, faultstore.LoseRequest)
		time.Sleep(15 * time.Second)
		assert.ErrorIs(t, l.Ready(t.Context()), ErrLost)
	})
}

func TestAStolenLeaseEndsTheContextByWhom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(nil)
		a := acquire(t, st, as("a"))
		_, err := Break(t.Context(), st, key, &BreakOptions{Reason: "stuck", Now: true, By: store.Holder{ID: "oncall"}})
		require.NoError(t, err)
		<-a.Context().Done()
		lost, ok := errors.AsType[*LostError](context.Cause(a.Context()))
		require.True(t, ok)
		assert.Equal(t, Stolen, lost.Reason)
		assert.Equal(t, "oncall", lost.By.ID)
		assert.Equal(t, int64(2), lost.ByEpoch)
		assert.ErrorIs(t, commitErr(t, st, a, 1), store.ErrNotApplied)
	})
}

func TestALeaseRecordThatIsGoneIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(nil)
		a := acquire(t, st, as("a"))
		st.Drop(key, "LEASE")
		<-a.Context().Done()
		assert.Equal(t, Stolen, a.Lost().Reason)
	})
}

// bent is a wall clock that a test can move, while the monotonic one goes on.
type bent struct{ wall atomic.Int64 }

func (b *bent) readings(id string) *Readings {
	r := elsewhere(id)
	r.Wall = func() time.Time { return time.Now().Round(0).Add(time.Duration(b.wall.Load())) }
	return r
}

func TestAClockJumpIsAMissedRenewalNotALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := faultstore.New(memstore.New(nil))
		var clocks bent
		o := as("a")
		o.Readings = clocks.readings("a")
		l := acquire(t, st, o)
		require.NoError(t, l.Ready(t.Context()))
		clocks.wall.Store(int64(time.Hour)) // NTP, or the machine slept
		require.NoError(t, l.Ready(t.Context()))
		beats := st.Calls("Renew")
		require.Len(t, beats, 1, "the commit waited for a renewal")
		assert.True(t, beats[0].Arg.(store.Renewal).Until.IsZero(), "which recorded no expiry")
		time.Sleep(10 * time.Second)
		beats = st.Calls("Renew")
		assert.False(t, beats[1].Arg.(store.Renewal).Until.IsZero(), "the next does again")
		assert.NoError(t, l.Context().Err())
	})
}

func TestAServiceClockThatJumpsIsNotWrittenDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var off atomic.Int64
		st := faultstore.New(memstore.New(&memstore.Options{Clock: func() store.Clock {
			return store.Clock{Wall: time.Now().Add(time.Duration(off.Load())).Truncate(time.Second)}
		}}))
		acquire(t, st, as("a"))
		time.Sleep(6 * time.Second)
		off.Store(-int64(time.Hour))
		time.Sleep(10 * time.Second)
		beats := st.Calls("Renew")
		require.Len(t, beats, 3)
		blind := func(i int) bool { return beats[i].Arg.(store.Renewal).Until.IsZero() }
		assert.Equal(t, []bool{false, false, true}, []bool{blind(0), blind(1), blind(2)},
			"the beat after the odd reply records no expiry")
	})
}

func TestTheRecordedEndCountsFromTheSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := faultstore.New(memstore.New(nil))
		began := time.Now()
		st.On("Look", 1, faultstore.Delay(400*time.Millisecond)) // the Date is read after the delay
		acquire(t, st, as("a"))
		found, err := st.Look(t.Context(), key)
		require.NoError(t, err)
		assert.WithinDuration(t, began.Add(30*time.Second+800*time.Millisecond), found.Lease.Until.Wall, 0,
			"Date + time since the request was sent + duration")
	})
}

func TestAHandoffNeedsBothSidesAndALiveWaiter(t *testing.T) {
	cases := map[string]struct{ takeOver, yield, live, handed bool }{
		"both agreed":     {true, true, true, true},
		"holder did not":  {true, false, true, false},
		"a plain wait":    {false, true, true, false},
		"the waiter died": {true, true, false, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memstore.New(nil)
				o := as("a")
				o.Yield = c.yield
				a := acquire(t, st, o)
				b := as("b")
				b.TakeOver, b.Wait = c.takeOver, 20*time.Second
				if !c.live {
					b.Wait = 100 * time.Millisecond // one poll, then no more
				}
				go func() {
					select {
					case <-a.HandoffWanted():
						_ = a.Release(context.Background())
					case <-a.Context().Done():
					}
				}()
				l, err := Acquire(t.Context(), st, key, b)
				if c.handed {
					require.NoError(t, err)
					require.NoError(t, l.Release(t.Context()))
					return
				}
				require.ErrorIs(t, err, ErrHeld)
				time.Sleep(time.Minute)
				assert.NoError(t, a.Context().Err(), "the holder goes on")
				require.NoError(t, a.Release(t.Context()))
			})
		})
	}
}

func TestAYieldingHolderStaysAwayForTwoPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(nil)
		o := as("a")
		o.Yield, o.Wait = true, time.Hour
		a := acquire(t, st, o)
		winner := make(chan string, 2)
		go func() {
			b := as("b")
			b.TakeOver, b.Wait = true, time.Hour
			l, err := Acquire(context.Background(), st, key, b)
			assert.NoError(t, err)
			winner <- "b"
			time.Sleep(time.Minute)
			_ = l.Release(context.Background())
		}()
		<-a.HandoffWanted()
		require.NoError(t, a.Release(t.Context()))
		l, err := Acquire(t.Context(), st, key, o)
		require.NoError(t, err)
		winner <- "a"
		assert.Equal(t, "b", <-winner, "who opens again at once does not beat the waiter")
		require.NoError(t, l.Release(t.Context()))
	})
}

func TestASilentHolderStopsRenewing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(nil)
		o := as("a")
		o.MaxSilence = 5 * time.Minute
		l := acquire(t, st, o)
		for range 10 {
			time.Sleep(4 * time.Minute)
			l.Progress()
		}
		require.NoError(t, l.Context().Err())
		began := time.Now()
		<-l.Context().Done()
		assert.LessOrEqual(t, time.Since(began), 5*time.Minute+24*time.Second)
		assert.ErrorContains(t, context.Cause(l.Context()), "no progress for 5m0s")
		b := as("b")
		b.Wait = time.Minute
		acquire(t, st, b)
	})
}

func TestALeaseOutlivesAcquiresContextUntilItIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(nil)
		ctx, cancel := context.WithCancel(t.Context())
		l, err := Acquire(ctx, st, key, as("a"))
		require.NoError(t, err)
		cancel()
		<-l.Context().Done()
		time.Sleep(5 * time.Minute)
		assert.Nil(t, l.Lost(), "cancelled, not lost: there is still something to save")
		require.NoError(t, l.Ready(t.Context()))
		require.NoError(t, l.Release(t.Context()))
		require.NoError(t, l.Release(t.Context()), "again is no error")
	})
}

func TestAReleaseIsSentAgainUntilItIsAnswered(t *testing.T) {
	for name, fault := range map[string]faultstore.Fault{
		"reply lost": faultstore.LoseReply, "request lost": faultstore.LoseRequest, "throttled": faultstore.Throttle,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := faultstore.New(memstore.New(nil))
				l := acquire(t, st, as("a"))
				st.On("Release", 1, fault)
				st.On("Release", 1, fault)
				require.NoError(t, l.Release(t.Context()))
				acquire(t, st, as("b"))
			})
		})
	}
}

func TestAnExpiredHolderStillMarksItsLeaseFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := faultstore.New(memstore.New(nil))
		l := acquire(t, st, as("a"))
		st.On("Renew", 0, faultstore.LoseRequest)
		<-l.Context().Done()
		require.NoError(t, l.Release(t.Context()))
		acquire(t, st, as("b"))
	})
}

func TestASlowReleaseStallsNoOtherLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := faultstore.New(memstore.New(nil))
		slow := acquire(t, st, as("a"))
		other, err := Acquire(t.Context(), st, store.Key{Namespace: "default", Name: "other"}, as("a"))
		require.NoError(t, err)
		st.On("Release", 1, faultstore.Hang)
		go func() { _ = slow.Release(context.Background()) }()
		waiter := as("b")
		waiter.Wait = time.Minute
		_, err = Acquire(t.Context(), st, other.Key(), waiter)
		assert.ErrorIs(t, err, ErrHeld)
		assert.NoError(t, other.Context().Err())
		require.NoError(t, other.Release(t.Context()))
	})
}

func TestAWaiterThatIsCancelledWhileItAsksForTheLeaseReturnsTheCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := faultstore.New(memstore.New(nil))
		acquire(t, st, as("a"))
		why := errors.New("the machine goes down")
		ctx, cancel := context.WithCancelCause(t.Context())
		st.On("Want", 1, func(ctx context.Context, c *faultstore.Call) error {
			cancel(why)
			return faultstore.Hang(ctx, c)
		})
		b := as("b")
		b.TakeOver, b.Wait = true, time.Hour
		_, err := Acquire(ctx, st, key, b)
		assert.ErrorIs(t, err, why)
	})
}

func TestALeaseEndsAtTheFirstBeatThatFindsItsStoreReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := faultstore.New(memstore.New(nil))
		l := acquire(t, st, as("a"))
		st.On("Renew", 0, func(context.Context, *faultstore.Call) error {
			return errors.Join(store.ErrNotApplied, store.ErrReplaced)
		})
		assert.Positive(t, l.Left())
		began := time.Now()
		<-l.Context().Done()
		assert.LessOrEqual(t, time.Since(began), 10*time.Second, "the first beat, and not the expiry")
		lost, ok := errors.AsType[*LostError](context.Cause(l.Context()))
		require.True(t, ok)
		assert.Equal(t, Stolen, lost.Reason)
		require.ErrorIs(t, lost, store.ErrReplaced)
		assert.LessOrEqual(t, l.Left(), time.Duration(0), "another run may be at work")
	})
}
