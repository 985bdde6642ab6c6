package metrics_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/checkpoint/metrics"
	"github.com/milepost-dev/milepost/store"
)

// BenchmarkObserve is what counting a save takes. No save waits for it.
func BenchmarkObserve(b *testing.B) {
	m, err := metrics.New(metric.NewMeterProvider(metric.WithReader(metric.NewManualReader())), &metrics.Options{Detail: true})
	require.NoError(b, err)
	key := store.Key{Namespace: "default", Name: "job"}
	saved := checkpoint.Saved{Outcome: "ok", Context: b.Context(), Took: time.Millisecond, Processed: 10, Bytes: 7}
	b.ReportAllocs()
	for b.Loop() {
		saved.Version++
		m.Observe(key, saved)
	}
}
