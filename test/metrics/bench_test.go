package metrics_test

import (
	"context"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/metered"
	"github.com/milepost-dev/milepost/store/sqlitestore"
)

// BenchmarkSaveWithMetrics saves in one session on SQLite, every other save counted, and reports the ratio of the medians: at most
// 1.03 is wanted. In two sessions the rows of one lie before those of the other, which alone makes a few hundredths.
func BenchmarkSaveWithMetrics(b *testing.B) {
	st := &switched{Store: sqlite(b)}
	counting, err := metered.New(st.Store, sdk.NewMeterProvider(sdk.WithReader(sdk.NewManualReader())), &metered.Options{Detail: true})
	require.NoError(b, err)
	st.counting = counting
	s := opened(b, st, "job")
	counting.Watch(s)
	var without, with []time.Duration
	n := 0
	for b.Loop() {
		n++
		for turn := range 2 {
			on := (n+turn)%2 == 0 // neither always comes after the other
			st.on.Store(on)
			if took := timed(b, s, n); on {
				with = append(with, took)
			} else {
				without = append(without, took)
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

// switched is a store whose saves are counted or not: commits, and the copies behind them.
type switched struct {
	store.Store
	counting store.Store
	on       atomic.Bool
}

func (s *switched) Commit(ctx context.Context, key store.Key, c store.Commit) (store.Clock, error) {
	if s.on.Load() {
		return s.counting.Commit(ctx, key, c)
	}
	return s.Store.Commit(ctx, key, c)
}

func (s *switched) Copy(ctx context.Context, key store.Key, c store.Copy) error {
	if s.on.Load() {
		return s.counting.Copy(ctx, key, c)
	}
	return s.Store.Copy(ctx, key, c)
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

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}
