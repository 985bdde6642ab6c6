// Package metrics_test holds docs/metrics.md to what is emitted, and what is emitted to the formats of those who take it.
package metrics_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/milepost-dev/milepost/internal/survey"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
	"github.com/milepost-dev/milepost/store/memstore"
	"github.com/milepost-dev/milepost/store/metered"
)

const leaseLasts = 30 * time.Second

var orders = store.Key{Namespace: "default", Name: "orders/eu"}

// script goes once through what a job and a monitor can see. It is run in virtual time.
type script struct {
	t        *testing.T
	faults   *faultstore.Store
	counting *metered.Store
	provider *sdk.MeterProvider
	epoch    int64
	version  int64
	observed *store.Lease
}

func newScript(t *testing.T, detail bool, readers ...sdk.Reader) *script {
	t.Helper()
	var options []sdk.Option
	for _, r := range readers {
		options = append(options, sdk.WithReader(r))
	}
	s := &script{t: t, faults: faultstore.New(memstore.New(nil)), provider: sdk.NewMeterProvider(options...)}
	var err error
	s.counting, err = metered.New(s.faults, s.provider, &metered.Options{Detail: detail})
	require.NoError(t, err)
	return s
}

func (s *script) fence() store.Fence {
	return store.Fence{Epoch: s.epoch, LeaseID: "lease" + string(rune('a'+s.epoch))}
}

// acquire takes the lease, whoever has it.
func (s *script) acquire() {
	s.t.Helper()
	s.epoch++
	next := store.Lease{
		Epoch: s.epoch, LeaseID: s.fence().LeaseID, Status: store.Held, Holder: store.Holder{ID: "nightly"},
		Duration: leaseLasts, AcquiredAt: time.Now(), RenewedAt: time.Now(),
	}
	_, err := s.counting.Acquire(s.t.Context(), orders, s.observed, next)
	require.NoError(s.t, err)
	s.observed = &next
	_, _, err = s.counting.Raise(s.t.Context(), orders, s.fence(), next.Holder, true)
	require.NoError(s.t, err)
}

func (s *script) next() store.Commit {
	v := store.Version{
		Number: s.version + 1, CommitID: "commit" + string(rune('a'+s.version)), CommitEpoch: s.epoch, By: store.Holder{ID: "nightly"},
		SavedAt: time.Now().UTC().Truncate(time.Microsecond), Content: store.Content{
			Cursor:    "SECRET-CURSOR",
			Processed: 10 * (s.version + 1), Failed: s.version + 1,
			State: &store.State{Data: []byte(`{"key":"SECRET-STATE"}`), Size: 22, SHA256: make([]byte, 32)},
		},
		LastError: "SECRET-ERROR", Born: 1,
	}
	return store.Commit{Fence: s.fence(), Base: s.version, Next: v}
}

// commit sends one attempt of the next save.
func (s *script) commit() error {
	_, err := s.counting.Commit(s.t.Context(), orders, s.next())
	if err == nil {
		s.version++
	}
	return err
}

func (s *script) renew(beat int64) error {
	now, _, err := s.counting.Renew(s.t.Context(), orders, store.Renewal{Fence: s.fence(), Beat: beat, RenewedAt: time.Now()})
	if err == nil {
		s.observed = &now
	}
	return err
}

// run is the script.
func (s *script) run() {
	t := s.t
	s.acquire()
	require.NoError(t, s.commit())
	s.counting.Watch(&session{script: s})
	s.faults.On("Commit", 1, faultstore.Throttle)
	require.ErrorIs(t, s.commit(), store.ErrThrottled)
	require.NoError(t, s.commit(), "the next attempt of the same save")
	time.Sleep(leaseLasts * 6 / 10)
	require.NoError(t, s.renew(1), "late")

	time.Sleep(leaseLasts * 2)
	old := *s
	s.acquire() // from a holder that says no more
	require.Error(t, old.commit())
	require.Error(t, old.renew(2))
	require.NoError(t, s.commit())
	require.NoError(t, s.counting.Expect(t.Context(), orders, &store.Expectation{Every: time.Minute, SetAt: time.Now()}))
	time.Sleep(time.Hour)
	s.look(survey.PublishOptions{Options: metered.Options{Detail: true}, Ratio: true})
}

// look is the monitor's.
func (s *script) look(o survey.PublishOptions) {
	t := s.t
	p, err := survey.NewPublisher(s.provider, o)
	require.NoError(t, err)
	items, err := survey.Look(t.Context(), s.counting, "default", "")
	require.NoError(t, err)
	var memory survey.Memory
	movements, err := memory.Recall(t.Context(), s.counting, items)
	require.NoError(t, err)
	mirrored, err := survey.Mirrored(t.Context(), s.counting, nil, items, false)
	require.NoError(t, err)
	p.Publish(t.Context(), survey.Seen{Namespace: "default", Items: items, Movements: movements, Mirrored: mirrored})
}

// session is one whose marks wait.
type session struct {
	*script
}

func (s *session) Namespace() string { return orders.Namespace }
func (s *session) Name() string      { return orders.Name }
func (s *session) Processed() int64  { return 1000 }
func (s *session) Failed() int64     { return 0 }

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
		assert.Equal(t, int64(2), got["milepost.lease.acquisitions"])
		assert.Equal(t, int64(1), got["milepost.lease.losses stolen"], "said by a save and by a renewal, and lost once")
		assert.Equal(t, int64(1), got["milepost.lease.renewals.late"])
	})
}

func TestASaveWhoseReplyWasLostCountsByWhatBecameOfIt(t *testing.T) {
	for name, c := range map[string]struct {
		fault  faultstore.Fault
		settle func(*script)
		want   string
	}{
		"landed, and sent again":       {faultstore.LoseReply, func(s *script) { _ = s.commit() }, "ok"},
		"landed, and read":             {faultstore.LoseReply, func(s *script) { _, _ = s.counting.Look(s.t.Context(), orders) }, "ok"},
		"landed, and built on":         {faultstore.LoseReply, func(s *script) { s.version++; require.NoError(s.t, s.commit()) }, "ok"},
		"never learned before it ends": {faultstore.LoseReply, func(s *script) { _ = s.counting.Release(s.t.Context(), orders, s.fence(), s.version) }, "unknown"},
		"throttled to the end":         {faultstore.Throttle, func(s *script) { _ = s.counting.Release(s.t.Context(), orders, s.fence(), s.version) }, "throttled"},
	} {
		t.Run(name, func(t *testing.T) {
			reader := sdk.NewManualReader()
			s := newScript(t, false, reader)
			s.acquire()
			require.NoError(t, s.commit())
			s.faults.On("Commit", 1, c.fault)
			require.Error(t, s.commit())
			assert.Equal(t, int64(1), sums(t, reader)["milepost.saves ok"], "not known yet")
			c.settle(s)
			got := sums(t, reader)
			if c.want == "ok" {
				assert.GreaterOrEqual(t, got["milepost.saves ok"], int64(2))
				assert.Zero(t, got["milepost.save.failures"])
			} else {
				assert.Equal(t, int64(1), got["milepost.saves "+c.want])
				assert.Equal(t, int64(1), got["milepost.save.failures"])
			}
		})
	}
}

func TestAStoreThatWentBackwardIsALossOfItsOwnCause(t *testing.T) {
	reader := sdk.NewManualReader()
	s := newScript(t, false, reader)
	s.acquire()
	require.NoError(t, s.commit())
	s.faults.Use(memstore.New(nil))
	err := s.commit()
	var conflict *store.ConflictError
	require.ErrorAs(t, err, &conflict)
	assert.Equal(t, int64(1), sums(t, reader)["milepost.lease.losses regressed"])
}

func TestALeaseThatNobodyRenewedIsLostByExpiry(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		reader := sdk.NewManualReader()
		s := newScript(t, false, reader)
		s.acquire()
		time.Sleep(leaseLasts)
		require.NoError(t, s.counting.Release(t.Context(), orders, s.fence(), 0))
		assert.Equal(t, int64(1), sums(t, reader)["milepost.lease.losses expired"])
	})
}
