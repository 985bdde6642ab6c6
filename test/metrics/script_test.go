// Package metrics_test compares docs/metrics.md with the emitted metrics, and these with the
// formats of their consumers.
package metrics_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/checkpoint/metrics"
	"github.com/milepost-dev/milepost/internal/survey"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
	"github.com/milepost-dev/milepost/store/memstore"
)

const leaseLasts = 30 * time.Second

var orders = store.Key{Namespace: "default", Name: "orders/eu"}

// session is one whose state is small.
type session = checkpoint.Session[map[string]string]

// script goes once through what a job and a monitor can see. It runs in virtual time.
type script struct {
	t        *testing.T
	faults   *faultstore.Store
	metrics  *metrics.Metrics
	provider *sdk.MeterProvider
	pid      int
}

func newScript(t *testing.T, detail bool, readers ...sdk.Reader) *script {
	t.Helper()
	var options []sdk.Option
	for _, r := range readers {
		options = append(options, sdk.WithReader(r))
	}
	s := &script{t: t, faults: faultstore.New(memstore.New(nil)), provider: sdk.NewMeterProvider(options...)}
	var err error
	s.metrics, err = metrics.New(s.provider, &metrics.Options{Detail: detail})
	require.NoError(t, err)
	return s
}

// open opens a session, and takes the lease from any holder.
func (s *script) open() *session {
	s.t.Helper()
	s.pid++
	opened, err := checkpoint.Open[map[string]string](s.t.Context(), checkpoint.Namespace{Store: s.faults}, orders.Name, &checkpoint.Options{
		Interval: 24 * time.Hour, // saves are the script's
		Lease: lease.Options{
			Holder: store.Holder{ID: "nightly", PID: s.pid}, SameHolder: true, Duration: leaseLasts, Observer: s.metrics.Observe,
		},
	})
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = opened.Close(context.Background(), nil) })
	return opened
}

func mark(job *session) {
	job.MarkBatch("SECRET-CURSOR", 10, 1, func(m *map[string]string) { *m = map[string]string{"key": "SECRET-STATE"} })
}

// save marks and saves. It gives up after a moment.
func (s *script) save(job *session) error {
	mark(job)
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Millisecond)
	defer cancel()
	return job.Flush(ctx)
}

// run is the script.
func (s *script) run() {
	t := s.t
	first := s.open()
	mark(first)
	require.NoError(t, first.Close(t.Context(), errors.New("SECRET-ERROR")))

	old := s.open()
	s.faults.On("Commit", 1, faultstore.Throttle)
	mark(old)
	require.NoError(t, old.Flush(t.Context()), "the next attempt of the same save")
	s.faults.On("Renew", 0, faultstore.LoseRequest)
	time.Sleep(leaseLasts * 6 / 10)
	s.faults.Clear()
	time.Sleep(leaseLasts / 6)

	job := s.open() // from a holder that is paused
	require.ErrorIs(t, s.save(old), lease.ErrLost)
	time.Sleep(leaseLasts / 6)
	require.ErrorIs(t, old.Close(t.Context(), nil), lease.ErrLost)
	require.NoError(t, s.save(job))
	mark(job)
	require.NoError(t, s.faults.Expect(t.Context(), orders, nil, &store.Expectation{Every: time.Minute, SetAt: time.Now()}))
	time.Sleep(time.Hour)
	s.look(survey.PublishOptions{Options: metrics.Options{Detail: true}, Ratio: true})
}

// look is the monitor's.
func (s *script) look(o survey.PublishOptions) {
	t := s.t
	p, err := survey.NewPublisher(s.provider, o)
	require.NoError(t, err)
	items, err := survey.Look(t.Context(), s.faults, "default", "")
	require.NoError(t, err)
	var memory survey.Memory
	movements, err := memory.Recall(t.Context(), s.faults, items)
	require.NoError(t, err)
	mirrored, err := survey.Mirrored(t.Context(), s.faults, nil, items, false)
	require.NoError(t, err)
	p.Publish(t.Context(), survey.Seen{Namespace: "default", Items: items, Movements: movements, Mirrored: mirrored})
}

func TestTheScriptsSavesAreCountedOnce(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		reader := sdk.NewManualReader()
		s := newScript(t, false, reader)
		s.run()
		got := sums(t, reader)
		assert.Equal(t, int64(3), got["milepost.saves ok"], "an attempt that was throttled is no save")
		assert.Equal(t, int64(1), got["milepost.saves fenced"])
		assert.Equal(t, int64(1), got["milepost.save.failures"])
		assert.Equal(t, int64(1), got["milepost.throttles"])
		assert.Equal(t, int64(30), got["milepost.records.processed"])
		assert.Equal(t, int64(3), got["milepost.records.failed"])
		assert.Equal(t, int64(3), got["milepost.lease.acquisitions"])
		assert.Equal(t, int64(1), got["milepost.lease.losses stolen"], "said by a save and by a renewal, and lost once")
		assert.Equal(t, int64(1), got["milepost.lease.renewals.late"])
	})
}

func TestASaveWhoseReplyWasLostCountsByWhatBecameOfIt(t *testing.T) {
	never := func(s *script) {
		for _, method := range []string{"Commit", "Look", "Renew"} {
			s.faults.On(method, 0, faultstore.LoseRequest)
		}
	}
	for name, c := range map[string]struct {
		fault  faultstore.Fault
		settle func(*script, *session)
		want   string
	}{
		"landed, and sent again": {faultstore.LoseReply, func(s *script, job *session) { require.NoError(s.t, job.Flush(s.t.Context())) }, "ok"},
		"landed, and read": {faultstore.LoseReply, func(s *script, job *session) {
			s.faults.On("Commit", 0, faultstore.LoseRequest)
			s.faults.On("Renew", 0, faultstore.LoseRequest)
			require.ErrorIs(s.t, job.Flush(s.t.Context()), lease.ErrLost)
		}, "ok"},
		"landed, and built on":         {faultstore.LoseReply, func(s *script, job *session) { require.NoError(s.t, s.save(job)) }, "ok"},
		"never learned before it ends": {faultstore.LoseReply, func(s *script, job *session) { never(s); _ = job.Close(s.t.Context(), nil) }, "unknown"},
		"throttled to the end":         {faultstore.Throttle, func(*script, *session) {}, "throttled"},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				reader := sdk.NewManualReader()
				s := newScript(t, false, reader)
				job := s.open()
				require.NoError(t, s.save(job))
				s.faults.On("Commit", 1, c.fault)
				require.Error(t, s.save(job))
				assert.Equal(t, int64(1), sums(t, reader)["milepost.saves ok"], "only the first is known")
				c.settle(s, job)
				got := sums(t, reader)
				if c.want == "ok" {
					assert.GreaterOrEqual(t, got["milepost.saves ok"], int64(2))
					assert.Zero(t, got["milepost.save.failures"])
				} else {
					assert.Equal(t, int64(1), got["milepost.saves "+c.want])
					assert.Equal(t, int64(1), got["milepost.save.failures"])
				}
			})
		})
	}
}

func TestAStoreThatWentBackwardIsALossOfItsOwnCause(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		reader := sdk.NewManualReader()
		s := newScript(t, false, reader)
		job := s.open()
		require.NoError(t, s.save(job))
		s.faults.Use(memstore.New(nil))
		require.ErrorIs(t, s.save(job), lease.ErrStoreRegressed)
		got := sums(t, reader)
		assert.Equal(t, int64(1), got["milepost.lease.losses regressed"])
		assert.Equal(t, int64(1), got["milepost.saves conflict"])
	})
}

func TestALeaseThatNobodyRenewedIsLostByExpiry(t *testing.T) {
	for name, c := range map[string]struct {
		loseAfter, releasedAfter time.Duration
		want                     int64
	}{
		"by default":                              {0, leaseLasts, 1},
		"not before LoseAfter, if that is late":   {29 * time.Second, 26 * time.Second, 0},
		"from LoseAfter on, if that is early":     {18 * time.Second, 20 * time.Second, 1},
		"not before LoseAfter, if that is early":  {18 * time.Second, 17 * time.Second, 0},
		"from LoseAfter on, by default, at least": {0, 25 * time.Second, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				reader := sdk.NewManualReader()
				s := newScript(t, false, reader)
				s.faults.On("Renew", 0, faultstore.LoseRequest)
				l, err := lease.Acquire(t.Context(), s.faults, orders, &lease.Options{
					Duration: leaseLasts, LoseAfter: c.loseAfter, Observer: s.metrics.Observe,
				})
				require.NoError(t, err)
				time.Sleep(c.releasedAfter)
				assert.Equal(t, c.want, sums(t, reader)["milepost.lease.losses expired"], "before the release")
				require.NoError(t, l.Release(t.Context()))
				assert.Equal(t, c.want, sums(t, reader)["milepost.lease.losses expired"], "after the release")
			})
		})
	}
}
