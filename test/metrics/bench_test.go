package metrics_test

import (
	"cmp"
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

// BenchmarkSaveWithMetrics interleaves saves of two jobs in one file on SQLite, one of which is counted, and reports the median of
// their ratios: at most 1.03 is wanted.
func BenchmarkSaveWithMetrics(b *testing.B) {
	st := sqlite(b)
	off := opened(b, st, "off")
	counting, err := metered.New(st, sdk.NewMeterProvider(sdk.WithReader(sdk.NewManualReader())), &metered.Options{Detail: true})
	require.NoError(b, err)
	on := opened(b, counting, "on")
	counting.Watch(on)
	var without, with []time.Duration
	var ratios []float64 // of pairs: what slows a machine down for a while slows both
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
		ratios = append(ratios, float64(with[len(with)-1])/float64(without[len(without)-1]))
	}
	b.ReportMetric(float64(median(without)), "p50-off-ns")
	b.ReportMetric(float64(median(with)), "p50-on-ns")
	b.ReportMetric(median(ratios), "ratio")
}

// BenchmarkMarkWithMetrics marks in a session that is counted and watched: it allocates nothing.
func BenchmarkMarkWithMetrics(b *testing.B) {
	counting, err := metered.New(sqlite(b), sdk.NewMeterProvider(sdk.WithReader(sdk.NewManualReader())), nil)
	require.NoError(b, err)
	s := opened(b, counting, "job")
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

func opened(b *testing.B, st store.Store, name string) *checkpoint.Session[int] {
	b.Helper()
	s, err := checkpoint.Open[int](b.Context(), st, name, nil)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close(b.Context(), nil)) })
	return s
}

// timed times a save that finds the copies of those before written: else half of them would wait for one.
func timed(b *testing.B, s *checkpoint.Session[int], n int) time.Duration {
	time.Sleep(3 * time.Millisecond)
	began := time.Now()
	require.NoError(b, s.Save(b.Context(), "cursor", n))
	return time.Since(began)
}

func median[T cmp.Ordered](all []T) T {
	slices.Sort(all)
	return all[len(all)/2]
}
