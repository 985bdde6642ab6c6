package later

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAQueueDoesOneThingAfterAnotherAndThenHasNoGoroutine(t *testing.T) {
	q := NewQueue(10, nil)
	assert.True(t, q.Wait(0), "nothing waits")
	var done []int
	for n := range 10 {
		q.Do(func() { done = append(done, n) })
	}
	assert.True(t, q.Wait(time.Minute))
	assert.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, done)
}

// gate is a handler that lets nothing through until it is open.
type gate struct {
	open chan struct{}
	says *[]string
}

func (g gate) Enabled(context.Context, slog.Level) bool { <-g.open; return true }

func (g gate) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	*g.says = append(*g.says, text)
	return nil
}

func (g gate) WithAttrs([]slog.Attr) slog.Handler { return g }
func (g gate) WithGroup(string) slog.Handler      { return g }

func TestALoggerNeverBlocksAndSaysHowManyMessagesItDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{make(chan struct{}), new([]string)}
		log := Logger(slog.New(g))
		began := time.Now()
		log.Warn("first")
		synctest.Wait() // the handler has it
		for range mostRecords + 3 {
			log.Warn("next", "n", 1)
		}
		assert.Zero(t, time.Since(began))
		Flush(log, time.Second)
		assert.Equal(t, time.Second, time.Since(began), "nothing waits longer than it wants to")
		close(g.open)
		Flush(log, time.Second)
		log.Warn("last")
		Flush(log, time.Second)
		assert.Len(t, *g.says, mostRecords+3)
		assert.Equal(t, "first", (*g.says)[0])
		assert.Equal(t, "messages were dropped here, because the log did not take them in time dropped=3", (*g.says)[mostRecords+1])
		assert.Equal(t, "last", (*g.says)[mostRecords+2])
	})
}

func TestALoggerIsWrappedOnce(t *testing.T) {
	log := Logger(slog.New(gate{}))
	assert.Same(t, log, Logger(log))
	assert.NotPanics(t, func() { Logger(nil).Warn("to no one") })
}
