package transport_test

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plot describes how a tale goes when a request meets a fault.
type plot struct {
	name      string
	late      moment
	impatient bool
	ofFirst   bool // only for the requests of the first session
	cut       bool // as in the tale; once the first session is open
}

func (p plot) set(t *tale) {
	t.late, t.impatient, t.cut = p.late, p.impatient, p.cut
	if p.impatient {
		t.duration = 6 * time.Second // a request is given up after a third of it
	}
}

// requests returns the requests of a tale for the i-th plot, given where sessions open. The plots
// share the requests: each is for every third one, so that every request meets every third plot.
func (p plot) requests(i, all int, openings []int) (numbers []int) {
	const opening = 3
	first, last, step := 1, all, 3
	if p.ofFirst || p.cut {
		last = openings[1]
	}
	if p.cut {
		first = opening + 1
	}
	if os.Getenv("MILEPOST_TRANSPORT_ALL") != "" {
		step = 1
	}
	for n := first + i%step; n <= last; n += step {
		numbers = append(numbers, n)
	}
	return numbers
}

// atOnce is how many tales are told at once: they mostly wait.
const atOnce = 16

// inTurn runs the subtests that each yields, several at once.
func inTurn(t *testing.T, each func(yield func(name string, test func(*testing.T)))) {
	var running sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	each(func(name string, test func(*testing.T)) {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			t.Run(name, test)
		})
	})
	running.Wait()
}

// mustHold plays the tale, and checks what it left.
func (t *tale) mustHold(tt *testing.T) {
	ctx, cancel := context.WithTimeout(tt.Context(), time.Minute)
	defer cancel()
	require.NoError(tt, t.tell(ctx))
	t.check(tt, tt.Name())
}

// overtakenBy lets the second session take over and save a number of times while a request of the
// first is in flight.
func (t *tale) overtakenBy(ctx context.Context, saves int) {
	if !t.taking.Load() { // else the request is the second session's own
		t.takeOver(context.WithoutCancel(ctx), t.clean, saves)
	}
}
