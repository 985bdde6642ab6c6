package metrics_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/metered"
	"github.com/milepost-dev/milepost/store/sqlitestore"
)

// BenchmarkSaveWithMetrics interleaves saves of two jobs on SQLite, one of which is counted, and reports the ratio of their medians: at
// most 1.03 is wanted.
func BenchmarkSaveWithMetrics(b *testing.B) {
	off := opened(b, sqlite(b))
	counting, err := metered.New(sqlite(b), sdk.NewMeterProvider(sdk.WithReader(sdk.NewManualReader())), &metered.Options{Detail: true})
	require.NoError(b, err)
	on := opened(b, counting)
	counting.Watch(on)
	var without, with []time.Duration
	n := 0
	for b.Loop() {
		n++
		first, second := &without, &with
		sessions := []*checkpoint.Session[int]{off, on}
		if n%2 == 0 { // neither always comes after the other
			first, second = second, first
			slices.Reverse(sessions)
		}
		*first = append(*first, timed(b, sessions[0], n))
		*second = append(*second, timed(b, sessions[1], n))
	}
	b.ReportMetric(float64(median(without)), "p50-off-ns")
	b.ReportMetric(float64(median(with)), "p50-on-ns")
	b.ReportMetric(float64(median(with))/float64(median(without)), "ratio")
}

// BenchmarkMarkWithMetrics marks in a session that is counted and watched: it allocates nothing.
func BenchmarkMarkWithMetrics(b *testing.B) {
	counting, err := metered.New(sqlite(b), sdk.NewMeterProvider(sdk.WithReader(sdk.NewManualReader())), nil)
	require.NoError(b, err)
	s := opened(b, counting)
	counting.Watch(s)
	b.ReportAllocs()
	for b.Loop() {
		s.Mark("cursor", nil)
	}
}

func sqlite(b *testing.B) store.Store {
	b.Helper()
	st, err := sqlitestore.Open(b.Context(), filepath.Join(b.TempDir(), "jobs.db"), nil)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, st.Close()) })
	return st
}

func opened(b *testing.B, st store.Store) *checkpoint.Session[int] {
	b.Helper()
	s, err := checkpoint.Open[int](b.Context(), st, "job", nil)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close(b.Context(), nil)) })
	return s
}

func timed(b *testing.B, s *checkpoint.Session[int], n int) time.Duration {
	began := time.Now()
	require.NoError(b, s.Save(b.Context(), "cursor", n))
	return time.Since(began)
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}
