package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/milepost-dev/milepost/checkpoint/metrics"
)

// Limits of the service, and of the data kept while the service does not answer.
const (
	maxDataPerRequest  = 1000
	maxValuesPerDatum  = 150
	maxBytesPerRequest = 900_000 // of 1 MB, before compression
	maxKept            = 10_000
)

// Client is what [Put] needs of a [*cloudwatch.Client].
type Client interface {
	PutMetricData(context.Context, *cloudwatch.PutMetricDataInput, ...func(*cloudwatch.Options)) (*cloudwatch.PutMetricDataOutput, error)
}

// Put sends metrics by PutMetricData. Data that could not be sent are kept, with their time, for
// the next Export; of more than 10,000 data the oldest are dropped. Data that the service refuses
// for their content are dropped too, so that they do not block other data. A request whose answer
// was lost is sent again, and then counts twice.
type Put struct {
	exporting
	known  map[string]metrics.Instrument
	client Client
	turn   chan []types.MetricDatum // holds the unsent data, which Export takes while it sends
}

var _ metric.Exporter = (*Put)(nil)

// NewPut returns an exporter that sends through client, whose retryer handles throttling.
func NewPut(client Client, instruments []metrics.Instrument) *Put {
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
	var refused []error
	for len(kept) > 0 {
		n := requestOf(kept)
		if err := p.send(ctx, kept[:n], &refused); err != nil {
			return errors.Join(append(refused, fmt.Errorf("send %d metrics to CloudWatch: %w", len(kept), err))...)
		}
		kept = kept[n:]
	}
	kept = nil
	return errors.Join(refused...)
}

// send sends data in one request. If the service refuses the request, send halves the data until it
// finds the refused datum.
func (p *Put) send(ctx context.Context, data []types.MetricDatum, refused *[]error) error {
	out, err := p.client.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{Namespace: aws.String(Namespace), MetricData: data})
	if err == nil {
		// Nothing else in the reply is the service's: a proxy's page would be a success, too.
		if _, ok := awsmiddleware.GetRequestIDMetadata(out.ResultMetadata); !ok {
			err = errors.New("the reply has no request id, so it is not CloudWatch's: a proxy or a captive portal may have answered instead")
		}
	}
	switch {
	case err == nil, !isRefusal(err):
		return err
	case len(data) == 1:
		*refused = append(*refused, fmt.Errorf("drop %s, which CloudWatch refuses: %w", aws.ToString(data[0].MetricName), err))
		return nil
	}
	half := len(data) / 2
	if err := p.send(ctx, data[:half], refused); err != nil {
		return err
	}
	return p.send(ctx, data[half:], refused)
}

// isRefusal reports whether the service says that it will never accept the request.
func isRefusal(err error) bool {
	if response, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && response.HTTPStatusCode() == http.StatusRequestEntityTooLarge {
		return true
	}
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return false
	}
	switch api.ErrorCode() {
	case "InvalidParameterValue", "InvalidParameterCombination", "InvalidFormat", "MissingParameter", "MissingRequiredParameter", "ValidationError":
		return true
	}
	return false
}

// requestOf returns how many of data, at least one, go into one request.
func requestOf(data []types.MetricDatum) int {
	size := 0
	for i := range data {
		size += sizeOf(&data[i])
		if i > 0 && (i == maxDataPerRequest || size > maxBytesPerRequest) {
			return i
		}
	}
	return len(data)
}

// sizeOf returns the most bytes that a datum takes in a request in the query protocol's form.
func sizeOf(d *types.MetricDatum) int {
	const each = len("&MetricData.member.1000.Dimensions.member.2.Value=") + len("&MetricData.member.1000.Dimensions.member.2.Name=Namespace")
	const fixed = len("&MetricData.member.1000.MetricName=") + len("&MetricData.member.1000.Timestamp=2026-01-01T00%3A00%3A00.000Z") +
		len("&MetricData.member.1000.Unit=Count%2FSecond")
	const value = len("&MetricData.member.1000.Values.member.150=-1.7976931348623157e%2B308") + len("&MetricData.member.1000.Counts.member.150=1.7976931348623157e%2B308")
	size := fixed + len(aws.ToString(d.MetricName)) + value*len(d.Values)
	for _, dimension := range d.Dimensions {
		size += each + len(url.QueryEscape(aws.ToString(dimension.Value)))
	}
	return size
}

// toData returns the data of a series. PutMetricData does not add up over dimensions, so a
// checkpoint's data are sent for its namespace too.
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
