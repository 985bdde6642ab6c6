package dynamostore_test

import (
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/internal/protocoltest"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/store/storetest"
	"github.com/milepost-dev/milepost/test/dynamotest"
)

func TestConformance(t *testing.T) { storetest.Run(t, engine(t)) }

func TestProtocol(t *testing.T) { protocoltest.Run(t, engine(t)) }

func engine(t *testing.T) storetest.Engine {
	client := dynamotest.Client(t)
	var tables sync.Map // by store
	damage := func(change, attribute string, value types.AttributeValue) func(testing.TB, store.Store, storetest.Record) {
		return func(t testing.TB, s store.Store, r storetest.Record) {
			t.Helper()
			of, _ := tables.Load(s)
			table := of.(string)
			in := &dynamodb.UpdateItemInput{
				TableName: &table, Key: rawKey(r.Key, r.Name),
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
	return storetest.Engine{
		New: func(t testing.TB) store.Store {
			table := dynamotest.Table(t)
			require.NoError(t, dynamostore.CreateTable(t.Context(), client, table, nil))
			s := dynamostore.New(client, table)
			tables.Store(s, table)
			return s
		},
		Damage: map[storetest.Damage]func(testing.TB, store.Store, storetest.Record){
			storetest.NewerFormat:  damage("SET #a = :v", "fmt", number("2")),
			storetest.UnknownField: damage("SET #a = :v", "future", text("?")),
			storetest.WrongType: func(t testing.TB, s store.Store, r storetest.Record) {
				epoch := "epoch"
				if r.Version > 0 {
					epoch = "commit_epoch"
				}
				damage("SET #a = :v", epoch, text("one"))(t, s, r)
			},
			storetest.WithoutVersion: damage("REMOVE #a", "version", nil),
			storetest.NegativeCount:  damage("SET #a = :v", "processed", number("-1")),
		},
		Writes: func(t testing.TB, _ store.Store) storetest.Writes { return writesTo(t, client) },
		Limit:  400 << 10,
	}
}

func number(n string) types.AttributeValue { return &types.AttributeValueMemberN{Value: n} }

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

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
