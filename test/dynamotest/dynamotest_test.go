package dynamotest_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/test/dynamotest"
)

func TestABareTableTakesItemsAtOnce(t *testing.T) {
	client, table := dynamotest.Client(t), dynamotest.BareTable(t)
	item := map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: "orders/eu"},
		"sk": &types.AttributeValueMemberS{Value: "HEAD"},
	}
	_, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: item})
	require.NoError(t, err)
	got, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: &table, Key: item, ConsistentRead: aws.Bool(true),
	})
	require.NoError(t, err)
	assert.Equal(t, item, got.Item)
}

func TestTableNamesAreUniqueAndNameTheirTest(t *testing.T) {
	t.Run("with a/long name: "+strings.Repeat("é", 300), func(t *testing.T) {
		first, second := dynamotest.Table(t), dynamotest.Table(t)
		assert.NotEqual(t, first, second)
		assert.Regexp(t, `^milepost-TestTableNamesAreUnique[A-Za-z0-9_.-]+$`, first)
		assert.LessOrEqual(t, len(first), 255)
	})
}

func TestATableIsDeletedAfterItsTestEvenIfProtected(t *testing.T) {
	client := dynamotest.Client(t)
	var table string
	t.Run("uses a table", func(t *testing.T) {
		table = dynamotest.BareTable(t)
		_, err := client.UpdateTable(t.Context(), &dynamodb.UpdateTableInput{
			TableName: &table, DeletionProtectionEnabled: aws.Bool(true),
		})
		require.NoError(t, err)
	})
	described, err := client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &table})
	if err == nil { // AWS takes its time
		assert.Equal(t, types.TableStatusDeleting, described.Table.TableStatus)
		return
	}
	var gone *types.ResourceNotFoundException
	assert.ErrorAs(t, err, &gone)
}

func TestEnvLeadsAnotherProcessToTheSameEndpoint(t *testing.T) {
	env := dynamotest.Env(t)
	want := dynamotest.Endpoint(t)
	if want == "" {
		want = "aws"
	}
	assert.Contains(t, env, "MILEPOST_TEST_DYNAMODB="+want)
}
