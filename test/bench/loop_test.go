package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/test/dynamotest"
)

// BenchmarkLoop compares a loop with marks, and background saves every 1,000 records, with the same
// loop without them. The two alternate, 1,000 records each, so that each stretch with marks has one
// save. Shorter records mean more saves a second: 100 at 10 µs each.
//
// The endpoint of a test run shares this machine's cores, so its work also slows the loop.
// elsewhere removes that work, and keeps all work of Milepost and the SDK.
func BenchmarkLoop(b *testing.B) {
	for _, record := range []time.Duration{10 * time.Microsecond, 100 * time.Microsecond} {
		b.Run("sqlite/"+record.String(), func(b *testing.B) {
			loop(b, sqliteStore(b, newFile(b)), record, func() {})
		})
		b.Run("dynamodb/"+record.String(), func(b *testing.B) {
			loop(b, dynamoStore(b, transport()), record, func() {})
		})
		b.Run("dynamodb-elsewhere/"+record.String(), func(b *testing.B) {
			away := &elsewhere{RoundTripper: transport()}
			loop(b, dynamoStore(b, away), record, func() { away.from.Store(true) })
		})
	}
}

func dynamoStore(b *testing.B, over http.RoundTripper) *dynamostore.Store {
	client, table := dynamotest.ClientOver(b, over), dynamotest.Table(b)
	require.NoError(b, dynamostore.CreateTable(b.Context(), client, table, nil))
	return dynamostore.New(client, table)
}

func loop(b *testing.B, st store.Store, record time.Duration, opened func()) {
	s, err := checkpoint.Open[state](b.Context(), checkpoint.Namespace{Store: st}, "orders/eu", nil)
	require.NoError(b, err)
	opened()
	cursors := make([]string, 1000)
	for i := range cursors {
		cursors[i] = fmt.Sprintf("ord-%06d", i)
	}
	work := calibrated(record)
	without := func(context.Context) error {
		for range cursors {
			work()
		}
		return nil
	}
	with := func(context.Context) error {
		for i, cursor := range cursors {
			work()
			s.Mark(cursor, func(v *state) { v.Sum += int64(i) })
		}
		return nil
	}
	var ratios []float64
	var records []time.Duration
	for len(ratios) < 10 || b.Loop() { // at least ten, however slow the machine is
		bare := timed(b, without)
		marked := timed(b, with) + timed(b, with)
		bare += timed(b, without) // so that drift favours neither
		ratios = append(ratios, float64(marked)/float64(bare))
		records = append(records, bare/time.Duration(2*len(cursors)))
	}
	require.NoError(b, s.Close(context.Background(), nil))
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "x-without")
	b.ReportMetric(float64(len(ratios)), "pairs")
	b.ReportMetric(float64(s.Version())/float64(2*len(ratios)), "saves/stretch")
	b.ReportMetric(float64(median(records).Nanoseconds())/1e3, "µs/record")
	b.ReportMetric(0, "ns/op")
}

// elsewhere answers every put itself, some milliseconds later, as a service on another machine
// would.
type elsewhere struct {
	http.RoundTripper
	from atomic.Bool // now on
}

func (e *elsewhere) RoundTrip(req *http.Request) (*http.Response, error) {
	if !e.from.Load() || !strings.HasSuffix(req.Header.Get("X-Amz-Target"), ".PutItem") {
		return e.RoundTripper.RoundTrip(req)
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return nil, err
	}
	time.Sleep(far)
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: http.Header{
			"Content-Type": {"application/x-amz-json-1.0"},
			"Date":         {time.Now().UTC().Format(http.TimeFormat)},
		},
		Body: io.NopCloser(strings.NewReader(`{"ConsumedCapacity":{"TableName":"t","CapacityUnits":1}}`)),
	}, nil
}

var sunk uint64

// calibrated returns work that takes about d on an idle machine.
func calibrated(d time.Duration) func() {
	spin := func(n int) {
		x := sunk | 1
		for range n {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
		}
		sunk = x
	}
	const probe = 1_000_000
	best := time.Hour
	for range 10 {
		start := time.Now()
		spin(probe)
		best = min(best, time.Since(start))
	}
	n := int(probe*d/best) + 1
	return func() { spin(n) }
}
