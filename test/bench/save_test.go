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
	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/test/dynamotest"
)

// far is what a request takes on its way to a region near by and back.
const far = 2 * time.Millisecond

// BenchmarkSaveOverABarePut interleaves saves with conditional puts of the same
// item, with the same condition and flags, by the same client: first to the
// endpoint itself, then as if it were some way off.
func BenchmarkSaveOverABarePut(b *testing.B) {
	near := idle100()
	for _, at := range []struct {
		name      string
		transport http.RoundTripper
	}{{"near", near}, {"far", slow{near, far}}} {
		client := dynamotest.ClientOver(b, at.transport)
		b.Run(at.name+"/apart", func(b *testing.B) { apart(b, newSaved(b, client)) })
		b.Run(at.name+"/back-to-back", func(b *testing.B) { backToBack(b, newSaved(b, client)) })
	}
}

// apart times a save, then a put, each three round trips after another put that
// is not timed: so a save has done what it leaves behind it before the next
// request is timed, and both kinds find client and server as warm.
func apart(b *testing.B, s *saved) {
	wait := 3 * s.roundTrip(b)
	next := func(request func(context.Context) error) time.Duration {
		time.Sleep(wait)
		timed(b, s.other.put)
		time.Sleep(wait)
		return timed(b, request)
	}
	var saves, puts []time.Duration
	for b.Loop() {
		saves = append(saves, next(s.save))
		puts = append(puts, next(s.bare.put))
	}
	report(b, saves, puts)
}

// backToBack alternates runs of each. The first of a run has no other before it
// and is left out.
func backToBack(b *testing.B, s *saved) {
	wait := 3 * s.roundTrip(b)
	run := func(all []time.Duration, request func(context.Context) error) []time.Duration {
		time.Sleep(wait)
		timed(b, request)
		for range 20 {
			all = append(all, timed(b, request))
		}
		return all
	}
	var saves, puts []time.Duration
	for b.Loop() {
		saves = run(saves, s.save)
		puts = run(puts, s.bare.put)
	}
	report(b, saves, puts)
}

// state makes HEAD an item of just under 1 KiB.
type state struct {
	Sum  int64
	Note string
}

var note = strings.Repeat("what a job keeps; ", 30)

// saved is a session, and beside it two items like its HEAD that are put by hand.
type saved struct {
	session     *checkpoint.Session[state]
	state       state
	bare, other *byHand
}

func newSaved(b *testing.B, client *dynamodb.Client) *saved {
	table := dynamotest.Table(b)
	require.NoError(b, dynamostore.CreateTable(b.Context(), client, table, nil))
	session, err := checkpoint.Open[state](b.Context(), dynamostore.New(client, table), "orders/eu", nil)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, session.Close(context.Background(), nil)) })
	s := &saved{session: session, state: state{Note: note}}
	for range 2 { // the second has all that a save in the middle of a session has
		require.NoError(b, s.save(b.Context()))
	}
	head := read(b, client, table, "default#orders/eu", "HEAD")
	s.bare = newByHand(b, client, table, "orders/us", head)
	s.other = newByHand(b, client, table, "orders/jp", head)
	return s
}

func (s *saved) save(ctx context.Context) error {
	s.state.Sum++
	return s.session.Save(ctx, "ord-88123", s.state)
}

// roundTrip is the median of some puts.
func (s *saved) roundTrip(b *testing.B) time.Duration {
	var all []time.Duration
	for range 100 {
		all = append(all, timed(b, s.other.put))
	}
	return median(all)
}

// byHand is one item that is put again and again, each time if its version is
// that of the put before. All that could be made beforehand is.
type byHand struct {
	client  *dynamodb.Client
	request dynamodb.PutItemInput
	version int64
}

func newByHand(b *testing.B, client *dynamodb.Client, table, name string, head map[string]types.AttributeValue) *byHand {
	item := maps.Clone(head)
	item["pk"], item["name"] = text("default#"+name), text(name)
	_, err := client.PutItem(b.Context(), &dynamodb.PutItemInput{TableName: &table, Item: item})
	require.NoError(b, err)
	version, err := strconv.ParseInt(item["version"].(*types.AttributeValueMemberN).Value, 10, 64)
	require.NoError(b, err)
	return &byHand{client: client, version: version, request: dynamodb.PutItemInput{
		TableName: &table, Item: item,
		ConditionExpression: aws.String("#epoch = :epoch AND #lease_id = :lease_id AND #version = :base AND #fmt <= :fmt"),
		ExpressionAttributeNames: map[string]string{
			"#epoch": "epoch", "#lease_id": "lease_id", "#version": "version", "#fmt": "fmt",
		},
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":epoch": item["epoch"], ":lease_id": item["lease_id"], ":fmt": item["fmt"],
		},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		ReturnConsumedCapacity:              types.ReturnConsumedCapacityTotal,
	}}
}

func (h *byHand) put(ctx context.Context) error {
	h.request.ExpressionAttributeValues[":base"] = number(h.version)
	h.version++
	h.request.Item["version"] = number(h.version)
	_, err := h.client.PutItem(ctx, &h.request)
	return err
}

func read(b *testing.B, client *dynamodb.Client, table, pk, sk string) map[string]types.AttributeValue {
	out, err := client.GetItem(b.Context(), &dynamodb.GetItemInput{
		TableName: &table, Key: map[string]types.AttributeValue{"pk": text(pk), "sk": text(sk)},
		ConsistentRead: aws.Bool(true),
	})
	require.NoError(b, err)
	require.NotEmpty(b, out.Item)
	return out.Item
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// slow hands over every reply some time after it came.
type slow struct {
	http.RoundTripper
	by time.Duration
}

func (s slow) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := s.RoundTripper.RoundTrip(req)
	time.Sleep(s.by)
	return res, err
}

func idle100() *http.Transport {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 100
	return transport
}
