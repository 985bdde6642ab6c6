package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	cloudwatchservice "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/schemas"
	"github.com/aws/smithy-go/transport/http/protocol/awsquery"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/milepost-dev/milepost/checkpoint/metrics"
	"github.com/milepost-dev/milepost/internal/cloudwatch"
	"github.com/milepost-dev/milepost/internal/connections"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/internal/places"
	"github.com/milepost-dev/milepost/internal/survey"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// How often a job's metrics are sent, and how long sending may take: in the background, and at the
// end.
const (
	publishEvery  = time.Minute
	publishWithin = 10 * time.Second
	finishWithin  = 3 * time.Second
)

// metricsFlags say which metrics are sent, and how.
type metricsFlags struct {
	way, level string
	most       int
}

func (f *metricsFlags) add(cmd *cobra.Command, usual string) {
	flags := cmd.Flags()
	flags.StringVar(&f.way, "metrics", "", "`where` metrics go: emf (lines on standard output), emf:FILE, cloudwatch, prometheus:ADDR,\n"+
		"auto (cloudwatch on Glue, else emf) or none (default: $MILEPOST_METRICS, else "+usual+")")
	flags.StringVar(&f.level, "metrics-level", "summary", "which metrics: none, summary (by namespace) or detail (by checkpoint, too)")
	flags.IntVar(&f.most, "max-series", metrics.DefaultMaxSeries, "with detail, how many checkpoints have separate series; the rest share "+metrics.Other)
}

// emits gives a command the flags of metrics, and counts what its leases and sessions do.
func (a *app) emits(cmd *cobra.Command) *cobra.Command {
	var f metricsFlags
	f.add(cmd, "none")
	inner := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		t, err := a.newTelemetry(f, "none")
		if err != nil {
			return err
		}
		t.observes, t.every = true, publishEvery
		if cmd.Name() == "agent" {
			t.lines = a.stderr // standard output belongs to the agent's client
		}
		a.telemetry = t
		defer t.close()
		return inner(cmd, args)
	}
	return cmd
}

// telemetry is where metrics go. One that is nil or off sends nothing.
type telemetry struct {
	app      *app
	flags    metricsFlags
	way, to  string // emf, cloudwatch, prometheus, or ""; and the file or address
	lines    io.Writer
	observes bool          // leases and sessions are counted
	every    time.Duration // 0: only when flush is called

	once     sync.Once
	err      error
	provider *metric.MeterProvider
	closing  []func()
	metrics  atomic.Pointer[metrics.Metrics] // nil: nothing is counted
}

// newTelemetry checks the flags. It opens nothing: start does.
func (a *app) newTelemetry(f metricsFlags, usual string) (*telemetry, error) {
	t := &telemetry{app: a, flags: f, lines: a.stdout}
	text := f.way
	for _, other := range []string{a.getenv("MILEPOST_METRICS"), usual} {
		if text == "" {
			text = other
		}
	}
	way, to, _ := strings.Cut(text, ":")
	if way == "auto" {
		if way = "emf"; places.ThisMachine(a.getenv).Fleeting() == "AWS Glue" {
			way = "cloudwatch"
		}
	}
	switch {
	case way == "none" && to == "":
		way = ""
	case way == "emf", way == "cloudwatch" && to == "", way == "prometheus" && to != "":
	default:
		return nil, kinds.Usagef("--metrics %q: write emf, emf:FILE, cloudwatch, prometheus:ADDR, auto or none", text)
	}
	switch f.level {
	case "none":
		way = ""
	case "summary", "detail":
	default:
		return nil, kinds.Usagef("--metrics-level %q: write none, summary or detail", f.level)
	}
	if f.most < 1 {
		return nil, kinds.Usagef("--max-series %d: it must be at least 1", f.most)
	}
	t.way, t.to = way, to
	return t, nil
}

func (t *telemetry) on() bool { return t != nil && t.way != "" }

// options returns the options of the counters.
func (t *telemetry) options() metrics.Options {
	return metrics.Options{Detail: t.flags.level == "detail", MaxSeries: t.flags.most}
}

// start opens what the metrics are sent to. region and profile are the store's; cloudwatch uses
// them if the environment names no others.
func (t *telemetry) start(ctx context.Context, u places.Store) error {
	t.once.Do(func() {
		// OpenTelemetry would write directly to standard error, which may block.
		otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { t.app.logger().Warn("metrics", "error", err) }))
		var reader metric.Reader
		switch t.way {
		case "emf":
			reader, t.err = t.startLines()
		case "cloudwatch":
			reader, t.err = t.startPut(ctx, u)
		case "prometheus":
			reader, t.err = t.startPrometheus()
		}
		if t.err == nil {
			t.provider = metric.NewMeterProvider(metric.WithReader(reader), metric.WithResource(resource.Empty()))
		}
		if t.err == nil && t.observes {
			options := t.options()
			var m *metrics.Metrics
			m, t.err = metrics.New(t.provider, &options)
			t.metrics.Store(m)
		}
	})
	return t.err
}

func (t *telemetry) instruments() []metrics.Instrument {
	return append(append([]metrics.Instrument{}, metrics.Jobs...), survey.Instruments...)
}

func (t *telemetry) startLines() (metric.Reader, error) {
	w := t.lines
	if t.to != "" {
		file, err := os.OpenFile(t.to, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, kinds.Usage(err)
		}
		w = file
		t.closing = append(t.closing, func() { _ = file.Close() })
	}
	return t.periodic(cloudwatch.NewLines(w, t.instruments(), t.properties)), nil
}

func (t *telemetry) startPut(ctx context.Context, u places.Store) (metric.Reader, error) {
	settings, err := awsSettings(ctx, u.Region, u.Profile)
	if err != nil {
		return nil, err
	}
	if settings.Region == "" {
		return nil, kinds.Usagef("--metrics cloudwatch: the region is not set: set AWS_REGION")
	}
	client := cloudwatchservice.NewFromConfig(settings, func(o *cloudwatchservice.Options) {
		// This is the only protocol of the service that servers other than AWS know as well.
		o.Protocol = awsquery.New(schemas.GraniteServiceVersion20100801)
		o.HTTPClient = connections.Watched(o.HTTPClient)
	})
	return t.periodic(cloudwatch.NewPut(client, t.instruments())), nil
}

func (t *telemetry) periodic(e metric.Exporter) metric.Reader {
	every := t.every
	if every == 0 {
		every = math.MaxInt64
	}
	return metric.NewPeriodicReader(told{e, t.app.logger()}, metric.WithInterval(every), metric.WithTimeout(publishWithin))
}

// told logs what went wrong. Otherwise the SDK would print it.
type told struct {
	metric.Exporter
	log *slog.Logger
}

func (e told) Export(ctx context.Context, rm *metricdata.ResourceMetrics) error {
	if err := e.Exporter.Export(ctx, rm); err != nil {
		e.log.Warn("metrics not published", "error", err)
	}
	return nil
}

func (t *telemetry) startPrometheus() (metric.Reader, error) {
	reader, page, err := newPrometheus()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", t.to)
	if err != nil {
		return nil, kinds.Usage(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", page)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: connectWithin}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.closing = append(t.closing, func() { _ = server.Close(); <-done })
	t.app.say("metrics at http://%s/metrics", listener.Addr())
	return reader, nil
}

// newPrometheus returns a reader, and a handler that shows what it reads as Prometheus's text.
func newPrometheus() (metric.Reader, http.Handler, error) {
	registry := prometheus.NewRegistry()
	reader, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo())
	return reader, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), err
}

// properties are the values next to the numbers in a line of EMF. They are those of the job that
// saved last.
func (t *telemetry) properties(namespace, checkpoint string) map[string]any {
	m := t.metrics.Load()
	if m == nil {
		return nil
	}
	last := m.LastSaved()
	if last.Version == 0 || last.Key.Namespace != namespace || checkpoint != "" && checkpoint != last.Key.Name {
		return nil
	}
	return map[string]any{"Name": last.Key.Name, "Version": last.Version, "Holder": last.By.ID, "RunID": last.By.RunID}
}

// count starts counting what leases and sessions do. A job does not fail because its metrics cannot
// be sent.
func (t *telemetry) count(ctx context.Context, u places.Store) {
	if !t.on() || !t.observes {
		return
	}
	err := t.start(ctx, u)
	switch {
	case errors.Is(err, kinds.ErrUsage):
		t.app.say("warning: no metrics: %v", err)
	case err != nil:
		t.app.logger().Warn("no metrics", "error", err)
	}
}

// observe counts an event of a lease or session.
func (t *telemetry) observe(key store.Key, e lease.Event) {
	if m := t.metrics.Load(); m != nil {
		m.Observe(key, e)
	}
}

// observer returns the observer for the options of a lease: nil if nothing is counted.
func (a *app) observer() func(store.Key, lease.Event) {
	if t := a.telemetry; t.on() && t.observes {
		return t.observe
	}
	return nil
}

// flush sends what was counted.
func (t *telemetry) flush(ctx context.Context) {
	if t.provider != nil {
		_ = t.provider.ForceFlush(ctx) // told has logged any error
	}
}

// close sends what is left, within a limited time.
func (t *telemetry) close() {
	if t.provider != nil {
		ctx, cancel := context.WithTimeout(context.Background(), finishWithin)
		defer cancel()
		_ = t.provider.Shutdown(ctx)
	}
	for _, closing := range t.closing {
		closing()
	}
}
