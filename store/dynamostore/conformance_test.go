package dynamostore_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/store/storetest"
	"github.com/milepost-dev/milepost/test/dynamotest"
)

func TestConformance(t *testing.T) {
	client, table := dynamotest.Client(t), dynamotest.Table(t)
	require.NoError(t, dynamostore.CreateTable(t.Context(), client, table, nil))
	storetest.Run(t, storetest.Engine{
		New: func(testing.TB) store.Store { return dynamostore.New(client, table) },
		Damage: map[storetest.Damage]func(testing.TB, store.Store, storetest.Record){
			storetest.NewerFormat:    damage(client, table, "SET #a = :v", "fmt", number("2")),
			storetest.UnknownField:   damage(client, table, "SET #a = :v", "future", text("?")),
			storetest.WrongType:      damageEpoch(client, table),
			storetest.WithoutVersion: damage(client, table, "REMOVE #a", "version", nil),
			storetest.NegativeCount:  damage(client, table, "SET #a = :v", "processed", number("-1")),
		},
		Writes: func(t testing.TB, _ store.Store) storetest.Writes { return writesTo(t, client) },
		Limit:  400 << 10,
	})
}

func number(n string) types.AttributeValue { return &types.AttributeValueMemberN{Value: n} }

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func damage(
	client *dynamodb.Client, table, change, attribute string, value types.AttributeValue,
) func(testing.TB, store.Store, storetest.Record) {
	return func(t testing.TB, _ store.Store, r storetest.Record) {
		t.Helper()
		in := &dynamodb.UpdateItemInput{
			TableName: &table, Key: rawKey(r.Key, sortKey(r)),
			UpdateExpression:         &change,
			ConditionExpression:      aws.String("attribute_exists(pk)"),
			ExpressionAttributeNames: map[string]string{"#a": attribute},
		}
		if value != nil {
			in.ExpressionAttributeValues = map[string]types.AttributeValue{":v": value}
		}
		_, err := client.UpdateItem(t.Context(), in)
		require.NoError(t, err)
	}
}

func damageEpoch(client *dynamodb.Client, table string) func(testing.TB, store.Store, storetest.Record) {
	return func(t testing.TB, s store.Store, r storetest.Record) {
		attribute := "epoch"
		if r.Kind == "V#" {
			attribute = "commit_epoch"
		}
		damage(client, table, "SET #a = :v", attribute, text("one"))(t, s, r)
	}
}

// writesTo are writes into a table of the caller's own.
func writesTo(t testing.TB, client *dynamodb.Client) storetest.Writes {
	theirs := dynamotest.BareTable(t)
	key := func(name string) map[string]types.AttributeValue {
		return map[string]types.AttributeValue{"pk": text(name), "sk": text("-")}
	}
	return storetest.Writes{
		Make: func(name string) store.Write { return dynamostore.Put(theirs, key(name)) },
		Refused: dynamostore.Check(types.ConditionCheck{
			TableName: &theirs, Key: key("never"), ConditionExpression: aws.String("attribute_exists(pk)"),
		}),
		Made: func(name string) bool {
			out, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{
				TableName: &theirs, Key: key(name), ConsistentRead: aws.Bool(true),
			})
			require.NoError(t, err)
			return len(out.Item) > 0
		},
	}
}
