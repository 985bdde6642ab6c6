package cloudwatch

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/milepost-dev/milepost/store/metered"
)

// Limits of the service, and of what is kept while it does not answer.
const (
	maxDataPerRequest   = 1000
	maxValuesPerDatum   = 150
	maxValuesPerRequest = 15_000 // keeps a request well below its 1 MB before compression
	maxKept             = 10_000
)

// Client is what [Put] needs of a [*cloudwatch.Client].
type Client interface {
	PutMetricData(context.Context, *cloudwatch.PutMetricDataInput, ...func(*cloudwatch.Options)) (*cloudwatch.PutMetricDataOutput, error)
}

// Put sends metrics by PutMetricData. What could not be sent is sent the next time, with the time that it is of; of more than
// 10,000 data the oldest are dropped.
type Put struct {
	exporting
	known  map[string]metered.Instrument
	client Client
	turn   chan []types.MetricDatum // holds what was not sent yet; who takes it sends
}

var _ metric.Exporter = (*Put)(nil)

// NewPut returns an exporter that sends through client, whose retryer handles throttling.
func NewPut(client Client, instruments []metered.Instrument) *Put {
	p := &Put{known: knownBy(instruments), client: client, turn: make(chan []types.MetricDatum, 1)}
	p.turn <- nil
	return p
}

// Export implements [metric.Exporter]. It returns when ctx ends.
func (p *Put) Export(ctx context.Context, rm *metricdata.ResourceMetrics) error {
	now := time.Now()
	var data []types.MetricDatum
	for _, s := range collect(rm, p.known) {
		data = append(data, s.toData(now)...)
	}
	var kept []types.MetricDatum
	select {
	case kept = <-p.turn:
	case <-ctx.Done():
		return fmt.Errorf("send metrics: %w", context.Cause(ctx))
	}
	kept = append(kept, data...)
	kept = kept[max(0, len(kept)-maxKept):]
	defer func() { p.turn <- kept }()
	for len(kept) > 0 {
		n := requestOf(kept)
		_, err := p.client.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{Namespace: aws.String(Namespace), MetricData: kept[:n]})
		if err != nil {
			return fmt.Errorf("send %d metrics to CloudWatch: %w", len(kept), err)
		}
		kept = kept[n:]
	}
	kept = nil
	return nil
}

// requestOf is how many of data, at least one, go into one request.
func requestOf(data []types.MetricDatum) int {
	values := 0
	for i, d := range data {
		values += len(d.Values)
		if i > 0 && (i == maxDataPerRequest || values > maxValuesPerRequest) {
			return i
		}
	}
	return len(data)
}

// toData are the data of a series: PutMetricData adds nothing up over dimensions, so a checkpoint's are sent for its namespace, too.
func (s *series) toData(now time.Time) []types.MetricDatum {
	dimensions := []types.Dimension{{Name: aws.String(DimensionNamespace), Value: aws.String(s.namespace)}}
	var data []types.MetricDatum
	for _, d := range s.data {
		for from := 0; from < len(d.values); from += maxValuesPerDatum {
			datum := types.MetricDatum{
				MetricName: aws.String(d.metric), Unit: types.StandardUnit(d.unit), Timestamp: aws.Time(now), Dimensions: dimensions,
			}
			for _, v := range d.values[from:min(from+maxValuesPerDatum, len(d.values))] {
				datum.Values, datum.Counts = append(datum.Values, v.value), append(datum.Counts, v.count)
			}
			data = append(data, datum)
			if s.checkpoint != "" {
				datum.Dimensions = append(dimensions[:1:1], types.Dimension{Name: aws.String(DimensionCheckpoint), Value: aws.String(s.checkpoint)})
				data = append(data, datum)
			}
		}
	}
	return data
}

// ForceFlush implements [metric.Exporter].
func (p *Put) ForceFlush(context.Context) error { return nil }

// Shutdown implements [metric.Exporter].
func (p *Put) Shutdown(context.Context) error { return nil }
