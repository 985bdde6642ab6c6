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

// leasePeerRules are about what other lease libraries got wrong. Users complained of each.
var leasePeerRules = []rule{
	{"one lost reply must not stop the renewals", func(t *testing.T, f fixture) {
		line := f.line()
		l := f.open(t, line, f.as("a"))
		for _, fault := range []faultstore.Fault{faultstore.LoseReply, faultstore.LoseRequest, faultstore.Throttle} {
			line.On("Renew", 1, fault)
			f.stays(t, l, 1)
		}
	}},
	{"the warning must come before the expiry, also where a threshold equals the lease", func(t *testing.T, f fixture) {
		for _, at := range []time.Duration{f.duration(), f.duration() + time.Second} {
			for _, o := range []*lease.Options{{LoseAfter: at}, {CommitWithin: at}, {Beat: at}} {
				o.Duration = f.duration()
				_, err := lease.Acquire(t.Context(), f.Store, f.key, o)
				require.ErrorContains(t, err, "lease options", "%+v", o)
			}
		}
		line := f.line()
		o := f.as("a")
		o.LoseAfter = f.duration() - time.Millisecond
		l := f.open(t, line, o)
		began := time.Now()
		cut(line)
		_ = f.lostBy(t, l, lease.Expired, o.LoseAfter)
		assert.Less(t, time.Since(began), f.real(f.duration()))
	}},
	{"a close during a waiting acquire must not stall any heartbeat", func(t *testing.T, f fixture) {
		line := f.line()
		slow := f.open(t, line, f.as("a"))
		other := f
		other.key.Name += "/other"
		kept := other.open(t, line, f.as("a"))
		done := f.waiter(t, false, 2*f.duration())
		line.On("Release", 0, faultstore.Hang)
		closed := make(chan struct{})
		go func() { defer close(closed); _ = slow.Release(context.Background()) }()
		f.stays(t, kept, 2)
		<-closed
		line.Clear()
		if err := <-done; err != nil {
			require.ErrorIs(t, err, lease.ErrHeld)
		}
	}},
	{"no process waits out its own lease", func(t *testing.T, f fixture) {
		line := f.line()
		line.On("Acquire", 1, faultstore.LoseReply)
		l := f.open(t, line, f.as("a"))
		assert.Equal(t, int64(1), l.Epoch(), "the first request is the one that counts")
		assert.Len(t, line.Calls("Acquire"), 1)
	}},
	{"the token must survive release, and what removes the lock record", func(t *testing.T, f fixture) {
		l := f.saved(t, 1)
		require.NoError(t, l.Release(t.Context()))
		require.NotNil(t, f.look(t).Lease, "a release deletes nothing")
		gone := f
		gone.key.Name += "/without LEASE"
		gone.raise(t, l.Epoch())
		require.NoError(t, gone.commit(t, bare(1, l.Epoch(), "c1")))
		assert.Greater(t, gone.open(t, f.Store, f.as("b")).Epoch(), l.Epoch()+1000)
	}},
	{"a crash or a deploy must not cost a full lease's wait", func(t *testing.T, f fixture) {
		line := f.line()
		f.open(t, line, f.as("a"))
		cut(line)
		began := time.Now()
		f.open(t, f.Store, f.over("a")) // the same job started again
		gone := f.as("b")               // another process on the same machine
		gone.Readings.Self = func() store.Holder { return store.Holder{Boot: "boot-a", PIDSpace: "space", PIDStart: "2"} }
		gone.Readings.Alive = func(store.Holder) bool { return false }
		release(f.open(t, f.Store, gone))
		f.open(t, f.Store, f.as("c")) // after a clean end any holder may
		if f.suite.virtual {
			assert.Zero(t, time.Since(began))
		}
	}},
	{"a handover must not wedge when either side dies", func(t *testing.T, f fixture) {
		line := f.line()
		o := f.as("a")
		o.Yield = true
		a := f.open(t, line, o)
		require.NoError(t, f.Want(t.Context(), f.key, a.Fence(), store.Wanted{By: "w", Count: 1}))
		f.stays(t, a, 1) // the waiter died
		done := f.waiter(t, true, 8*f.duration())
		select {
		case <-a.HandoffWanted():
		case <-time.After(f.real(3 * f.duration())):
			require.FailNow(t, "the holder never heard of the waiter")
		}
		cut(line) // the holder dies before it hands over
		require.NoError(t, <-done)
		f.open(t, f.Store, f.as("c"))
	}},
	{"a busy or blocked job must not starve the renewals", func(t *testing.T, f fixture) {
		o := f.options(f.as("a"))
		o.Every, o.MaxUnsaved = 1, 1
		s := f.sessionOn(t, f.line(), o)
		s.line.On("Commit", 0, faultstore.Throttle) // the save waits; the mark waits for the save, and the pipeline for the mark
		blocked := make(chan struct{})
		go func() {
			defer close(blocked)
			for n := int64(1); n <= 5; n++ {
				s.Mark("x", func(v *tally) { v.Sum = n })
			}
		}()
		f.stays(t, s, 2)
		s.line.Clear()
		<-blocked
		require.NoError(t, s.Close(t.Context(), nil))
		require.Equal(t, int64(5), f.head(t).Processed)
	}},
	{"a loss must end the work, not only be logged", func(t *testing.T, f fixture) {
		l := f.open(t, f.Store, f.as("a"))
		b := f.open(t, f.Store, f.over("a"))
		lost := f.lostBy(t, l, lease.Stolen, f.duration())
		assert.Equal(t, b.Epoch(), lost.ByEpoch)
	}},
}
