package cloudwatch

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/schemas"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/transport/http/protocol/awsquery"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/milepost-dev/milepost/checkpoint/metrics"
)

// service accepts the data that it gets, unless refuse returns an error.
type service struct {
	refuse   func(data []types.MetricDatum) error
	taken    []types.MetricDatum
	requests int
}

func (s *service) PutMetricData(_ context.Context, in *cloudwatch.PutMetricDataInput, _ ...func(*cloudwatch.Options)) (*cloudwatch.PutMetricDataOutput, error) {
	s.requests++
	if s.refuse != nil {
		if err := s.refuse(in.MetricData); err != nil {
			return nil, err
		}
	}
	s.taken = append(s.taken, in.MetricData...)
	out := &cloudwatch.PutMetricDataOutput{}
	awsmiddleware.SetRequestIDMetadata(&out.ResultMetadata, "id")
	return out, nil
}

var aGauge = metrics.Instrument{Name: "milepost.gauge", CloudWatch: "Gauge", Kind: metrics.Gauge, Unit: "s"}

// gauges returns one gauge point for each checkpoint.
func gauges(names ...string) *metricdata.ResourceMetrics {
	var points []metricdata.DataPoint[float64]
	for i, name := range names {
		set := attribute.NewSet(metrics.AttrNamespace.String("default"), metrics.AttrCheckpoint.String(name))
		points = append(points, metricdata.DataPoint[float64]{Attributes: set, Value: float64(i)})
	}
	return &metricdata.ResourceMetrics{ScopeMetrics: []metricdata.ScopeMetrics{{Metrics: []metricdata.Metrics{
		{Name: aGauge.Name, Data: metricdata.Gauge[float64]{DataPoints: points}},
	}}}}
}

func newPut(s *service) *Put { return NewPut(s, []metrics.Instrument{aGauge}) }

func checkpointOf(d types.MetricDatum) string {
	if len(d.Dimensions) < 2 {
		return ""
	}
	return aws.ToString(d.Dimensions[1].Value)
}

func TestUnsentDataIsSentTheNextTimeWithItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{refuse: func([]types.MetricDatum) error { return &smithy.GenericAPIError{Code: "Throttling"} }}
		p := newPut(s)
		first := time.Now()
		require.ErrorContains(t, p.Export(t.Context(), gauges("a")), "send 2 metrics to CloudWatch")
		time.Sleep(time.Minute)
		s.refuse = nil
		require.NoError(t, p.Export(t.Context(), gauges("a")))
		require.Len(t, s.taken, 4)
		assert.True(t, s.taken[0].Timestamp.Equal(first), "%v", s.taken[0].Timestamp)
		assert.True(t, s.taken[3].Timestamp.Equal(first.Add(time.Minute)))
		require.NoError(t, p.Export(t.Context(), gauges()))
		assert.Len(t, s.taken, 4, "each datum is sent once")
	})
}

func TestARefusedDatumDoesNotBlockOthers(t *testing.T) {
	s := &service{refuse: func(data []types.MetricDatum) error {
		for _, d := range data {
			if checkpointOf(d) == "bad" {
				return &smithy.GenericAPIError{Code: "InvalidParameterValue", Message: "it has no value"}
			}
		}
		return nil
	}}
	p := newPut(s)
	names := []string{"a", "b", "bad", "c", "d", "e", "f"}
	require.ErrorContains(t, p.Export(t.Context(), gauges(names...)), "drop Gauge, which CloudWatch refuses")
	assert.Len(t, s.taken, 2*len(names)-1, "one for each checkpoint and one for its namespace")
	s.requests = 0
	require.NoError(t, p.Export(t.Context(), gauges("a")))
	assert.Equal(t, 1, s.requests, "the refused datum is not sent again")
}

func TestDataIsKeptUntilTheRoleMaySend(t *testing.T) {
	s := &service{refuse: func([]types.MetricDatum) error { return &smithy.GenericAPIError{Code: "AccessDenied"} }}
	p := newPut(s)
	require.Error(t, p.Export(t.Context(), gauges("a")))
	assert.Equal(t, 1, s.requests)
	s.refuse = nil
	require.NoError(t, p.Export(t.Context(), gauges()))
	assert.Len(t, s.taken, 2)
}

func TestDataIsKeptWhileAnotherAnswersForTheService(t *testing.T) {
	foreign, requests := true, 0
	client := cloudwatch.New(cloudwatch.Options{
		Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
		HTTPClient: answering(func(*http.Request) *http.Response {
			requests++
			header, body := http.Header{"X-Amzn-Requestid": {"id"}}, `<PutMetricDataResponse><ResponseMetadata/></PutMetricDataResponse>`
			if foreign {
				header, body = http.Header{"Content-Type": {"text/html"}}, "<html>Welcome to this hotel</html>"
			}
			return &http.Response{StatusCode: 200, Header: header, Body: readCloser{strings.NewReader(body)}}
		}),
	}, func(o *cloudwatch.Options) { o.Protocol = awsquery.New(schemas.GraniteServiceVersion20100801) })
	p := NewPut(client, []metrics.Instrument{aGauge})
	require.ErrorContains(t, p.Export(t.Context(), gauges("a")), "send 2 metrics to CloudWatch")
	foreign, requests = false, 0
	require.NoError(t, p.Export(t.Context(), gauges()))
	assert.Equal(t, 1, requests, "they are sent again")
}

type answering func(*http.Request) *http.Response

func (a answering) Do(r *http.Request) (*http.Response, error) { return a(r), nil }

func TestTheOldestOfTooManyDataAreDropped(t *testing.T) {
	s := &service{refuse: func([]types.MetricDatum) error { return errors.New("unreachable") }}
	p := newPut(s)
	for range 3 {
		require.Error(t, p.Export(t.Context(), gauges(named(2_000)...)))
	}
	require.Error(t, p.Export(t.Context(), gauges("last")))
	s.refuse = nil
	require.NoError(t, p.Export(t.Context(), gauges()))
	assert.Len(t, s.taken, maxKept)
	assert.Equal(t, "last", checkpointOf(s.taken[maxKept-1]))
}

// The test measures the requests of the real client, with the longest possible names.
func TestNoRequestIsLargerThanTheServiceTakes(t *testing.T) {
	for name, names := range map[string][]string{
		"short":                     named(1_100),
		"long":                      longer(named(1_100), strings.Repeat("x", 500)),
		"long, and escaped again":   longer(named(1_100), strings.Repeat("ü", 250)),
		"one long name that is cut": longer(named(1), strings.Repeat("\xff", 900)),
		"with spaces and ampersand": longer(named(1_100), strings.Repeat(" &", 250)),
	} {
		t.Run(name, func(t *testing.T) {
			largest, sent := 0, 0
			client := cloudwatch.New(cloudwatch.Options{
				Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""), DisableRequestCompression: true,
				HTTPClient: measuring(func(size int) { largest, sent = max(largest, size), sent+1 }),
			}, func(o *cloudwatch.Options) { o.Protocol = awsquery.New(schemas.GraniteServiceVersion20100801) })
			p := NewPut(client, []metrics.Instrument{aGauge})
			require.NoError(t, p.Export(t.Context(), gauges(names...)))
			assert.Less(t, largest, 1<<20)
			assert.GreaterOrEqual(t, sent, (2*len(names)+maxDataPerRequest-1)/maxDataPerRequest)
			if len(names) > 1 {
				assert.Greater(t, largest, 200_000, "requests are well filled")
			}
		})
	}
}

type measuring func(size int)

func (m measuring) Do(r *http.Request) (*http.Response, error) {
	m(int(r.ContentLength))
	body := `<PutMetricDataResponse><ResponseMetadata/></PutMetricDataResponse>`
	return &http.Response{StatusCode: 200, Header: http.Header{"X-Amzn-Requestid": {"id"}}, Body: readCloser{strings.NewReader(body)}, Request: r}, nil
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }
