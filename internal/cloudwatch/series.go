// Package cloudwatch sends metrics that OpenTelemetry's SDK has collected to CloudWatch without an
// agent: as lines in the Embedded Metric Format, and by PutMetricData. It sends only the
// instruments that it is given, under their CloudWatch names.
package cloudwatch

import (
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/milepost-dev/milepost/checkpoint/metrics"
)

// Namespace is CloudWatch's namespace of all metrics. The dimensions follow: a series has either
// the first alone, or both.
const (
	Namespace           = "Milepost"
	DimensionNamespace  = "Namespace"
	DimensionCheckpoint = "Checkpoint"
)

// value is a value and its number of occurrences.
type value struct {
	value, count float64
}

// datum is one metric of one series.
type datum struct {
	metric string
	unit   string
	values []value
	parts  map[string]float64 // a counter's parts, by outcome or cause: a property of the line, not a dimension
	by     string             // the attribute that distinguishes the parts
}

// series is the data of one checkpoint or one namespace.
type series struct {
	namespace, checkpoint string
	data                  []datum
}

// collect turns the SDK's metrics into series, in a fixed order.
func collect(rm *metricdata.ResourceMetrics, known map[string]metrics.Instrument) []series {
	c := collector{at: map[[2]string]int{}}
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			if i, ok := known[m.Name]; ok {
				c.add(i, m.Data)
			}
		}
	}
	slices.SortFunc(c.all, func(a, b series) int {
		if n := strings.Compare(a.namespace, b.namespace); n != 0 {
			return n
		}
		return strings.Compare(a.checkpoint, b.checkpoint)
	})
	return c.all
}

type collector struct {
	at  map[[2]string]int
	all []series
}

func (c *collector) add(i metrics.Instrument, data metricdata.Aggregation) {
	switch d := data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range d.DataPoints {
			c.point(i, p.Attributes, value{float64(p.Value), 1})
		}
	case metricdata.Gauge[int64]:
		for _, p := range d.DataPoints {
			c.point(i, p.Attributes, value{float64(p.Value), 1})
		}
	case metricdata.Gauge[float64]:
		for _, p := range d.DataPoints {
			c.point(i, p.Attributes, value{p.Value, 1})
		}
	case metricdata.Histogram[float64]:
		for _, p := range d.DataPoints {
			if p.Count > 0 {
				c.point(i, p.Attributes, buckets(p)...)
			}
		}
	}
}

// buckets returns a histogram's buckets, each as its middle value. The least and the greatest value
// are exact.
func buckets(p metricdata.HistogramDataPoint[float64]) []value {
	least, _ := p.Min.Value()
	most, ok := p.Max.Value()
	if !ok && len(p.Bounds) > 0 { // CloudWatch does not accept infinite values
		most = p.Bounds[len(p.Bounds)-1]
	}
	var values []value
	for i, n := range p.BucketCounts {
		if n == 0 {
			continue
		}
		low, high := least, most
		if i > 0 {
			low = max(low, p.Bounds[i-1])
		}
		if i < len(p.Bounds) {
			high = min(high, p.Bounds[i])
		}
		values = append(values, value{(low + high) / 2, float64(n)})
	}
	return values
}

func (c *collector) point(i metrics.Instrument, attributes attribute.Set, values ...value) {
	namespace, _ := attributes.Value(metrics.AttrNamespace)
	checkpoint, _ := attributes.Value(metrics.AttrCheckpoint)
	key := [2]string{dimension(namespace.AsString()), dimension(checkpoint.AsString())}
	at, ok := c.at[key]
	if !ok {
		at = len(c.all)
		c.at[key] = at
		c.all = append(c.all, series{namespace: key[0], checkpoint: key[1]})
	}
	s := &c.all[at]
	n := slices.IndexFunc(s.data, func(d datum) bool { return d.metric == i.CloudWatch })
	if n < 0 {
		n = len(s.data)
		s.data = append(s.data, datum{metric: i.CloudWatch, unit: unitOf(i.Unit)})
	}
	d := &s.data[n]
	if len(i.By) == 0 {
		d.values = append(d.values, values...)
		return
	}
	// The metric is the whole count; parts are its shares.
	part, _ := attributes.Value(i.By[0])
	if d.parts == nil {
		name := string(i.By[0])
		d.by, d.parts = name[strings.LastIndex(name, ".")+1:], map[string]float64{}
		d.values = []value{{0, 1}}
	}
	for _, v := range values {
		d.parts[part.AsString()] += v.value
		d.values[0].value += v.value
	}
}

// dimension escapes a text for a dimension's value: printable ASCII that does not begin with a
// colon and is not only spaces. Other bytes become %XX, and so does the percent sign, so that no
// two texts become equal.
func dimension(text string) string {
	plain := func(i int, b byte) bool {
		return b > ' ' && b <= '~' && b != '%' && (b != ':' || i > 0) || b == ' ' && i > 0
	}
	var escaped strings.Builder
	for i := range len(text) {
		if b := text[i]; plain(i, b) {
			escaped.WriteByte(b)
		} else {
			fmt.Fprintf(&escaped, "%%%02X", b)
		}
	}
	value := escaped.String()
	if len(value) > maxDimension {
		h := fnv.New128a()
		_, _ = io.WriteString(h, text)
		end := fmt.Sprintf("~%x", h.Sum(nil))
		value = value[:maxDimension-len(end)] + end
	}
	return value
}

// maxDimension is the greatest length of a dimension's value.
const maxDimension = 1024

// unitOf returns CloudWatch's name of a unit.
func unitOf(ucum string) string {
	switch {
	case ucum == "s":
		return "Seconds"
	case ucum == "By":
		return "Bytes"
	case strings.HasPrefix(ucum, "{") && strings.HasSuffix(ucum, "}/s"):
		return "Count/Second"
	case strings.HasPrefix(ucum, "{"):
		return "Count"
	}
	return "None"
}

// knownBy returns the instruments by name.
func knownBy(instruments []metrics.Instrument) map[string]metrics.Instrument {
	known := make(map[string]metrics.Instrument, len(instruments))
	for _, i := range instruments {
		known[i.Name] = i
	}
	return known
}

// exporting answers the SDK's questions for both exporters: they want counts since the last export,
// which CloudWatch adds up itself.
type exporting struct{}

// Temporality implements [metric.Exporter].
func (exporting) Temporality(metric.InstrumentKind) metricdata.Temporality {
	return metricdata.DeltaTemporality
}

// Aggregation implements [metric.Exporter].
func (exporting) Aggregation(kind metric.InstrumentKind) metric.Aggregation {
	return metric.DefaultAggregationSelector(kind)
}
