//go:build linux

package kill_test

import (
	"context"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/test/faulthttp"
)

// The lease is short enough that a waiting run soon overtakes a stopped one, and long enough that a
// busy machine does not lose it.
var shortLease = []string{"--lease-duration", "8s"}

func TestAStoppedAndOvertakenRunDoesNoHarm(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		t.Parallel()
		j := someFlights(t, e, "stopped")
		j.shut()
		first := j.start(append(shortLease, "-o", "json")...)
		w := j.started(first, 0, 1)
		j.halfway(w)
		first.signal(syscall.SIGSTOP)
		j.open() // its child ends, which it does not see

		second := j.overtake(first)
		require.Zero(t, second.exit(), second.said())
		first.signal(syscall.SIGCONT)
		j.checkOvertaken(first, w)
	})
}

func TestARunStoppedDuringASaveDoesNoHarm(t *testing.T) {
	t.Parallel()
	tb := newTable(t)
	j := someFlights(t, tb, "stopped")
	var late faulthttp.Late
	kept := make(chan struct{})
	heads := 0
	rule := tb.faults.When(func(r faulthttp.Request) bool {
		if !isWrite(r, headSent) {
			return false
		}
		heads++
		return heads == 3 // two versions are saved
	}, func(req *http.Request, send faulthttp.Send) (*http.Response, error) {
		_, _ = late.Hold()(req, send)
		close(kept)
		<-req.Context().Done()
		return nil, req.Context().Err()
	})
	first := j.start(append(shortLease, "-o", "json")...)
	w := j.started(first, 0, 3)
	select {
	case <-kept:
	case <-time.After(eventually):
		require.Fail(t, "the run's third save does not come", first.said())
	}
	first.signal(syscall.SIGSTOP)
	require.Equal(t, 1, rule.Hits())

	j.shut()
	second := j.overtake(first)
	j.halfway(j.started(second, w.epoch, 1)) // the second run has saved nothing yet: only the fence refuses the late save
	statuses, err := late.Deliver(context.WithoutCancel(t.Context()))
	require.NoError(t, err)
	assert.Equal(t, []int{http.StatusBadRequest}, statuses, "the late save")
	j.open()
	require.Zero(t, second.exit(), second.said())
	first.signal(syscall.SIGCONT)
	j.checkOvertaken(first, w)
}

// overtake starts a run that waits for the lease of a stopped run, and returns when it has the
// lease.
func (j *job) overtake(stopped *run) *run {
	j.t.Helper()
	above := j.epoch()
	r := j.start("--wait", "1m")
	j.raised(r, above)
	assert.False(j.t, stopped.ended())
	return r
}

// checkOvertaken requires that the overtaken run reports the loss of its lease and has committed
// nothing since, and that the other run processed its batch again.
func (j *job) checkOvertaken(overtaken *run, inHand worker) {
	j.t.Helper()
	require.Equal(j.t, 7, overtaken.exit(), overtaken.said())
	says := overtaken.failure()
	assert.Equal(j.t, "lease_lost", says.Kind)
	behind := false
	for _, v := range j.history() {
		if v.CommitEpoch > inHand.epoch {
			behind = true
		}
		assert.False(j.t, behind && v.CommitEpoch <= inHand.epoch, "version %d was committed by epoch %d, which was fenced",
			v.Number, v.CommitEpoch)
	}
	assert.True(j.t, behind)
	j.checkDone()
	assert.Len(j.t, j.ledger.passes[inHand.first], 2, "the batch that the stop interrupted")
}
