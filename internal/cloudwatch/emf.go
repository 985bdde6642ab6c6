package cloudwatch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/milepost-dev/milepost/checkpoint/metrics"
)

// maxValues is the most values that a metric may have in one line.
const maxValues = 100

// Lines writes metrics as lines in the Embedded Metric Format. CloudWatch extracts them from the
// logs of Glue, Lambda and ECS.
type Lines struct {
	exporting
	known      map[string]metrics.Instrument
	properties func(namespace, checkpoint string) map[string]any
	turn       chan io.Writer // holds the writer, which Export takes while it writes
}

var _ metric.Exporter = (*Lines)(nil)

// NewLines returns an exporter that writes to w, several lines in one Write. properties, which may
// be nil, returns more members for the lines of a series; for a namespace's series, checkpoint is
// empty. The members are not dimensions: they cost only their bytes.
func NewLines(w io.Writer, instruments []metrics.Instrument, properties func(namespace, checkpoint string) map[string]any) *Lines {
	l := &Lines{known: knownBy(instruments), properties: properties, turn: make(chan io.Writer, 1)}
	l.turn <- w
	return l
}

// line is one line's metadata.
type line struct {
	Timestamp         int64       `json:"Timestamp"` // ms
	CloudWatchMetrics []directive `json:"CloudWatchMetrics"`
}

type directive struct {
	Namespace  string       `json:"Namespace"`
	Dimensions [][]string   `json:"Dimensions"`
	Metrics    []definition `json:"Metrics"`
}

type definition struct {
	Name string `json:"Name"`
	Unit string `json:"Unit"`
}

// Export implements [metric.Exporter]. It returns when ctx ends, even while the writer hangs.
func (l *Lines) Export(ctx context.Context, rm *metricdata.ResourceMetrics) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	for _, s := range collect(rm, l.known) {
		if err := e.Encode(l.object(s, time.Now())); err != nil {
			return fmt.Errorf("write metrics: %w", err)
		}
	}
	if text.Len() == 0 {
		return nil
	}
	var w io.Writer
	select {
	case w = <-l.turn:
	case <-ctx.Done():
		return fmt.Errorf("write metrics: the write of the lines before hangs: %w", context.Cause(ctx))
	}
	written := make(chan error, 1)
	go func() { // it outlives the call only while a write hangs; at most one does
		_, err := w.Write(text.Bytes())
		l.turn <- w
		written <- err
	}()
	select {
	case err := <-written:
		if err != nil {
			return fmt.Errorf("write metrics: %w", err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("write metrics: %w", context.Cause(ctx))
	}
}

func (l *Lines) object(s series, now time.Time) map[string]any {
	d := directive{Namespace: Namespace, Dimensions: [][]string{{DimensionNamespace}}, Metrics: []definition{}}
	object := map[string]any{}
	if l.properties != nil {
		object = l.properties(s.namespace, s.checkpoint)
		if object == nil {
			object = map[string]any{}
		}
	}
	object[DimensionNamespace] = s.namespace
	if s.checkpoint != "" {
		d.Dimensions = append(d.Dimensions, []string{DimensionNamespace, DimensionCheckpoint})
		object[DimensionCheckpoint] = s.checkpoint
	}
	for _, m := range s.data {
		d.Metrics = append(d.Metrics, definition{m.metric, m.unit})
		if values := sample(m.values); len(values) == 1 {
			object[m.metric] = values[0]
		} else {
			object[m.metric] = values
		}
		if m.parts != nil {
			object[m.metric+"By"+title(m.by)] = m.parts
		}
	}
	object["_aws"] = line{Timestamp: now.UnixMilli(), CloudWatchMetrics: []directive{d}}
	return object
}

// sample returns the values one by one, with fewer copies of each if there are too many. Their
// distribution stays true; counters say how many there were.
func sample(values []value) []float64 {
	total := 0.0
	for _, v := range values {
		total += v.count
	}
	share := min(1, float64(maxValues-len(values))/total)
	var spelt []float64
	for _, v := range values {
		for range max(1, int(math.Floor(v.count*share))) {
			spelt = append(spelt, v.value)
		}
	}
	return spelt
}

func title(word string) string { return string(word[0]-'a'+'A') + word[1:] }

// ForceFlush implements [metric.Exporter]. Export keeps nothing back.
func (l *Lines) ForceFlush(context.Context) error { return nil }

// Shutdown implements [metric.Exporter].
func (l *Lines) Shutdown(context.Context) error { return nil }
