package metrics_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/checkpoint/metrics"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/sqlitestore"
)

// BenchmarkSaveWithMetrics saves in two sessions, each on a separate SQLite database, in turn.
// One session is observed. It reports the ratio of the medians: at most 1.03 is wanted.
func BenchmarkSaveWithMetrics(b *testing.B) {
	plain, observed := opened(b, nil), opened(b, observer(b, true))
	var without, with []time.Duration
	n := 0
	for b.Loop() {
		n++
		for turn := range 2 {
			if (n+turn)%2 == 0 { // neither always comes after the other
				with = append(with, timed(b, observed, n))
			} else {
				without = append(without, timed(b, plain, n))
			}
		}
	}
	pairs := make([]float64, len(with))
	for i := range pairs {
		pairs[i] = float64(with[i]) / float64(without[i])
	}
	slices.Sort(pairs)
	b.ReportMetric(pairs[len(pairs)/2], "pairs-ratio")
	b.ReportMetric(float64(median(without)), "p50-off-ns")
	b.ReportMetric(float64(median(with)), "p50-on-ns")
	b.ReportMetric(float64(median(with))/float64(median(without)), "ratio")
}

// BenchmarkMarkWithMetrics marks in a session that is observed: it allocates nothing.
func BenchmarkMarkWithMetrics(b *testing.B) {
	s := opened(b, observer(b, false))
	b.ReportAllocs()
	for b.Loop() {
		s.Mark("cursor", nil)
	}
}

func observer(b *testing.B, detail bool) func(store.Key, lease.Event) {
	b.Helper()
	m, err := metrics.New(sdk.NewMeterProvider(sdk.WithReader(sdk.NewManualReader())), &metrics.Options{Detail: detail})
	require.NoError(b, err)
	return m.Observe
}

func sqlite(b *testing.B) store.Store {
	b.Helper()
	st, err := sqlitestore.Open(b.Context(), filepath.Join(b.TempDir(), "jobs.db"), nil)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, st.Close()) })
	return st
}

func opened(b *testing.B, observer func(store.Key, lease.Event)) *checkpoint.Session[int] {
	b.Helper()
	s, err := checkpoint.Open[int](b.Context(), checkpoint.Namespace{Store: sqlite(b)}, "job", &checkpoint.Options{Lease: lease.Options{Observer: observer}})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close(b.Context(), nil)) })
	return s
}

// timed times a save after the copies of earlier saves are written; otherwise half of the saves
// would wait for a copy.
func timed(b *testing.B, s *checkpoint.Session[int], n int) time.Duration {
	time.Sleep(3 * time.Millisecond)
	began := time.Now()
	require.NoError(b, s.Save(b.Context(), "cursor", n))
	return time.Since(began)
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}
