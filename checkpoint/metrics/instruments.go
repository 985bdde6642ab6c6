package metrics

import (
	"context"
	"errors"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/milepost-dev/milepost/store"
)

// Kind of an instrument.
type Kind string

// Kinds of instruments.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Instrument describes one: a row of docs/metrics.md.
type Instrument struct {
	Name        string // in OpenTelemetry; Prometheus has it with underscores and its usual endings
	CloudWatch  string // the metric there
	Kind        Kind
	Unit        string // UCUM: s, By, {save} and so on
	Description string
	By          []attribute.Key // attributes next to namespace and checkpoint
}

// What a job emits.
var (
	Saves        = Instrument{"milepost.saves", "Saves", Counter, "{save}", "Saves, by how they ended", []attribute.Key{AttrOutcome}}
	SaveFailures = Instrument{"milepost.save.failures", "SaveFailures", Counter, "{save}", "Saves that ended otherwise than ok", nil}
	SaveDuration = Instrument{"milepost.save.duration", "SaveLatency", Histogram, "s", "Time of a save that succeeded, from its first attempt on", nil}
	SaveBytes    = Instrument{"milepost.save.bytes", "SaveBytes", Counter, "By", "Bytes of the states that were saved, before compression", nil}
	Processed    = Instrument{"milepost.records.processed", "RecordsProcessed", Counter, "{record}", "Records processed, as saved", nil}
	Failed       = Instrument{"milepost.records.failed", "RecordsFailed", Counter, "{record}", "Records that failed, as saved", nil}
	MarksWaiting = Instrument{"milepost.marks.waiting", "MarksWaiting", Gauge, "{record}", "Records marked and not yet saved", nil}
	Acquisitions = Instrument{"milepost.lease.acquisitions", "LeaseAcquisitions", Counter, "{lease}", "Leases acquired", nil}
	Losses       = Instrument{"milepost.lease.losses", "LeaseLosses", Counter, "{lease}", "Leases lost by jobs that ran, by cause", []attribute.Key{AttrCause}}
	LateRenewals = Instrument{"milepost.lease.renewals.late", "LateRenewals", Counter, "{renewal}", "Renewals later after the one before than a save may start (by default half the lease's duration): saves waited for them", nil}
	Takeover     = Instrument{"milepost.lease.takeover.duration", "TakeoverTime", Histogram, "s", "Time from the last renewal of a holder that died to the acquisition by the next", nil}
	Throttles    = Instrument{"milepost.throttles", "Throttles", Counter, "{request}", "Requests by leases and saves that the store throttled", nil}
)

// Jobs are the instruments that [Metrics] has.
var Jobs = []Instrument{
	Saves, SaveFailures, SaveDuration, SaveBytes, Processed, Failed, MarksWaiting,
	Acquisitions, Losses, LateRenewals, Takeover, Throttles,
}

var (
	saveBounds     = []float64{.0005, .001, .002, .003, .005, .0075, .01, .015, .02, .03, .05, .075, .1, .15, .2, .3, .5, .75, 1, 2, 5, 10, 30}
	takeoverBounds = []float64{.5, 1, 2, 5, 10, 20, 30, 45, 60, 90, 120, 300, 600, 1800, 3600, 21600, 86400}
)

// instruments are those of one [Metrics].
type instruments struct {
	series *Series

	saves, failures, bytes, processed, failed metric.Int64Counter
	acquisitions, losses, late, throttles     metric.Int64Counter
	duration, takeover                        metric.Float64Histogram
	waiting                                   metric.Int64ObservableGauge

	sets sync.Map // *options by setKey, so that each is built once
}

func newInstruments(m metric.Meter, series *Series, observe metric.Callback) (*instruments, error) {
	in := &instruments{series: series}
	var failed []error
	counter := func(i Instrument) metric.Int64Counter {
		c, err := m.Int64Counter(i.Name, metric.WithUnit(i.Unit), metric.WithDescription(i.Description))
		failed = append(failed, err)
		return c
	}
	histogram := func(i Instrument, bounds []float64) metric.Float64Histogram {
		h, err := m.Float64Histogram(i.Name, metric.WithUnit(i.Unit), metric.WithDescription(i.Description), metric.WithExplicitBucketBoundaries(bounds...))
		failed = append(failed, err)
		return h
	}
	in.saves, in.failures, in.bytes = counter(Saves), counter(SaveFailures), counter(SaveBytes)
	in.processed, in.failed = counter(Processed), counter(Failed)
	in.acquisitions, in.losses, in.late, in.throttles = counter(Acquisitions), counter(Losses), counter(LateRenewals), counter(Throttles)
	in.duration, in.takeover = histogram(SaveDuration, saveBounds), histogram(Takeover, takeoverBounds)

	var err error
	in.waiting, err = m.Int64ObservableGauge(MarksWaiting.Name, metric.WithUnit(MarksWaiting.Unit), metric.WithDescription(MarksWaiting.Description))
	failed = append(failed, err)
	if errors.Join(failed...) == nil {
		_, err = m.RegisterCallback(observe, in.waiting)
		failed = append(failed, err)
	}
	return in, errors.Join(failed...)
}

type setKey struct {
	namespace, name string
	by              attribute.Key // "": nothing more
	value           string
}

// options carry the attributes of one series.
type options struct {
	add    []metric.AddOption
	record []metric.RecordOption
}

// of are the options of a checkpoint's series.
func (in *instruments) of(key store.Key) *options { return in.by(key, "", "") }

// by are the options of one with an attribute more.
func (in *instruments) by(key store.Key, by attribute.Key, value string) *options {
	k := setKey{key.Namespace, in.series.Name(key), by, value}
	if known, ok := in.sets.Load(k); ok {
		return known.(*options)
	}
	var more []attribute.KeyValue
	if by != "" {
		more = append(more, by.String(value))
	}
	set := metric.WithAttributeSet(attributesOf(k.namespace, k.name, more...))
	o := &options{add: []metric.AddOption{set}, record: []metric.RecordOption{set}}
	in.sets.Store(k, o)
	return o
}

// count adds n to a counter; 0 adds no series.
func (o *options) count(ctx context.Context, c metric.Int64Counter, n int64) {
	if n > 0 {
		c.Add(ctx, n, o.add...)
	}
}
