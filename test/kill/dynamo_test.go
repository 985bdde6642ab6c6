//go:build linux

package kill_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/test/dynamotest"
	"github.com/milepost-dev/milepost/test/faulthttp"
)

// table is a DynamoDB table for the checkpoints of jobs, which reach it through a proxy.
type table struct {
	name, proxy string
	environment []string
	faults      *faulthttp.Transport
	client      *dynamodb.Client
}

func newTable(t *testing.T) *table {
	t.Helper()
	tb := &table{
		name: dynamotest.Table(t), environment: dynamotest.Env(t),
		faults: faulthttp.New(nil), client: dynamotest.Client(t),
	}
	tb.proxy = faulthttp.Proxy(t, dynamotest.Endpoint(t), tb.faults)
	require.NoError(t, dynamostore.CreateTable(t.Context(), tb.client, tb.name, nil))
	return tb
}

func (tb *table) url() string        { return "dynamodb://" + tb.name + "?endpoint=" + tb.proxy }
func (tb *table) env() []string      { return tb.environment }
func (tb *table) store() store.Store { return dynamostore.New(tb.client, tb.name) }

func (tb *table) writes() []write {
	return []write{headSent, headLanded, copySent, copyLanded, releaseSent, releaseLanded}
}

func (tb *table) hold(_ *testing.T, _ *job, w write) (reached func() bool, undo func()) {
	fault := faulthttp.Hang()
	if w == headLanded || w == copyLanded || w == releaseLanded {
		fault = faulthttp.AfterSending(fault)
	}
	rule := tb.faults.When(func(r faulthttp.Request) bool { return isWrite(r, w) }, fault)
	return func() bool { return rule.Hits() > 0 }, rule.Remove
}

// isWrite recognizes a kind of write by its record.
func isWrite(r faulthttp.Request, w write) bool {
	body := string(r.Body)
	switch w {
	case headSent, headLanded:
		return r.Op == "PutItem" && strings.Contains(body, `{"S":"HEAD"}`)
	case copySent, copyLanded:
		return r.Op == "PutItem" && strings.Contains(body, `{"S":"V#`)
	}
	return r.Op == "UpdateItem" && strings.Contains(body, `{"S":"LEASE"}`) && strings.Contains(body, `{"S":"free"}`)
}

func (tb *table) elsewhere(t *testing.T, key store.Key) {
	t.Helper()
	_, err := tb.client.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName: &tb.name,
		Key: map[string]types.AttributeValue{
			"pk": &types.AttributeValueMemberS{Value: key.Namespace + "#" + key.Name},
			"sk": &types.AttributeValueMemberS{Value: "LEASE"},
		},
		ConditionExpression:       aws.String("attribute_exists(holder.boot)"),
		UpdateExpression:          aws.String("SET holder.boot = :boot"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":boot": &types.AttributeValueMemberS{Value: "of another machine"}},
	})
	require.NoError(t, err)
}

func (tb *table) twoHoursLater(*testing.T, store.Key) {
	tb.faults.On(faulthttp.Any, faulthttp.Each, faulthttp.MoveDate(2*time.Hour))
}
