package dynamostore_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store/dynamostore"
)

// BenchmarkCommit measures what the engine adds to a request. It alternates commits of about 1 KiB
// with bare puts of the same item, under the same condition and by the same client. ratio-p50 is a
// commit over a put.
func BenchmarkCommit(b *testing.B) {
	f := setUp(b)
	f.Store = dynamostore.New(f.raw, f.table)
	f.hold(b)
	v := versionOf(1)
	v.State = stateOf(600)
	require.NoError(b, f.commit(b, v))
	bare := f.item(b, "HEAD")
	bare["pk"], bare["name"] = text("default#bare"), text("bare")
	f.put(b, bare)

	var commits, puts []time.Duration
	for b.Loop() {
		v.Number++
		start := time.Now()
		require.NoError(b, f.commit(b, v))
		commits = append(commits, time.Since(start))

		bare["processed"] = number(strconv.FormatInt(v.Number, 10)) // a save that changes something, too
		start = time.Now()
		_, err := f.raw.PutItem(b.Context(), &dynamodb.PutItemInput{
			TableName: &f.table, Item: bare,
			ConditionExpression: aws.String("#epoch = :epoch AND #lease_id = :lease_id AND #version = :version AND #fmt <= :fmt"),
			ExpressionAttributeNames: map[string]string{
				"#epoch": "epoch", "#lease_id": "lease_id", "#version": "version", "#fmt": "fmt",
			},
			ExpressionAttributeValues: map[string]types.AttributeValue{
				":epoch": bare["epoch"], ":lease_id": bare["lease_id"], ":version": bare["version"], ":fmt": bare["fmt"],
			},
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
			ReturnConsumedCapacity:              types.ReturnConsumedCapacityTotal,
		})
		require.NoError(b, err)
		puts = append(puts, time.Since(start))
	}
	slices.Sort(commits)
	slices.Sort(puts)
	commit, put := commits[len(commits)/2], puts[len(puts)/2]
	b.ReportMetric(float64(commit.Microseconds()), "commit-p50-µs")
	b.ReportMetric(float64(put.Microseconds()), "put-p50-µs")
	b.ReportMetric(float64(commit)/float64(put), "ratio-p50")
}
