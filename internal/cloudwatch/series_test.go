package cloudwatch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/milepost-dev/milepost/checkpoint/metrics"
)

func named(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("jobs/%06d", i)
	}
	return names
}

func longer(names []string, by string) []string {
	for i := range names {
		names[i] = by + names[i]
	}
	return names
}

func TestDimensionsAreValidForCloudWatchAndUnique(t *testing.T) {
	for text, want := range map[string]string{
		"orders/eu": "orders/eu",
		"bücher":    "b%C3%BCcher",
		":a:b":      "%3Aa:b",
		" ":         "%20",
		"a b":       "a b",
		"b%C3":      "b%25C3",
		"b\xc3":     "b%C3",
		"<script>":  "<script>",
	} {
		assert.Equal(t, want, dimension(text), "%q", text)
	}
	seen := map[string]string{}
	for _, end := range []string{"a", "b", "", "ü"} {
		for _, text := range []string{strings.Repeat("ü", 255) + end, strings.Repeat("x", 509) + end, strings.Repeat("%", 509) + end} {
			value := dimension(text)
			assert.LessOrEqual(t, len(value), maxDimension)
			assert.Empty(t, seen[value], "%q", text)
			seen[value] = text
		}
	}
}

func TestAHistogramHasNoInfiniteValuesAndKeepsItsEnds(t *testing.T) {
	point := metricdata.HistogramDataPoint[float64]{Count: 4, Bounds: []float64{1, 10}, BucketCounts: []uint64{1, 1, 2}}
	for _, v := range buckets(point) { // from a reader that records neither least nor greatest
		assert.False(t, math.IsInf(v.value, 0) || math.IsNaN(v.value), "%v", v)
	}
	point.Min, point.Max = metricdata.NewExtrema(0.5), metricdata.NewExtrema(30.0)
	assert.Equal(t, []value{{0.75, 1}, {5.5, 1}, {20, 2}}, buckets(point))
}

func TestALineHasAtMostAHundredValuesOfAMetric(t *testing.T) {
	for _, counts := range [][]float64{{1}, {100}, {101}, {1e9, 1}, {1, 1e6, 3}, {50, 50}} {
		var values []value
		for i, n := range counts {
			values = append(values, value{float64(i), n})
		}
		spelt := sample(values)
		assert.LessOrEqual(t, len(spelt), maxValues, "%v", counts)
		for i := range counts {
			assert.Contains(t, spelt, float64(i), "%v", counts)
		}
	}
}

func TestACountByOutcomeIsOneMetricAndAProperty(t *testing.T) {
	saves := metrics.Saves
	point := func(outcome string, n int64) metricdata.DataPoint[int64] {
		return metricdata.DataPoint[int64]{Value: n, Attributes: attribute.NewSet(metrics.AttrNamespace.String("default"), metrics.AttrOutcome.String(outcome))}
	}
	rm := &metricdata.ResourceMetrics{ScopeMetrics: []metricdata.ScopeMetrics{{Metrics: []metricdata.Metrics{
		{Name: saves.Name, Data: metricdata.Sum[int64]{DataPoints: []metricdata.DataPoint[int64]{point("ok", 7), point("fenced", 2)}}},
		{Name: "somebody.elses", Data: metricdata.Sum[int64]{DataPoints: []metricdata.DataPoint[int64]{point("ok", 1)}}},
	}}}}
	var out bytes.Buffer
	require.NoError(t, NewLines(&out, []metrics.Instrument{saves}, nil).Export(t.Context(), rm))
	var line struct {
		Saves          float64
		SavesByOutcome map[string]float64
	}
	require.NoError(t, json.Unmarshal(out.Bytes(), &line))
	assert.InDelta(t, 9, line.Saves, 0)
	assert.Equal(t, map[string]float64{"ok": 7, "fenced": 2}, line.SavesByOutcome)
	assert.NotContains(t, out.String(), "elses")
}
