//go:build linux

package kill_test

import (
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// long is a lease that does not end while a test runs.
const long = "1h"

// crashed kills a run that has a lease of this duration and a child halfway, and returns its epoch.
func (j *job) crashed(duration string) (epoch int64) {
	j.t.Helper()
	above := j.epoch()
	j.shut()
	r := j.start("--lease-duration", duration)
	w := j.started(r, above, 1)
	j.halfway(w)
	j.kill(r)
	j.open()
	return w.epoch
}

// goesOn starts a run that gets the lease and finishes.
func (j *job) goesOn(above int64, flags ...string) {
	j.t.Helper()
	r := j.start(flags...)
	j.started(r, above, 1)
	require.Zero(j.t, r.exit(), r.said())
	j.checkDone()
}

func TestTheNextRunOnTheSameMachineGoesOnAtOnce(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		j := someFlights(t, e, "crashed")
		j.goesOn(j.crashed(long))
	})
}

func TestTheNextRunElsewhereGetsTheLeaseOnceTheLeaseHasEnded(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		t.Parallel()
		j := someFlights(t, e, "crashed")
		epoch := j.crashed("5s")
		e.elsewhere(t, j.key)
		j.goesOn(epoch, "--wait", "1m")
	})
}

// This runs only on DynamoDB, whose clock can be moved while a run waits.
func TestTheNextRunElsewhereWaitsForTheLeaseAndNoLonger(t *testing.T) {
	tb := newTable(t)
	j := someFlights(t, tb, "crashed")
	epoch := j.crashed(long)
	tb.elsewhere(t, j.key)

	waiting := j.start("--wait", "2h")
	wait(t, "it to wait", func() bool { return strings.Contains(waiting.said(), "waiting for") })
	refused := j.start()
	require.Equal(t, 5, refused.exit(), "the holder elsewhere may be alive: %s", refused.said())
	require.Equal(t, epoch, j.epoch(), "the run still waits: %s", waiting.said())

	tb.twoHoursLater(t, j.key)
	j.started(waiting, epoch, 1)
	require.Zero(t, waiting.exit(), waiting.said())
	j.checkDone()
}

func TestAnHourOldLockIsTakenAtOnce(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		j := someFlights(t, e, "crashed")
		epoch := j.crashed(long)
		e.elsewhere(t, j.key)
		refused := j.start()
		require.Equal(t, 5, refused.exit(), "the holder may still be alive: %s", refused.said())

		e.twoHoursLater(t, j.key)
		j.goesOn(epoch)
	})
}

func TestASignalledRunFinishesItsBatch(t *testing.T) {
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
