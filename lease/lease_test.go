package lease

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
	"github.com/milepost-dev/milepost/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var key = store.Key{Namespace: "default", Name: "orders/eu"}

// elsewhere is a holder on another machine, about whose process nothing can be known.
func elsewhere(id string) *Readings {
	return &Readings{
		Self:  func() store.Holder { return store.Holder{Boot: "boot-" + id, PIDSpace: "space", PIDStart: "1"} },
		Alive: func(store.Holder) bool { return true },
	}
}

func as(id string) *Options {
	return &Options{Holder: store.Holder{ID: id, Host: id + "-host"}, Readings: elsewhere(id)}
}

func acquire(t *testing.T, st store.Store, o *Options) *Lease {
	t.Helper()
	l, err := Acquire(t.Context(), st, key, o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Release(context.Background()) })
	return l
}

// crash stops a holder's renewals without releasing, as a kill would.
func crash(l *Lease) {
	l.stopBeat()
	<-l.beatDone
}

// commit puts one version on HEAD under the lease.
func commit(t *testing.T, st store.Store, l *Lease, version int64) {
	t.Helper()
	require.NoError(t, commitErr(t, st, l, version))
	l.Committed(version)
}

func commitErr(t *testing.T, st store.Store, l *Lease, version int64) error {
	_, err := st.Commit(t.Context(), l.Key(), store.Commit{Fence: l.Fence(), Base: version - 1, Next: store.Version{
		Number: version, CommitID: NewID(), CommitEpoch: l.Epoch(), By: l.Holder(), SavedAt: time.Now(), Born: 1,
	}})
	return err
}

func TestAFreeLeaseIsAcquiredInThreeRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := faultstore.New(memstore.New(nil))
		for want := int64(1); want <= 3; want++ {
			l, err := Acquire(t.Context(), st, key, as("a"))
			require.NoError(t, err)
			assert.Equal(t, want, l.Epoch(), "epochs rise with each acquisition")
			require.NoError(t, l.Release(t.Context()))
		}
		var methods []string
		for _, c := range st.Calls("") {
			methods = append(methods, c.Method)
		}
		assert.Equal(t, []string{"Look", "Acquire", "Raise", "Release"}, methods[:4])
		assert.Len(t, methods, 12)
	})
}

func TestAHeldLeaseNamesItsHolderAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(nil)
		acquire(t, st, as("a"))
		time.Sleep(7 * time.Second)
		began := time.Now()
		_, err := Acquire(t.Context(), st, key, as("b"))
		held, ok := errors.AsType[*HeldError](err)
		require.True(t, ok, "got %v", err)
		assert.ErrorIs(t, err, ErrHeld)
		assert.Equal(t, "a", held.Holder.ID)
		assert.Equal(t, "a-host", held.Holder.Host)
		assert.Equal(t, os.Getpid(), held.Holder.PID)
		assert.Equal(t, 5*time.Second+30*time.Second, held.Until.Sub(held.Since), "a renewal after 5 s moved the end")
		assert.Zero(t, time.Since(began))
	})
}

func TestAnIdleHolderKeepsItsLeaseForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(nil)
		a := acquire(t, st, as("a"))
		b := as("b")
		b.Wait = 24 * time.Hour
		_, err := Acquire(t.Context(), st, key, b)
		assert.ErrorIs(t, err, ErrHeld)
		assert.NoError(t, a.Context().Err())
	})
}

func TestAWaiterTakesAReleasedLeaseWithinOnePoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(nil)
		a := acquire(t, st, as("a"))
		var released time.Time
		time.AfterFunc(100*time.Second, func() { released = time.Now(); _ = a.Release(context.Background()) })
		b := as("b")
		b.Wait = time.Hour
		acquire(t, st, b)
		assert.LessOrEqual(t, time.Since(released), farPoll)
		assert.Equal(t, Released, a.Lost().Reason)
	})
}

// Invariants 6 and 7: the old holder's context ends before the new one is told, and the
// new one is told within 1.02 durations and a poll.
func TestAfterACrashTheLeaseIsTakenByItsUnchangedRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(&memstore.Options{Clock: func() store.Clock { return store.Clock{} }})
		a := acquire(t, st, as("a"))
		crash(a)
		b := as("b")
		b.Wait = time.Hour
		began := time.Now()
		l := acquire(t, st, b)
		assert.GreaterOrEqual(t, time.Since(began), 30600*time.Millisecond)
		assert.LessOrEqual(t, time.Since(began), 30600*time.Millisecond+nearPoll)
		assert.Equal(t, int64(2), l.Epoch())
		lost, ok := errors.AsType[*LostError](context.Cause(a.Context()))
		require.True(t, ok, "the old holder's context is cancelled with a typed cause")
		assert.Equal(t, Expired, lost.Reason)
	})
}

func TestALeaseLeftByACrashYesterdayIsTakenOnTheFirstTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(nil)
		crash(acquire(t, st, as("a")))
		time.Sleep(32*time.Second - time.Millisecond)
		_, err := Acquire(t.Context(), st, key, as("b"))
		require.ErrorIs(t, err, ErrHeld, "within the slack nobody may judge")
		time.Sleep(2 * time.Millisecond)
		acquire(t, st, as("b"))
	})
}

func TestAnotherBootOfTheMachineIsACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boot, booted := "one", time.Now().Add(-time.Hour)
		st := memstore.New(&memstore.Options{Clock: func() store.Clock {
			return store.Clock{Wall: time.Now(), Boot: boot, Uptime: time.Since(booted)}
		}})
		crash(acquire(t, st, as("a")))
		_, err := Acquire(t.Context(), st, key, as("b"))
		require.ErrorIs(t, err, ErrHeld)
		boot = "of a container"
		_, err = Acquire(t.Context(), st, key, as("b"))
		require.ErrorIs(t, err, ErrHeld, "the same kernel goes on")
		time.Sleep(5 * time.Second)
		boot, booted = "two", time.Now()
		acquire(t, st, as("b"))
	})
}

func TestTheSameHolderRestartedGoesOnAtOnceIfItOptedIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(nil)
		crash(acquire(t, st, as("a")))
		restarted := as("a")
		restarted.Holder.PID = 4711
		_, err := Acquire(t.Context(), st, key, restarted)
		require.ErrorIs(t, err, ErrHeld, "without opting in")
		restarted.SameHolder = true
		acquire(t, st, restarted)
	})
}

func TestTheSameHolderIsRefusedWithinOneProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(nil)
		o := as("a")
		o.SameHolder = true
		acquire(t, st, o)
		_, err := Acquire(t.Context(), st, key, o)
		assert.ErrorIs(t, err, ErrHeld)
	})
}

func TestADeadProcessOfThisMachineLosesItsLeaseAtOnce(t *testing.T) {
	cases := map[string]struct {
		change func(*store.Holder)
		alive  bool
		taken  bool
	}{
		"gone":               {func(*store.Holder) {}, false, true},
		"it runs":            {func(*store.Holder) {}, true, false},
		"another boot":       {func(h *store.Holder) { h.Boot = "other" }, false, false},
		"another pid space":  {func(h *store.Holder) { h.PIDSpace = "other" }, false, false},
		"nothing is known":   {func(h *store.Holder) { h.Boot, h.PIDSpace, h.PIDStart = "", "", "" }, false, false},
		"no start time told": {func(h *store.Holder) { h.PIDStart = "" }, false, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memstore.New(nil)
				self := store.Holder{Boot: "boot", PIDSpace: "space", PIDStart: "1"}
				c.change(&self)
				crash(acquire(t, st, &Options{Holder: store.Holder{ID: "a"}, Readings: &Readings{Self: func() store.Holder { return self }}}))
				b := &Options{Holder: store.Holder{ID: "b"}, Readings: &Readings{
					Self:  func() store.Holder { return store.Holder{Boot: "boot", PIDSpace: "space", PIDStart: "2"} },
					Alive: func(store.Holder) bool { return c.alive },
				}}
				l, err := Acquire(t.Context(), st, key, b)
				if !c.taken {
					require.ErrorIs(t, err, ErrHeld)
					return
				}
				require.NoError(t, err)
				require.NoError(t, l.Release(t.Context()))
			})
		})
	}
}

func TestAPIDThatTheCallerChoseIsNotLookedFor(t *testing.T) {
	st := memstore.New(nil)
	const none = 1<<31 - 1
	l, err := Acquire(t.Context(), st, key, &Options{Holder: store.Holder{ID: "a", PID: none}})
	require.NoError(t, err)
	defer func() { assert.NoError(t, l.Release(t.Context())) }()
	assert.Equal(t, none, l.Holder().PID)
	_, err = Acquire(t.Context(), st, key, &Options{Holder: store.Holder{ID: "b"}})
	require.ErrorIs(t, err, ErrHeld, "the process that holds the lease runs, whatever its pid")
}

func TestNoProcessWaitsOutItsOwnLease(t *testing.T) {
	for name, fault := range map[string]faultstore.Fault{
		"reply lost":       faultstore.LoseReply,
		"request lost":     faultstore.LoseRequest,
		"throttled":        faultstore.Throttle,
		"no answer":        faultstore.Hang,
		"applied, silent":  faultstore.HangAfter,
		"delivered twice":  faultstore.Duplicate,
		"delivered late":   faultstore.Hold,
		"slow but in time": faultstore.Delay(time.Second),
	} {
		for _, step := range []string{"Look", "Acquire", "Raise"} {
			t.Run(step+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					st := faultstore.New(memstore.New(nil))
					st.On(step, 1, fault)
					began := time.Now()
					l := acquire(t, st, as("a"))
					assert.Less(t, time.Since(began), 15*time.Second)
					for _, held := range st.Held() {
						_ = held.Deliver(t.Context()) // late: it must change nothing
					}
					commit(t, st, l, 1)
					assert.Equal(t, int64(1), l.Epoch())
				})
			})
		}
	}
}

func TestAStoreThatDoesNotAnswerIsUnavailableAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := faultstore.New(memstore.New(nil))
		st.On("Look", 0, faultstore.Fail(store.ErrUnavailable))
		began := time.Now()
		_, err := Acquire(t.Context(), st, key, as("a"))
		assert.ErrorIs(t, err, store.ErrUnavailable)
		assert.Contains(t, err.Error(), "orders/eu")
		assert.InDelta(t, patience.Seconds(), time.Since(began).Seconds(), 2)
	})
}

func TestABadRecordIsNeverAFreeLease(t *testing.T) {
	for _, record := range []string{"HEAD", "LEASE"} {
		t.Run(record, func(t *testing.T) {
			st := memstore.New(nil)
			l := acquire(t, st, as("a"))
			require.NoError(t, l.Release(t.Context()))
			st.Damage(key, record, errors.New("bent"))
			_, err := Acquire(t.Context(), st, key, as("b"))
			assert.ErrorIs(t, err, store.ErrBadRecord)
		})
	}
}

func TestAStoreThatWentBackwardIsNoFreshStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New(nil)
		l := acquire(t, mem, as("a"))
		commit(t, mem, l, 1)
		require.NoError(t, l.Release(t.Context()))
		mem.Drop(key, "HEAD")
		st := faultstore.New(mem)
		_, err := Acquire(t.Context(), st, key, as("b"))
		require.ErrorIs(t, err, ErrStoreRegressed)
		assert.Empty(t, st.Calls("Acquire"), "nothing may be written before it is known")

		over := as("b")
		over.AcceptRegression = true
		l = acquire(t, mem, over)
		require.NoError(t, l.Release(t.Context()))
		_, err = Acquire(t.Context(), mem, key, as("c"))
		assert.ErrorIs(t, err, ErrStoreRegressed, "until a commit leads on, LEASE still knows the version")
	})
}

func TestAHeadThatFallsDuringTheAcquisitionIsNoFreshStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New(nil)
		l := acquire(t, mem, as("a"))
		commit(t, mem, l, 1)
		require.NoError(t, l.Release(t.Context()))
		st := faultstore.New(mem)
		st.On("Raise", 1, faultstore.Before(func() { mem.Drop(key, "HEAD") }))
		_, err := Acquire(t.Context(), st, key, as("b"))
		require.ErrorIs(t, err, ErrStoreRegressed)
		found, err := mem.Look(t.Context(), key)
		require.NoError(t, err)
		assert.Nil(t, found.Head, "the raise must not make an empty HEAD")
		assert.Equal(t, store.Free, found.Lease.Status)
		assert.Equal(t, int64(1), found.Lease.Version)
	})
}

func TestAMissingLeaseIsRebuiltAMillionEpochsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(nil)
		a := acquire(t, st, as("a"))
		st.Drop(key, "LEASE")
		b := acquire(t, st, as("b"))
		assert.Equal(t, int64(1_000_001), b.Epoch())
		assert.ErrorIs(t, commitErr(t, st, a, 1), store.ErrNotApplied, "the old holder is fenced")
		time.Sleep(6 * time.Second)
		assert.Equal(t, Stolen, a.Lost().Reason)
	})
}

func TestALeaseThatGoesMissingDuringTheAcquisitionIsRebuilt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New(nil)
		st := faultstore.New(mem)
		st.On("Raise", 1, faultstore.After(func() {
			mem.Drop(key, "LEASE")
			time.Sleep(DefaultDuration / 5) // a renewal finds out
		}))
		a := acquire(t, st, as("a"))
		assert.Equal(t, int64(1_000_001), a.Epoch())
		commit(t, mem, a, 1)
	})
}

func TestALateRaiseOfAnOlderEpochLosesToTheNewer(t *testing.T) {
	for when, at := range map[string]struct {
		fault func(func()) faultstore.Fault
		pause time.Duration
	}{
		"the raise finds out":                {faultstore.Before, 0},
		"a renewal finds out before it":      {faultstore.Before, DefaultDuration / 5},
		"a renewal finds out behind a raise": {faultstore.After, DefaultDuration / 5},
	} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := memstore.New(nil)
				st := faultstore.New(mem)
				var b *Lease
				st.On("Raise", 1, at.fault(func() { // a has LEASE and is paused; b breaks in
					_, err := Break(t.Context(), mem, key, &BreakOptions{Reason: "drill", Now: true})
					assert.NoError(t, err)
					b = acquire(t, mem, as("b"))
					time.Sleep(at.pause)
				}))
				_, err := Acquire(t.Context(), st, key, as("a"))
				held, ok := errors.AsType[*HeldError](err)
				require.True(t, ok, "got %v", err)
				assert.Equal(t, "b", held.Holder.ID)
				assert.NoError(t, b.Context().Err())
			})
		})
	}
}

func TestOneOfManyContendersWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(nil)
		won := make(chan *Lease, 50)
		for range 50 {
			go func() {
				l, err := Acquire(t.Context(), st, key, as(NewID()))
				if err != nil {
					assert.ErrorIs(t, err, ErrHeld)
				}
				won <- l
			}()
		}
		var winners int
		for range 50 {
			if l := <-won; l != nil {
				winners++
				defer func() { _ = l.Release(t.Context()) }()
			}
		}
		assert.Equal(t, 1, winners)
	})
}

func TestOptionsAreValidated(t *testing.T) {
	for name, o := range map[string]*Options{
		"too short":         {Duration: time.Millisecond},
		"too long":          {Duration: 2 * time.Hour},
		"not whole":         {Duration: time.Second + time.Microsecond},
		"beat at the end":   {Beat: 30 * time.Second},
		"loses before half": {LoseAfter: 10 * time.Second},
		"negative wait":     {Wait: -1},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Acquire(t.Context(), memstore.New(nil), key, o)
			assert.ErrorContains(t, err, "lease options")
		})
	}
	_, err := Acquire(t.Context(), memstore.New(nil), store.Key{Namespace: "a/b", Name: "x"}, nil)
	assert.ErrorIs(t, err, store.ErrName)
}
