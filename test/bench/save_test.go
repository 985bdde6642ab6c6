package bench

import (
	"context"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/test/dynamotest"
)

// far is the least round trip time to a nearby region.
const far = 2 * time.Millisecond

// BenchmarkSaveOnDynamoDB interleaves saves with bare conditional puts of the same item, with the
// same condition and flags, by the same client. The endpoint is near, or made to look far. A save
// encodes its state as JSON, and a put has its bytes ready; if the state is bytes, neither encodes.
func BenchmarkSaveOnDynamoDB(b *testing.B) {
	near := transport()
	for _, at := range []struct {
		name      string
		transport http.RoundTripper
	}{{"near", near}, {"far", slow{near, far}}} {
		client := dynamotest.ClientOver(b, at.transport)
		b.Run(at.name+"/apart", func(b *testing.B) { onDynamoDB(b, client, asJSON).apart(b) })
		b.Run(at.name+"/apart-bytes", func(b *testing.B) { onDynamoDB(b, client, asBytes).apart(b) })
		b.Run(at.name+"/back-to-back", func(b *testing.B) { onDynamoDB(b, client, asJSON).backToBack(b) })
	}
}

// state makes HEAD an item of just under 1 KiB.
type state struct {
	Sum  int64
	Note string
}

var note = strings.Repeat("what a job keeps; ", 30)

func asJSON(n int64) state { return state{Sum: n, Note: note} }

func asBytes(n int64) []byte { return strconv.AppendInt([]byte(note), n, 10) }

// open returns a session that has made its first saves, and a request that makes the next save.
func open[T any](b *testing.B, st store.Store, state func(int64) T) (*checkpoint.Session[T], request) {
	session, err := checkpoint.Open[T](b.Context(), checkpoint.Namespace{Store: st}, "orders/eu", nil)
	require.NoError(b, err)
	n := int64(0)
	save := func(ctx context.Context) error {
		n++
		return session.Save(ctx, "ord-88123", state(n))
	}
	for range 2 {
		require.NoError(b, save(b.Context()))
	}
	return session, save
}

func closeSession[T any](b *testing.B, s *checkpoint.Session[T]) {
	require.NoError(b, s.Close(context.Background(), nil))
}

func onDynamoDB[T any](b *testing.B, client *dynamodb.Client, state func(int64) T) *duel {
	table := dynamotest.Table(b)
	require.NoError(b, dynamostore.CreateTable(b.Context(), client, table, nil))
	session, save := open(b, dynamostore.New(client, table), state)
	b.Cleanup(func() { closeSession(b, session) })
	head := readItem(b, client, table, "default#orders/eu", "HEAD")
	return &duel{
		save:   save,
		byHand: putAgain(b, client, table, "orders/us", head),
		other:  putAgain(b, client, table, "orders/jp", head),
	}
}

// putAgain puts an item like head under another name. It returns a request that puts the item again
// if its version is that of the put before. The request is prepared as far as possible.
func putAgain(b *testing.B, client *dynamodb.Client, table, name string, head item) request {
	it := maps.Clone(head)
	it["pk"], it["name"] = text("default#"+name), text(name)
	_, err := client.PutItem(b.Context(), &dynamodb.PutItemInput{TableName: &table, Item: it})
	require.NoError(b, err)
	version, err := strconv.ParseInt(it["version"].(*types.AttributeValueMemberN).Value, 10, 64)
	require.NoError(b, err)
	put := dynamodb.PutItemInput{
		TableName: &table, Item: it,
		ConditionExpression: aws.String("#epoch = :epoch AND #lease_id = :lease_id AND #version = :base AND #fmt <= :fmt"),
		ExpressionAttributeNames: map[string]string{
			"#epoch": "epoch", "#lease_id": "lease_id", "#version": "version", "#fmt": "fmt",
		},
		ExpressionAttributeValues:           item{":epoch": it["epoch"], ":lease_id": it["lease_id"], ":fmt": it["fmt"]},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		ReturnConsumedCapacity:              types.ReturnConsumedCapacityTotal,
	}
	return func(ctx context.Context) error {
		put.ExpressionAttributeValues[":base"] = it["version"]
		version++
		it["version"] = number(version)
		_, err := client.PutItem(ctx, &put)
		return err
	}
}

type item = map[string]types.AttributeValue

func readItem(tb testing.TB, client *dynamodb.Client, table, pk, sk string) item {
	out, err := client.GetItem(tb.Context(), &dynamodb.GetItemInput{
		TableName: &table, Key: item{"pk": text(pk), "sk": text(sk)}, ConsistentRead: aws.Bool(true),
	})
	require.NoError(tb, err)
	require.NotEmpty(tb, out.Item)
	return out.Item
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// transport keeps more idle connections than net/http's default.
func transport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 100
	return t
}

// slow delays every reply.
type slow struct {
	http.RoundTripper
	by time.Duration
}

func (s slow) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := s.RoundTripper.RoundTrip(req)
	time.Sleep(s.by)
	return res, err
}
