// Package protocoltest tests packages lease and checkpoint over an engine: it runs whole leases and
// sessions while calls fail, come late and come twice. Package storetest tests the engine itself.
// So if an engine passes that, a failure here is a fault of lease or checkpoint.
//
// Each subtest has the name of the rule of docs/protocol.md that it tests.
package protocoltest

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
	"github.com/milepost-dev/milepost/store/storetest"
)

// Run runs the suite over an engine.
func Run(t *testing.T, e storetest.Engine) {
	shared := e.New(t)
	suite{Engine: e}.run(t, func(t *testing.T, r rule, f fixture) {
		f.Store = shared
		r.hold(t, f)
	})
}

// RunVirtual is [Run] in virtual time. The engine's stores must be in this process's memory and
// take the time from time.Now.
func RunVirtual(t *testing.T, e storetest.Engine) {
	suite{Engine: e, virtual: true}.run(t, func(t *testing.T, r rule, f fixture) {
		synctest.Test(t, func(t *testing.T) {
			f.Store = e.New(t)
			r.hold(t, f)
		})
	})
}

type suite struct {
	storetest.Engine
	virtual bool // time is virtual
}

// rule is one subtest.
type rule struct {
	name string
	hold func(t *testing.T, f fixture)
}

func (s suite) run(t *testing.T, hold func(*testing.T, rule, fixture)) {
	for _, part := range []struct {
		name  string
		rules []rule
	}{
		{"Acquire", acquireRules(s)}, {"Regression", regressionRules}, {"Renew and lose", renewalRules},
		{"Expiry", expiryRules(s)}, {"Handoff and steal", handoffRules},
		{"Leases as peers got them wrong", leasePeerRules},
		{"A save", saveRules(s)}, {"History", historyRules}, {"Edits", editRules},
		{"A whole session", wholeSessionRules(s)}, {"Marks", markRules},
		{"Checkpoint stores as peers got them wrong", checkpointPeerRules},
	} {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			for _, r := range part.rules {
				t.Run(r.name, func(t *testing.T) {
					t.Parallel()
					hold(t, r, newFixture(s, r.name))
				})
			}
		})
	}
}

// line is one session's own way to the store, on which its calls can fail.
func (f fixture) line() *faultstore.Store { return faultstore.New(f.Store) }

// cut makes the line's session a dead one: nothing that it sends arrives.
func cut(line *faultstore.Store) {
	line.Clear()
	line.On("", 0, faultstore.LoseRequest)
}

// duration is that of the leases: short where time is real, but a busy machine does not lose them.
func (f fixture) duration() time.Duration {
	if f.suite.virtual {
		return 30 * time.Second
	}
	return 4 * time.Second
}

// as returns options of a holder on a machine of its own.
func (f fixture) as(id string) *lease.Options {
	return &lease.Options{
		Holder:   store.Holder{ID: id, Host: id + "-host"},
		Duration: f.duration(),
		Readings: &lease.Readings{
			Self:  func() store.Holder { return store.Holder{Boot: "boot-" + id, PIDSpace: "space", PIDStart: "1"} },
			Alive: func(store.Holder) bool { return true },
		},
	}
}

// over returns options that take the lease of that holder at once, by rule (b). So a test can
// overtake a living holder without a wait.
func (f fixture) over(id string) *lease.Options {
	o := f.as(id)
	o.Holder.PID, o.SameHolder = 4711, true
	return o
}

// open acquires the fixture's lease, and releases it when the test ends.
func (f fixture) open(t testing.TB, st store.Store, o *lease.Options) *lease.Lease {
	t.Helper()
	l, err := lease.Acquire(t.Context(), st, f.key, o)
	require.NoError(t, err)
	t.Cleanup(func() { release(l) })
	return l
}

// release ends a lease, even if its line is dead.
func release(l *lease.Lease) {
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_ = l.Release(ctx)
}

// save commits one version under the lease, as a session does.
func (f fixture) save(t testing.TB, st store.Store, l *lease.Lease, version int64) error {
	t.Helper()
	_, err := st.Commit(t.Context(), l.Key(), store.Commit{
		Fence: l.Fence(), Base: version - 1, Next: bare(version, l.Epoch(), fmt.Sprint("c", version)),
	})
	if err == nil {
		l.Committed(version)
	}
	return err
}

// lostBy requires that the lease is lost for that reason, after limit at the latest, and that the
// cause of its context says so.
func (f fixture) lostBy(t testing.TB, l *lease.Lease, reason lease.LossReason, limit time.Duration) *lease.LostError {
	t.Helper()
	select {
	case <-l.Context().Done():
	case <-time.After(f.real(limit) + time.Millisecond): // in virtual time both may be due at the same moment
		require.FailNow(t, "the lease's context was not cancelled", "within %v", limit)
	}
	var lost *lease.LostError
	require.ErrorAs(t, context.Cause(l.Context()), &lost)
	require.ErrorIs(t, lost, lease.ErrLost)
	assert.Equal(t, reason, lost.Reason)
	assert.Equal(t, l.Epoch(), lost.Epoch)
	return lost
}

// real widens a limit where time is real, so that it only ends a hang.
func (f fixture) real(limit time.Duration) time.Duration {
	if f.suite.virtual {
		return limit
	}
	return limit + 30*time.Second
}

// faults are the ways in which one call can go wrong.
var faults = map[string]faultstore.Fault{
	"its reply is lost":          faultstore.LoseReply,
	"the request is lost":        faultstore.LoseRequest,
	"the request comes late":     faultstore.Hold,
	"the request comes twice":    faultstore.Duplicate,
	"it is throttled":            faultstore.Throttle,
	"no reply comes":             faultstore.Hang,
	"it is applied and silent":   faultstore.HangAfter,
	"it is slower than the beat": faultstore.Delay(800 * time.Millisecond),
}

// takesTime has the faults that last until a timeout.
var takesTime = map[string]bool{"no reply comes": true, "it is applied and silent": true, "it is slower than the beat": true}

// deliverLate delivers each held call twice, and ignores the replies. The test looks at the store
// afterwards.
func deliverLate(t testing.TB, line *faultstore.Store) {
	t.Helper()
	for range 2 {
		for _, c := range line.Held() {
			_ = c.Deliver(t.Context())
		}
	}
}
