package metrics_test

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/test/dynamotest"
)

func TestStatusOver10000CheckpointsTakesABoundedNumberOfRequests(t *testing.T) {
	const n = 10_000
	table, env := tableOf(t, n)
	began := time.Now()
	out, said := must(t, env, "status", "-o", "json", "-v", "--store", table)
	took := time.Since(began)
	assert.Equal(t, n, strings.Count(out, "\n"))
	cost := regexp.MustCompile(`cost ([\d,]+) requests, [\d.]+ write units, ([\d.]+) read units`).FindStringSubmatch(said)
	require.NotNil(t, cost, said)
	requests, err := strconv.Atoi(strings.ReplaceAll(cost[1], ",", ""))
	require.NoError(t, err)
	units, err := strconv.ParseFloat(cost[2], 64)
	require.NoError(t, err)
	t.Logf("status over %d checkpoints: %d requests, %.1f read units, %v", n, requests, units, took)

	const peeks, pages = (n + store.MaxPeek - 1) / store.MaxPeek, 3
	assert.LessOrEqual(t, requests, peeks+pages)
	// Half a unit for HEAD, LEASE and EXPECT each, of which two are absent here; half a unit for each 4 KiB of names.
	assert.LessOrEqual(t, units, 1.5*n+100)

	out, said = must(t, env, "monitor", "--once", "--no-gc", "-v", "--metrics", "emf", "--store", table)
	assert.Contains(t, out, fmt.Sprintf(`"Checkpoints":%d`, n))
	assert.Contains(t, said, "cost "+cost[1]+" requests", "the monitor takes as many")
}

// tableOf returns the URL of a table with n checkpoints.
func tableOf(t *testing.T, n int) (url string, env []string) {
	t.Helper()
	client, name := dynamotest.Client(t), dynamotest.Table(t)
	require.NoError(t, dynamostore.CreateTable(t.Context(), client, name, &dynamostore.CreateOptions{NoDeletionProtection: true}))
	require.NoError(t, checkpoint.Run(t.Context(), dynamostore.New(client, name), "jobs/first",
		func(_ context.Context, s *checkpoint.Session[int]) error { s.Mark("100", nil); return nil }, nil))
	found, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &name, Key: map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: "default#jobs/first"}, "sk": &types.AttributeValueMemberS{Value: "HEAD"},
	}})
	require.NoError(t, err)
	var loaders sync.WaitGroup
	batches := make(chan []types.WriteRequest)
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
		it := maps.Clone(found.Item)
		job := fmt.Sprintf("jobs/%06d", i)
		it["pk"], it["name"] = &types.AttributeValueMemberS{Value: "default#" + job}, &types.AttributeValueMemberS{Value: job}
		batch = append(batch, types.WriteRequest{PutRequest: &types.PutRequest{Item: it}})
		if len(batch) == 25 || i == n-1 {
			batches <- batch
			batch = nil
		}
	}
	close(batches)
	loaders.Wait()
	url = "dynamodb://" + name
	if endpoint := dynamotest.Endpoint(t); endpoint != "" {
		url += "?endpoint=" + endpoint
	}
	return url, dynamotest.Env(t)
}
