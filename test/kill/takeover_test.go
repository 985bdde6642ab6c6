//go:build linux

package kill_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// crashed kills a run that has a lease of this duration and a child halfway, and returns its epoch and how long it took
// to start: from the command to its first batch.
func (j *job) crashed(duration string) (epoch int64, start time.Duration) {
	j.t.Helper()
	above := j.epoch()
	j.shut()
	r := j.start("--lease-duration", duration)
	w := j.started(r, above, 1)
	start = time.Since(r.began)
	j.halfway(w)
	j.kill(r)
	j.open()
	return w.epoch, start
}

// goesOn starts a run and returns how long it took to its first batch.
func (j *job) goesOn(above int64, flags ...string) time.Duration {
	j.t.Helper()
	r := j.start(flags...)
	j.started(r, above, 1)
	took := time.Since(r.began)
	require.Zero(j.t, r.exit(), r.said())
	return took
}

func TestTheNextRunOnTheSameMachineGoesOnAtOnce(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		j := someFlights(t, e, "crashed")
		epoch, start := j.crashed("30s")
		took := j.goesOn(epoch)
		assert.Less(t, took, start+time.Second, "a start without a lock took %v", start)
		j.checkDone()
	})
}

func TestTheNextRunElsewhereWaitsForTheLeaseAndNoLonger(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		j := someFlights(t, e, "crashed")
		epoch, start := j.crashed("2s")
		e.elsewhere(t, j.key)

		refused := j.start()
		require.Equal(t, 5, refused.exit(), "what runs elsewhere may be alive: %s", refused.said())
		took := j.goesOn(epoch, "--wait", "10s")
		assert.Less(t, took, start+2500*time.Millisecond, "a start without a lock took %v", start)
		j.checkDone()
	})
}

func TestAnHourOldLockIsTakenAtOnce(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		j := someFlights(t, e, "crashed")
		epoch, start := j.crashed("30s")
		e.elsewhere(t, j.key)
		refused := j.start()
		require.Equal(t, 5, refused.exit(), "it may still be alive: %s", refused.said())

		e.anHourLater(t, j.key)
		took := j.goesOn(epoch)
		assert.Less(t, took, start+time.Second, "a start without a lock took %v", start)
		j.checkDone()
	})
}

func TestARunThatIsToldToEndFinishesItsBatch(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		j := someFlights(t, e, "ended")
		j.shut()
		r := j.start()
		w := j.started(r, 0, 1)
		j.halfway(w)
		r.signal(syscall.SIGTERM)
		j.open()
		require.Equal(t, 143, r.exit(), r.said())
		j.standsAt(w.last)
		found := j.look()
		assert.EqualValues(t, w.last, found.Head.Processed)
		assert.EqualValues(t, "stopped", found.Head.Ended)
		assert.EqualValues(t, "free", found.Lease.Status)
		j.ledger.read(t)
		assert.Len(t, j.ledger.starts, 1, "batches begun")
		assert.Len(t, j.ledger.ends, 1, "batches finished")

		last := j.start()
		require.Zero(t, last.exit(), last.said())
		assert.Zero(t, j.checkDone(), "records processed again")
	})
}
