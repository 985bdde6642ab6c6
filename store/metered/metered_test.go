package metered_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/metered"
)

func TestACommitThatNothingFollowsIsCountedWhenTheNumbersAreCollected(t *testing.T) {
	reader := metric.NewManualReader()
	st, err := metered.New(nothing{}, metric.NewMeterProvider(metric.WithReader(reader)), nil)
	require.NoError(t, err)
	key := store.Key{Namespace: "default", Name: "job"}
	for n := int64(1); n <= 100; n++ { // more than may wait to be counted
		c := store.Commit{Base: n - 1, Next: store.Version{Number: n, CommitID: string(rune(n)), Content: store.Content{Processed: 10 * n, State: &store.State{Size: 7}}}}
		_, err := st.Commit(t.Context(), key, c)
		require.NoError(t, err)
		if n == 3 || n == 100 {
			assert.Equal(t, map[string]int64{"milepost.saves": n, "milepost.records.processed": 10 * n, "milepost.save.bytes": 7 * n}, sums(t, reader))
			assert.Equal(t, n, st.LastSaved().Version)
		}
	}
}

func sums(t *testing.T, reader metric.Reader) map[string]int64 {
	t.Helper()
	var rm metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(context.Background(), &rm))
	got := map[string]int64{}
	for _, m := range rm.ScopeMetrics[0].Metrics {
		if sum, ok := m.Data.(metricdata.Sum[int64]); ok {
			for _, p := range sum.DataPoints {
				got[m.Name] += p.Value
			}
		}
	}
	return got
}
