package survey

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/milepost-dev/milepost/checkpoint/metrics"
	"github.com/milepost-dev/milepost/store"
)

// PublishOptions say what is published.
type PublishOptions struct {
	metrics.Options      // with Detail, checkpoints have their own series
	Ratio           bool // also publish Expectation
	Times           bool // publish times, not ages
}

// Publisher publishes the result of the last survey until the next. A checkpoint that is gone no
// longer has a series.
type Publisher struct {
	opts   PublishOptions
	beats  metric.Int64Counter
	gauges map[string]metric.Float64ObservableGauge

	own map[store.Key]bool // had their own series in the last survey

	mu       sync.Mutex
	readings []reading
}

// reading is one value of one series.
type reading struct {
	of    metrics.Instrument
	at    attribute.Set
	value float64
}

// NewPublisher returns a publisher with instruments of provider, which cannot be nil.
func NewPublisher(provider metric.MeterProvider, opts PublishOptions) (*Publisher, error) {
	if opts.MaxSeries == 0 {
		opts.MaxSeries = metrics.DefaultMaxSeries
	}
	p := &Publisher{opts: opts, gauges: map[string]metric.Float64ObservableGauge{}}
	meter := provider.Meter(metrics.Scope)
	var failed []error
	var all []metric.Observable
	for _, i := range Instruments {
		if i.Kind == metrics.Counter {
			var err error
			p.beats, err = meter.Int64Counter(i.Name, metric.WithUnit(i.Unit), metric.WithDescription(i.Description))
			failed = append(failed, err)
			continue
		}
		g, err := meter.Float64ObservableGauge(i.Name, metric.WithUnit(i.Unit), metric.WithDescription(i.Description))
		failed = append(failed, err)
		p.gauges[i.Name] = g
		all = append(all, g)
	}
	if err := errors.Join(failed...); err != nil {
		return nil, fmt.Errorf("make the instruments of the monitor: %w", err)
	}
	_, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, r := range p.readings {
			o.ObserveFloat64(p.gauges[r.of.Name], r.value, metric.WithAttributeSet(r.at))
		}
		return nil
	}, all...)
	return p, err
}

// Seen is the result of one survey: the items, how each moves, and how far the archive is behind,
// which may be nil.
type Seen struct {
	Namespace string
	Items     []Item
	Movements []Movement
	Mirrored  []Mirroring
}

// Publish replaces what is published and adds one heartbeat. With Detail, up to MaxSeries items
// have their own series, and the rest share one: the sum of counts, the greatest of ages. Publish
// must not be called concurrently.
func (p *Publisher) Publish(ctx context.Context, seen Seen) {
	s := p.sum(seen)
	p.mu.Lock()
	p.readings = s.readings
	p.mu.Unlock()
	p.beats.Add(ctx, 1, metric.WithAttributes(metrics.AttrNamespace.String(seen.Namespace)))
}

// Clear publishes nothing more until the next Publish. Exporters that send each survey once need
// it.
func (p *Publisher) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readings = nil
}

// summary collects readings.
type summary struct {
	namespace string
	readings  []reading
	at        map[seriesKey]int
}

type seriesKey struct{ instrument, name string }

// add adds a value to its series; most keeps the greatest value.
func (s *summary) add(i metrics.Instrument, name string, v float64) { s.reading(i, name).value += v }

func (s *summary) most(i metrics.Instrument, name string, v float64) {
	r := s.reading(i, name)
	r.value = max(r.value, v)
}

func (s *summary) least(i metrics.Instrument, name string, v float64) {
	_, there := s.at[seriesKey{i.Name, name}]
	if r := s.reading(i, name); !there || v < r.value {
		r.value = v
	}
}

func (s *summary) reading(i metrics.Instrument, name string) *reading {
	key := seriesKey{i.Name, name}
	n, ok := s.at[key]
	if !ok {
		n = len(s.readings)
		s.at[key] = n
		attributes := []attribute.KeyValue{metrics.AttrNamespace.String(s.namespace)}
		if name != "" {
			attributes = append(attributes, metrics.AttrCheckpoint.String(name))
		}
		s.readings = append(s.readings, reading{of: i, at: attribute.NewSet(attributes...)})
	}
	return &s.readings[n]
}

func (p *Publisher) sum(seen Seen) *summary {
	s := &summary{namespace: seen.Namespace, at: map[seriesKey]int{}}
	p.choose(seen.Items)
	for _, i := range []metrics.Instrument{Checkpoints, Overdues, Unreadables, Leases} {
		s.add(i, "", 0) // zero is reported too
	}
	s.add(Checkpoints, "", float64(len(seen.Items)))
	for n := range seen.Items {
		i := &seen.Items[n]
		if i.Err != nil {
			s.add(Unreadables, "", 1)
			continue
		}
		if i.Overdue() {
			s.add(Overdues, "", 1)
		}
		if i.Held {
			s.add(Leases, "", 1)
		}
		name := p.name(i.Key)
		s.add(FailedRuns, name, float64(i.Failures()))
		if seen.Mirrored != nil {
			m := seen.Mirrored[n]
			s.most(ArchiveLag, name, m.Lag.Seconds())
			s.add(ArchiveGaps, name, 0)
			if m.Gap {
				s.add(ArchiveGaps, name, 1)
			}
		}
		if name != "" {
			p.detail(s, name, i, seen.Movements[n])
		}
	}
	return s
}

// choose selects the items that have their own series: first those with a problem, the worst first;
// then those that had a series before, since a series that comes and goes is useless and costs
// money; then the others, in the order given.
func (p *Publisher) choose(items []Item) {
	before := p.own
	p.own = map[store.Key]bool{}
	if !p.opts.Detail {
		return
	}
	for _, among := range []func(*Item) bool{
		func(i *Item) bool { return i.Condition() <= Failing },
		func(i *Item) bool { return before[i.Key] },
		func(*Item) bool { return true },
	} {
		for n := range items {
			if len(p.own) == p.opts.MaxSeries {
				return
			}
			if i := &items[n]; i.Err == nil && among(i) {
				p.own[i.Key] = true
			}
		}
	}
}

// name returns the name under which an item is counted.
func (p *Publisher) name(key store.Key) string {
	switch {
	case !p.opts.Detail:
		return ""
	case p.own[key]:
		return key.Name
	}
	return metrics.Other
}

func (p *Publisher) detail(s *summary, name string, i *Item, m Movement) {
	age := func(ages, times metrics.Instrument, t time.Time) {
		switch {
		case t.IsZero():
		case p.opts.Times:
			s.least(times, name, float64(t.UnixMilli())/1000)
		default:
			s.most(ages, name, max(i.Now.Sub(t), 0).Seconds())
		}
	}
	saved := time.Time{}
	switch {
	case i.Saved():
		saved = i.Head.SavedAt
	case i.Expect != nil:
		saved = i.Expect.SetAt
	}
	age(SaveAge, SaveTime, saved)
	age(CursorAge, CursorTime, m.Advanced)
	if i.Lease != nil && i.Lease.Status == store.Held {
		age(RenewalAge, RenewalTime, i.Lease.RenewedAt)
	}
	if i.Saved() {
		s.add(ProgressRate, name, m.Rate)
	}
	if p.opts.Ratio && i.Expect != nil {
		s.most(Expectation, name, i.Ratio())
	}
}
