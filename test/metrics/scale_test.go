package metrics_test

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/survey"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/store/sqlitestore"
	"github.com/milepost-dev/milepost/test/dynamotest"
)

// many is the number of checkpoints that the tests of scale survey.
const many = 10_000

// The most that a survey may cost: one request for each MaxPeek checkpoints, and one for each page
// of names.
const (
	maxRequests = (many+store.MaxPeek-1)/store.MaxPeek + 3
	maxUnits    = 1.5*many + 100 // half a unit for HEAD, LEASE and EXPECT each, there or not, and for each 4 KiB of names
	maxInFlight = 8 + 1          // the peeks, and the page of names ahead of them
)

func TestStatusOver10000CheckpointsTakesABoundedNumberOfRequests(t *testing.T) {
	name := tableOf(t, many)
	var sent counted
	st := dynamostore.New(dynamotest.ClientOver(t, &sent), name)
	surveyed(t, st, many)
	assert.LessOrEqual(t, sent.requests.Load(), int64(maxRequests))
	assert.LessOrEqual(t, sent.most.Load(), int64(maxInFlight), "requests at once")
	assert.LessOrEqual(t, st.Cost().ReadUnits, maxUnits)
	assert.Equal(t, sent.requests.Load(), st.Cost().Requests)

	out, said := must(t, dynamotest.Env(t), "status", "-o", "json", "-v", "--store", urlOf(t, name))
	assert.Equal(t, many, strings.Count(out, "\n"))
	cost := regexp.MustCompile(`cost ([\d,]+) requests, [\d.]+ write units, ([\d.]+) read units`).FindStringSubmatch(said)
	require.NotNil(t, cost, said)
	requests, err := strconv.ParseInt(strings.ReplaceAll(cost[1], ",", ""), 10, 64)
	require.NoError(t, err)
	assert.Equal(t, sent.requests.Load(), requests, "the command sends the same number of requests")

	out, said = must(t, dynamotest.Env(t), "monitor", "--once", "--no-gc", "-v", "--metrics", "emf", "--store", urlOf(t, name))
	assert.Contains(t, out, fmt.Sprintf(`"Checkpoints":%d`, many))
	assert.Contains(t, said, "cost "+cost[1]+" requests", "the monitor sends the same number of requests")
}

// BenchmarkStatus is what status reads and works out of 10,000 checkpoints, of which none is held;
// on DynamoDB interleaved with a loop that asks for the same items, as many in a request and
// requests at once, and looks at none of them.
func BenchmarkStatus(b *testing.B) {
	b.Run("dynamodb", func(b *testing.B) {
		name, client := tableOf(b, many), dynamotest.Client(b)
		st := dynamostore.New(client, name)
		var status, bare []time.Duration
		var cost dynamostore.Cost
		for b.Loop() {
			before := st.Cost()
			status = append(status, timing(func() { surveyed(b, st, many) }))
			after := st.Cost()
			cost = dynamostore.Cost{Requests: after.Requests - before.Requests, ReadUnits: after.ReadUnits - before.ReadUnits}
			bare = append(bare, timing(func() { readBare(b, client, name) }))
		}
		reportStatus(b, status)
		b.ReportMetric(float64(cost.Requests), "requests")
		b.ReportMetric(cost.ReadUnits, "RCU")
		b.ReportMetric(float64(median(bare).Milliseconds()), "bare-p50-ms")
		b.ReportMetric(float64(median(status))/float64(median(bare)), "x-bare")
	})
	b.Run("sqlite", func(b *testing.B) {
		st := fileOf(b, many)
		var status []time.Duration
		for b.Loop() {
			status = append(status, timing(func() { surveyed(b, st, many) }))
		}
		reportStatus(b, status)
	})
}

func reportStatus(b *testing.B, status []time.Duration) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(median(status).Milliseconds()), "p50-ms")
}

func timing(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

// surveyed does what status does before it prints.
func surveyed(t testing.TB, st store.Store, n int) {
	t.Helper()
	items, err := survey.Look(t.Context(), st, "default", "")
	require.NoError(t, err)
	require.Len(t, items, n)
	survey.Worst(items)
	var memory survey.Memory
	_, err = memory.Recall(t.Context(), st, items)
	require.NoError(t, err)
}

func readBare(b *testing.B, client *dynamodb.Client, table string) {
	batches := make(chan []map[string]types.AttributeValue)
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			for keys := range batches {
				_, err := client.BatchGetItem(b.Context(), &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{table: {Keys: keys}}})
				assert.NoError(b, err)
			}
		})
	}
	for from := 0; from < many; from += store.MaxPeek {
		var keys []map[string]types.AttributeValue
		for i := from; i < min(from+store.MaxPeek, many); i++ {
			for _, sk := range []string{"EXPECT", "HEAD", "LEASE"} {
				keys = append(keys, itemKey(i, sk))
			}
		}
		batches <- keys
	}
	close(batches)
	readers.Wait()
}

// counted is a transport that counts.
type counted struct {
	requests, now, most atomic.Int64
}

func (c *counted) RoundTrip(req *http.Request) (*http.Response, error) {
	c.requests.Add(1)
	now := c.now.Add(1)
	defer c.now.Add(-1)
	for most := c.most.Load(); now > most; most = c.most.Load() {
		if c.most.CompareAndSwap(most, now) {
			break
		}
	}
	return http.DefaultTransport.RoundTrip(req)
}

func jobName(i int) string { return fmt.Sprintf("jobs/%06d", i) }

func itemKey(i int, sk string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: "default#" + jobName(i)}, "sk": &types.AttributeValueMemberS{Value: sk},
	}
}

func urlOf(t testing.TB, table string) string {
	t.Helper()
	url := "dynamodb://" + table
	if endpoint := dynamotest.Endpoint(t); endpoint != "" {
		url += "?endpoint=" + endpoint
	}
	return url
}

// fileOf returns a store on SQLite with n checkpoints, as [tableOf] has them.
func fileOf(t testing.TB, n int) store.Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "jobs.db")
	st, err := sqlitestore.Open(t.Context(), path, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	require.NoError(t, checkpoint.Run(t.Context(), checkpoint.Namespace{Store: st}, jobName(0), func(_ context.Context, s *checkpoint.Session[int]) error { s.Mark("100", nil); return nil }, nil))
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	defer db.Close()
	for _, table := range []string{"milepost_head", "milepost_lease"} {
		var columns string
		err := db.QueryRowContext(t.Context(), "SELECT group_concat(name) FROM pragma_table_info(?) WHERE name NOT IN ('ns', 'name')", table).Scan(&columns)
		require.NoError(t, err)
		_, err = db.ExecContext(t.Context(), fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "+
			"INSERT INTO %[1]s (ns, name, %[2]s) SELECT ns, printf('jobs/%%06d', i), %[2]s FROM %[1]s, n WHERE name = ?", table, columns), n-1, jobName(0))
		require.NoError(t, err)
	}
	return st
}

// tableOf returns the name of a table with n checkpoints, each saved once and its lease free.
func tableOf(t testing.TB, n int) string {
	t.Helper()
	client, name := dynamotest.Client(t), dynamotest.Table(t)
	require.NoError(t, dynamostore.CreateTable(t.Context(), client, name, &dynamostore.CreateOptions{NoDeletionProtection: true}))
	require.NoError(t, checkpoint.Run(t.Context(), checkpoint.Namespace{Store: dynamostore.New(client, name)}, jobName(0),
		func(_ context.Context, s *checkpoint.Session[int]) error { s.Mark("100", nil); return nil }, nil))
	record := func(sk string) map[string]types.AttributeValue {
		found, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &name, Key: itemKey(0, sk)})
		require.NoError(t, err)
		require.NotEmpty(t, found.Item, sk)
		return found.Item
	}
	head, lease := record("HEAD"), record("LEASE")
	batches := make(chan []types.WriteRequest)
	var loaders sync.WaitGroup
	for range 8 {
		loaders.Go(func() {
			for batch := range batches {
				for len(batch) > 0 {
					out, err := client.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{name: batch}})
					if !assert.NoError(t, err) {
						break
					}
					batch = out.UnprocessedItems[name]
				}
			}
		})
	}
	var batch []types.WriteRequest
	for i := 1; i < n; i++ {
		for _, of := range []map[string]types.AttributeValue{head, lease} {
			it := maps.Clone(of)
			maps.Copy(it, itemKey(i, it["sk"].(*types.AttributeValueMemberS).Value))
			if _, listed := it["name"]; listed {
				it["name"] = &types.AttributeValueMemberS{Value: jobName(i)}
			}
			batch = append(batch, types.WriteRequest{PutRequest: &types.PutRequest{Item: it}})
		}
		if len(batch) >= 24 || i == n-1 {
			batches <- batch
			batch = nil
		}
	}
	close(batches)
	loaders.Wait()
	return name
}
