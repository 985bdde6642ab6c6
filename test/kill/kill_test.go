//go:build linux

package kill_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
)

// A batch is small, so that there are more of them than kills.
const every = 500

func TestAJobKilledTwentyTimesEndsLikeOneNeverKilled(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		whole := allFlights(t, e, "whole")
		r := whole.start()
		require.Zero(t, r.exit(), r.said())
		require.Zero(t, whole.checkDone(), "records processed again in a run that was not killed")

		wholeEnd := whole.get()

		for n := range times(t, "MILEPOST_KILL_JOBS", 1) {
			j := allFlights(t, e, fmt.Sprintf("killed/%d", n))
			kills := moments(e, random(t))
			for i, kill := range kills {
				t.Logf("kill %d: %s", i+1, kill.name)
				kill.in(j)
			}
			last := j.start()
			require.Zero(t, last.exit(), last.said())
			again := j.checkDone()
			assert.LessOrEqual(t, again, len(kills)*every)
			t.Logf("%d records were processed again", again)

			killedEnd := j.get()
			for _, field := range []string{"cursor", "processed", "failed", "last_error", "state", "ended", "identity"} {
				assert.Equal(t, wholeEnd[field], killedEnd[field], "%s", field)
			}
		}
	})
}

// moment is a moment in which a run is killed.
type moment struct {
	name string
	in   func(*job) // starts a run and kills it in that moment
}

// moments returns twenty moments: each known one once, and random ones, in random order.
func moments(e engine, rng *rand.Rand) []moment {
	all := []moment{{"while it reads", killReading}, {"child running", killWithChild}}
	for _, w := range e.writes() {
		all = append(all, moment{string(w), func(j *job) { killIn(j, w) }})
	}
	for len(all) < 20 {
		batches, after := rng.IntN(6), time.Duration(rng.Int64N(int64(25*time.Millisecond)))
		all = append(all, moment{fmt.Sprintf("%v after batch %d began", after, batches), func(j *job) { killAfter(j, batches, after) }})
	}
	rng.Shuffle(len(all), func(a, b int) { all[a], all[b] = all[b], all[a] })
	return all
}

// killAfter kills a run some time after it began a batch; 0: after the run began.
func killAfter(j *job, batch int, after time.Duration) {
	above := j.epoch()
	r := j.start()
	if batch > 0 {
		j.started(r, above, batch)
	}
	time.Sleep(after)
	j.kill(r)
}

// killReading kills a run that has the lease and reads its input up to its first batch. If the run
// is faster, it is killed in another moment.
func killReading(j *job) {
	const tries = 20
	for range tries {
		above := j.epoch()
		r := j.start()
		epoch := j.raised(r, above)
		j.kill(r)
		if len(of(j.ledger.starts, epoch)) == 0 {
			return
		}
	}
	require.Fail(j.t, "no run was killed while it read", "%d tries", tries)
}

// killWithChild kills a run whose child is halfway through its batch.
func killWithChild(j *job) {
	above := j.epoch()
	j.shut()
	r := j.start()
	w := j.started(r, above, 1)
	j.halfway(w)
	j.kill(r)
	j.open()
	j.standsAt(w.first - 1)
}

// killIn kills a run while a write of this kind is under way.
func killIn(j *job, kind write) {
	above := j.epoch()
	j.shut()
	r := j.start()
	w := j.started(r, above, 1)
	j.halfway(w)
	reached, undo := j.engine.hold(j.t, j, kind)
	if kind == releaseSent || kind == releaseLanded {
		r.signal(syscall.SIGTERM) // the run ends after this batch
	}
	j.open()
	wait(j.t, string(kind)+": "+r.said(), reached)
	if kind == headLanded || kind == copyLanded || kind == releaseLanded {
		j.landed(kind, w)
	}
	j.kill(r)
	undo()

	history := len(j.history())
	switch kind {
	case headSent:
		j.standsAt(w.first - 1)
	case copySent:
		j.standsAt(w.last)
		assert.EqualValues(j.t, w.version-1, history, "V# had landed")
	case headLanded, copyLanded:
		j.standsAt(w.last)
	case releaseSent, releaseLanded:
		j.standsAt(w.last)
		found := j.look()
		assert.Equal(j.t, store.EndedStopped, found.Head.Ended)
		assert.EqualValues(j.t, found.Head.Number, history)
		want := store.Held
		if kind == releaseLanded {
			want = store.Free
		}
		assert.Equal(j.t, want, found.Lease.Status)
	}
}

// landed waits until a write whose reply is held has landed.
func (j *job) landed(kind write, w worker) {
	j.t.Helper()
	wait(j.t, string(kind), func() bool {
		found := j.look()
		switch kind {
		case headLanded:
			return found.Head.Number >= w.version
		case copyLanded:
			return len(j.history()) >= int(w.version)
		}
		return found.Lease.Status == store.Free
	})
}

// standsAt requires that the checkpoint is at that record.
func (j *job) standsAt(record int) {
	j.t.Helper()
	cursor := "0"
	if head := j.look().Head; head.Number > 0 {
		cursor = head.Cursor
	}
	assert.Equal(j.t, strconv.Itoa(record), cursor, "the cursor of the killed job")
}
