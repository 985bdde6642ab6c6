package protocoltest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
)

// stays requires that a lease, or a session with its lease, is not lost for that many durations.
func (f fixture) stays(t *testing.T, holder interface{ Context() context.Context }, durations int) {
	t.Helper()
	time.Sleep(time.Duration(durations) * f.duration())
	require.NoError(t, context.Cause(holder.Context()))
}

var renewalRules = []rule{
	{"a beat that landed without a reply is a success", func(t *testing.T, f fixture) {
		line := f.line()
		l := f.open(t, line, f.as("a"))
		line.On("Renew", 0, faultstore.LoseReply)
		f.until(t, "two beats are sent", func() bool { return len(line.Calls("Renew")) >= 2 })
		line.Clear()
		f.stays(t, l, 1)
	}},
	{"a beat that comes late is refused and does no harm", func(t *testing.T, f fixture) {
		line := f.line()
		l := f.open(t, line, f.as("a"))
		line.On("Renew", 1, faultstore.Hold)
		f.until(t, "the next beat is recorded", func() bool { return f.look(t).Lease.Beat >= 2 })
		before := f.look(t).Lease.Beat
		require.NotEmpty(t, line.Held())
		require.ErrorIs(t, line.Held()[0].Deliver(t.Context()), store.ErrNotApplied)
		assert.GreaterOrEqual(t, f.look(t).Lease.Beat, before)
		require.NoError(t, l.Context().Err())
	}},
	{"a late beat does not bring back a lease that was released or taken", func(t *testing.T, f fixture) {
		line := f.line()
		l := f.open(t, line, f.as("a"))
		line.On("Renew", 1, faultstore.Duplicate)
		f.until(t, "a beat is recorded", func() bool { return f.look(t).Lease.Beat >= 1 })
		require.NoError(t, l.Release(t.Context()))
		deliverLate(t, line)
		assert.Equal(t, store.Free, f.look(t).Lease.Status)
		b := f.open(t, f.Store, f.as("b"))
		deliverLate(t, line)
		assert.Equal(t, b.Fence(), f.look(t).Lease.Fence())
		assert.Equal(t, store.Held, f.look(t).Lease.Status)
	}},
	{"no commit starts past half the duration without a renewal", func(t *testing.T, f fixture) {
		line := f.line()
		l := f.open(t, line, f.as("a"))
		require.NoError(t, l.Ready(t.Context()))
		cut(line)
		lost := f.lostBy(t, l, lease.Expired, f.duration()*4/5)
		require.ErrorIs(t, l.Ready(t.Context()), lease.ErrLost)
		assert.Error(t, lost.Err, "the last renewal's error is reported")
	}},
	{"the context ends at four fifths of the duration, whatever call is in flight", func(t *testing.T, f fixture) {
		line := f.line()
		began := time.Now()
		l := f.open(t, line, f.as("a"))
		line.On("Renew", 0, faultstore.Hang)
		_ = f.lostBy(t, l, lease.Expired, f.duration()*4/5)
		assert.LessOrEqual(t, time.Since(began), f.real(f.duration()*4/5))
		assert.GreaterOrEqual(t, time.Since(began), f.duration()*4/5)
	}},
	{"the deadline counts from the sending, not from the reply", func(t *testing.T, f fixture) {
		line := f.line()
		began := time.Now()
		line.On("Acquire", 1, faultstore.Delay(f.duration()/4))
		l := f.open(t, line, f.as("a"))
		line.On("Renew", 0, faultstore.LoseRequest)
		_ = f.lostBy(t, l, lease.Expired, f.duration()*4/5)
		if f.suite.virtual {
			assert.Equal(t, f.duration()*4/5, time.Since(began))
		}
	}},
	{"renewals start when LEASE is written, not when open ends", func(t *testing.T, f fixture) {
		line := f.line()
		line.On("Raise", 1, faultstore.Before(func() {
			f.until(t, "a beat is recorded", func() bool { return f.look(t).Lease.Beat > 0 })
		}))
		f.open(t, line, f.as("a"))
	}},
	{"a jump of the clock is a missed renewal, not a loss", func(t *testing.T, f fixture) {
		line := f.line()
		o := f.as("a")
		jump := make(chan struct{})
		o.Readings.Wall = func() time.Time {
			select {
			case <-jump:
				return time.Now().Round(0).Add(time.Hour)
			default:
				return time.Now().Round(0)
			}
		}
		l := f.open(t, line, o)
		require.NoError(t, l.Ready(t.Context()))
		before := len(line.Calls("Renew"))
		close(jump)
		require.NoError(t, l.Ready(t.Context()))
		beats := line.Calls("Renew")
		require.Greater(t, len(beats), before, "the commit waited for a renewal")
		assert.True(t, beats[before].Arg.(store.Renewal).Until.IsZero(), "which recorded no expiry")
		f.stays(t, l, 1)
	}},
	{"an expired holder still marks its lease free", func(t *testing.T, f fixture) {
		line := f.line()
		l := f.open(t, line, f.as("a"))
		line.On("Renew", 0, faultstore.LoseRequest)
		_ = f.lostBy(t, l, lease.Expired, f.duration()*4/5)
		require.NoError(t, l.Release(t.Context()))
		assert.Equal(t, store.Free, f.look(t).Lease.Status)
	}},
	{"a release is sent again until it is answered, and never deletes LEASE", func(t *testing.T, f fixture) {
		for _, fault := range []faultstore.Fault{faultstore.LoseReply, faultstore.LoseRequest, faultstore.Throttle} {
			line := f.line()
			l := f.open(t, line, f.as("a"))
			line.On("Release", 1, fault)
			require.NoError(t, l.Release(t.Context()))
			r := f.look(t).Lease
			require.NotNil(t, r)
			assert.Equal(t, store.Free, r.Status)
			assert.Equal(t, l.Fence(), r.Fence())
		}
	}},
	{"a late release does not free the next holder's lease", func(t *testing.T, f fixture) {
		line := f.line()
		l := f.open(t, line, f.as("a"))
		line.On("Release", 1, faultstore.Duplicate)
		require.NoError(t, l.Release(t.Context()))
		b := f.open(t, f.Store, f.as("b"))
		deliverLate(t, line)
		assert.Equal(t, store.Held, f.look(t).Lease.Status)
		assert.Equal(t, b.Fence(), f.look(t).Lease.Fence())
	}},
}

func expiryRules(s suite) []rule {
	rules := []rule{
		{"a held lease is refused at once, and its holder named", func(t *testing.T, f fixture) {
			f.open(t, f.Store, f.as("a"))
			_, err := lease.Acquire(t.Context(), f.Store, f.key, f.as("b"))
			var held *lease.HeldError
			require.ErrorAs(t, err, &held)
			require.ErrorIs(t, err, lease.ErrHeld)
			assert.Equal(t, "a", held.Holder.ID)
			assert.Equal(t, "a-host", held.Holder.Host)
			assert.Equal(t, f.key, held.Key)
		}},
		{"a released lease is taken at once", func(t *testing.T, f fixture) {
			release(f.open(t, f.Store, f.as("a")))
			f.open(t, f.Store, f.as("b"))
		}},
		{"after a crash the lease is taken within 1.02 durations and a poll, and not before the old holder has stopped", func(t *testing.T, f fixture) {
			line := f.line()
			a := f.open(t, line, f.as("a"))
			cut(line)
			began := time.Now()
			o := f.as("b")
			o.Wait = time.Hour
			f.open(t, f.Store, o)
			assert.Less(t, time.Since(began), f.real(f.duration()*102/100+200*time.Millisecond))
			require.Error(t, a.Context().Err(), "the old holder's context must have ended before")
			assert.Equal(t, lease.Expired, a.Lost().Reason)
		}},
		{"a lease that is renewed is never taken", func(t *testing.T, f fixture) {
			a := f.open(t, f.Store, f.as("a"))
			o := f.as("b")
			o.Wait = 2 * f.duration()
			_, err := lease.Acquire(t.Context(), f.Store, f.key, o)
			require.ErrorIs(t, err, lease.ErrHeld)
			require.NoError(t, a.Context().Err())
		}},
		{"the same holder restarted goes on at once only if it promised to be alone", func(t *testing.T, f fixture) {
			line := f.line()
			f.open(t, line, f.as("a"))
			cut(line)
			restarted := f.as("a")
			restarted.Holder.PID = 4711
			_, err := lease.Acquire(t.Context(), f.Store, f.key, restarted)
			require.ErrorIs(t, err, lease.ErrHeld)
			f.open(t, f.Store, f.over("a"))
		}},
		{"a process that is gone from this machine loses its lease at once", func(t *testing.T, f fixture) {
			line := f.line()
			f.open(t, line, f.as("a"))
			cut(line)
			o := f.as("b")
			o.Readings.Self = func() store.Holder { return store.Holder{Boot: "boot-a", PIDSpace: "space", PIDStart: "2"} }
			_, err := lease.Acquire(t.Context(), f.Store, f.key, o)
			require.ErrorIs(t, err, lease.ErrHeld, "while it runs")
			o.Readings.Alive = func(store.Holder) bool { return false }
			f.open(t, f.Store, o)
		}},
		{"a waiter does not keep a dead holder's lease alive", func(t *testing.T, f fixture) {
			line := f.line()
			f.open(t, line, f.as("a"))
			cut(line)
			o := f.as("b")
			o.Wait, o.TakeOver = time.Hour, true
			began := time.Now()
			l := f.open(t, f.Store, o)
			assert.Less(t, time.Since(began), f.real(f.duration()*102/100+200*time.Millisecond))
			assert.Nil(t, f.look(t).Lease.Wanted, "acquiring removes it")
			assert.Equal(t, l.Fence(), f.look(t).Lease.Fence())
		}},
	}
	if !s.virtual {
		return rules
	}
	return append(rules, []rule{
		{"a lock left by a crash yesterday is taken on the first try, by the store's clock", func(t *testing.T, f fixture) {
			line := f.line()
			f.open(t, line, f.as("a"))
			cut(line)
			time.Sleep(f.duration() + 2*time.Second - time.Millisecond)
			_, err := lease.Acquire(t.Context(), f.Store, f.key, f.as("b"))
			require.ErrorIs(t, err, lease.ErrHeld, "within the slack no one may judge")
			time.Sleep(2 * time.Millisecond)
			f.open(t, f.Store, f.as("b"))
		}},
		{"the recorded end counts from the sending of the request that was answered", func(t *testing.T, f fixture) {
			line := f.line()
			began := time.Now()
			line.On("Look", 1, faultstore.After(func() { time.Sleep(4 * time.Second) })) // its Date is 4 s old
			f.open(t, line, f.as("a"))
			until := f.look(t).Lease.Until.Wall
			assert.WithinDuration(t, began.Add(4*time.Second+f.duration()), until, 0,
				"the reading, and the time since that request was sent, and the duration")
		}},
	}...)
}

var handoffRules = []rule{
	{"a holder that agreed hands over to a waiter that asked", func(t *testing.T, f fixture) {
		o := f.as("a")
		o.Yield = true
		a := f.open(t, f.Store, o)
		done := f.waiter(t, true, 4*f.duration())
		select {
		case <-a.HandoffWanted():
			require.NoError(t, a.Release(t.Context()))
		case <-time.After(f.real(3 * f.duration())):
			require.FailNow(t, "the holder never heard of the waiter")
		}
		require.NoError(t, <-done)
	}},
	{"a plain wait asks for nothing", func(t *testing.T, f fixture) {
		o := f.as("a")
		o.Yield = true
		a := f.open(t, f.Store, o)
		require.ErrorIs(t, <-f.waiter(t, false, 2*f.duration()), lease.ErrHeld)
		assert.Nil(t, f.look(t).Lease.Wanted)
		requireOpen(t, a.HandoffWanted())
	}},
	{"a holder that did not agree keeps its lease", func(t *testing.T, f fixture) {
		a := f.open(t, f.Store, f.as("a"))
		require.ErrorIs(t, <-f.waiter(t, true, 2*f.duration()), lease.ErrHeld)
		require.NoError(t, a.Context().Err())
		requireOpen(t, a.HandoffWanted())
	}},
	{"a waiter whose counter stands still is dead, and gets nothing", func(t *testing.T, f fixture) {
		o := f.as("a")
		o.Yield = true
		a := f.open(t, f.Store, o)
		require.NoError(t, f.Want(t.Context(), f.key, a.Fence(), store.Wanted{By: "dead", Count: 9}))
		f.stays(t, a, 2)
		requireOpen(t, a.HandoffWanted())
	}},
	{"a steal fences the living holder and says why", func(t *testing.T, f fixture) {
		a := f.saved(t, 1)
		epoch, err := lease.Break(t.Context(), f.Store, f.key,
			&lease.BreakOptions{Reason: "stuck", Now: true, By: store.Holder{ID: "oncall"}})
		require.NoError(t, err)
		assert.Equal(t, a.Epoch()+1, epoch)
		require.ErrorIs(t, f.save(t, f.Store, a, 2), store.ErrNotApplied)
		lost := f.lostBy(t, a, lease.Stolen, f.duration())
		assert.Equal(t, "oncall", lost.By.ID)
		assert.Equal(t, epoch, lost.ByEpoch)
		assert.Equal(t, "stuck", f.look(t).Lease.Reason)
		assert.Equal(t, "stuck", f.open(t, f.Store, f.as("b")).Reason(), "for the next version")
	}},
	{"a steal whose replies are lost is one steal", func(t *testing.T, f fixture) {
		a := f.saved(t, 1)
		line := f.line()
		line.On("Steal", 1, faultstore.LoseReply)
		line.On("Raise", 1, faultstore.LoseReply)
		epoch, err := lease.Break(t.Context(), line, f.key, &lease.BreakOptions{Reason: "stuck", Now: true})
		require.NoError(t, err)
		assert.Equal(t, a.Epoch()+1, epoch)
		assert.Equal(t, epoch, f.head(t).Fence.Epoch)
	}},
	{"a steal that waits for a renewal spares a living holder", func(t *testing.T, f fixture) {
		a := f.open(t, f.Store, f.as("a"))
		_, err := lease.Break(t.Context(), f.Store, f.key, &lease.BreakOptions{Reason: "stuck"})
		var held *lease.HeldError
		require.ErrorAs(t, err, &held)
		assert.True(t, held.Renewed)
		require.NoError(t, a.Context().Err())
	}},
}

// waiter waits for the lease in a goroutine, and sends the error of that on the channel.
func (f fixture) waiter(t *testing.T, takeOver bool, wait time.Duration) <-chan error {
	done := make(chan error, 1)
	o := f.as("waiter")
	o.TakeOver, o.Wait = takeOver, wait
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	t.Cleanup(func() { cancel(); <-ended })
	go func() {
		defer close(ended)
		l, err := lease.Acquire(ctx, f.Store, f.key, o)
		if err == nil {
			release(l)
		}
		done <- err
	}()
	return done
}

func requireOpen(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
		require.FailNow(t, "a handoff was wanted of the holder")
	default:
	}
}
