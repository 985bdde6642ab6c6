// Package metrics turns what leases and sessions say into metrics, in OpenTelemetry's API: saves
// and how they ended, records, leases acquired and lost, requests that were throttled. The numbers
// go wherever the caller's MeterProvider sends them:
//
//	m, err := metrics.New(otel.GetMeterProvider(), nil)
//	…
//	opts.Lease.Observer = m.Observe
//
// docs/metrics.md lists what is emitted. Nothing of a job's own is in it: no cursor, no state, no
// text of an error.
package metrics

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"go.opentelemetry.io/otel/metric"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// Scope is the name of the instrumentation scope.
const Scope = "github.com/milepost-dev/milepost"

// DefaultMaxSeries is how many checkpoints have series of their own if Options.MaxSeries is 0.
const DefaultMaxSeries = 100

// Options say how finely to count. The zero value counts by namespace.
type Options struct {
	// Detail counts by checkpoint as well.
	Detail bool

	// MaxSeries is how many checkpoints may have series of their own with Detail. All others
	// count together as [Other]. Default: 100.
	MaxSeries int
}

// Metrics counts the events of any number of leases and sessions. It starts no goroutine, and
// counting cannot fail.
type Metrics struct {
	in *instruments

	mu       sync.Mutex
	sessions map[*checkpoint.Opened]store.Key // those that are open
	last     Saved
}

// Saved says what was saved last, for people to read next to the numbers.
type Saved struct {
	Key     store.Key
	Version int64
	By      store.Holder
}

// New returns metrics that use instruments of the provider's. It fails if the provider is nil, or
// refuses one of them.
func New(provider metric.MeterProvider, opts *Options) (*Metrics, error) {
	if provider == nil {
		return nil, errors.New("make the instruments of metrics: the MeterProvider is nil; otel.GetMeterProvider() is the global one")
	}
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.MaxSeries == 0 {
		o.MaxSeries = DefaultMaxSeries
	}
	m := &Metrics{sessions: map[*checkpoint.Opened]store.Key{}}
	var err error
	if m.in, err = newInstruments(provider.Meter(Scope), NewSeries(o), m.observeMarks); err != nil {
		return nil, fmt.Errorf("make the instruments of metrics: %w", err)
	}
	return m, nil
}

// Observe counts an event. It is made for [lease.Options.Observer].
func (m *Metrics) Observe(key store.Key, e lease.Event) {
	ctx, in := context.Background(), m.in
	switch e := e.(type) {
	case lease.Acquired:
		of := in.of(key)
		of.count(ctx, in.acquisitions, 1)
		if e.Died {
			in.takeover.Record(ctx, e.Silent.Seconds(), of.record...)
		}
	case lease.Renewed:
		if e.Late {
			in.of(key).count(ctx, in.late, 1)
		}
	case *lease.LostError:
		in.by(key, AttrCause, string(e.Reason)).count(ctx, in.losses, 1)
	case lease.Throttled:
		in.of(key).count(ctx, in.throttles, 1)
	case checkpoint.Opened:
		m.watch(key, &e)
	case checkpoint.Saved:
		m.saved(key, &e)
	}
}

func (m *Metrics) saved(key store.Key, e *checkpoint.Saved) {
	in, of := m.in, m.in.of(key)
	in.by(key, AttrOutcome, e.Outcome).count(e.Context, in.saves, 1)
	if e.Outcome != "ok" {
		of.count(e.Context, in.failures, 1)
		return
	}
	in.duration.Record(e.Context, e.Took.Seconds(), of.record...)
	of.count(e.Context, in.bytes, e.Bytes)
	of.count(e.Context, in.processed, e.Processed)
	of.count(e.Context, in.failed, e.Failed)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = Saved{Key: key, Version: e.Version, By: e.By}
}

// watch shows a session's unsaved marks until its context ends.
func (m *Metrics) watch(key store.Key, e *checkpoint.Opened) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sessions[e] = key
	context.AfterFunc(e.Context, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.sessions, e)
	})
}

// LastSaved is what was saved last. Nothing was: the zero value.
func (m *Metrics) LastSaved() Saved {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}

// observeMarks shows the unsaved marks of the open sessions, by series.
func (m *Metrics) observeMarks(_ context.Context, o metric.Observer) error {
	m.mu.Lock()
	sessions := maps.Clone(m.sessions)
	m.mu.Unlock()
	unsaved := map[store.Key]int64{}
	for e, key := range sessions {
		key.Name = m.in.series.Name(key)
		unsaved[key] += e.Unsaved() // which may wait for a caller's update
	}
	for key, n := range unsaved {
		o.ObserveInt64(m.in.waiting, n, metric.WithAttributeSet(attributesOf(key.Namespace, key.Name)))
	}
	return nil
}
