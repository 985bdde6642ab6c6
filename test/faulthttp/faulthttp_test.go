package faulthttp_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/milepost-dev/milepost/test/dynamotest"
	"github.com/milepost-dev/milepost/test/faulthttp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// table is a DynamoDB table behind faults, asked once for each call.
type table struct {
	name   string
	faults *faulthttp.Transport
	client *dynamodb.Client
	beside *dynamodb.Client // the same table without faults
}

func newTable(t *testing.T) table {
	t.Helper()
	faults := faulthttp.New(nil)
	return table{
		name:   dynamotest.BareTable(t),
		faults: faults,
		client: dynamotest.ClientOver(t, faults),
		beside: dynamotest.Client(t),
	}
}

func once(o *dynamodb.Options) { o.RetryMaxAttempts = 1 }

func key(pk string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: pk},
		"sk": &types.AttributeValueMemberS{Value: "HEAD"},
	}
}

// create puts a new item.
func (b table) create(ctx context.Context, pk string) error {
	_, err := b.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &b.name, Item: key(pk), ConditionExpression: aws.String("attribute_not_exists(pk)"),
	}, once)
	return err
}

func (b table) has(t *testing.T, pk string) bool {
	t.Helper()
	got, err := b.beside.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: &b.name, Key: key(pk), ConsistentRead: aws.Bool(true),
	})
	require.NoError(t, err)
	return got.Item != nil
}

func TestAWriteWhoseReplyIsLostLands(t *testing.T) {
	b := newTable(t)
	rule := b.faults.On("PutItem", 1, faulthttp.LoseReply())
	assert.ErrorIs(t, b.create(t.Context(), "a"), syscall.ECONNRESET)
	assert.True(t, b.has(t, "a"))
	assert.Equal(t, 1, rule.Hits())
}

func TestALostOrRefusedRequestDidNotLand(t *testing.T) {
	b := newTable(t)
	b.faults.On("PutItem", 1, faulthttp.LoseRequest())
	b.faults.On("PutItem", 2, faulthttp.Refuse())
	assert.ErrorIs(t, b.create(t.Context(), "a"), syscall.ECONNRESET)
	err := b.create(t.Context(), "a")
	assert.ErrorIs(t, err, syscall.ECONNREFUSED)
	var op *net.OpError
	require.ErrorAs(t, err, &op)
	assert.Equal(t, "dial", op.Op)
	assert.False(t, b.has(t, "a"))
}

func TestAHeldWriteLandsWhenItIsDelivered(t *testing.T) {
	b := newTable(t)
	var late faulthttp.Late
	b.faults.On("PutItem", 1, late.Hold())
	ctx, cancel := context.WithCancel(t.Context())
	var timeout net.Error
	require.ErrorAs(t, b.create(ctx, "a"), &timeout)
	assert.True(t, timeout.Timeout())
	cancel() // the sender has long gone

	assert.False(t, b.has(t, "a"))
	assert.Equal(t, 1, late.Kept())
	statuses, err := late.Deliver(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []int{http.StatusOK}, statuses)
	assert.True(t, b.has(t, "a"))
	assert.Zero(t, late.Kept())
}

func TestACopyOfAWriteArrivesASecondTime(t *testing.T) {
	b := newTable(t)
	var late faulthttp.Late
	b.faults.On("PutItem", faulthttp.Each, late.Copy())
	require.NoError(t, b.create(t.Context(), "a"))
	statuses, err := late.Deliver(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []int{http.StatusBadRequest}, statuses, "the condition of the second copy no longer holds")
}

func TestInjectedErrorsLookLikeTheServices(t *testing.T) {
	b := newTable(t)
	for _, name := range []string{
		"ProvisionedThroughputExceededException", "TransactionConflictException", "ThrottlingException",
		"RequestLimitExceeded", "ExpiredTokenException", "InternalServerError", "ServiceUnavailableException",
	} {
		rule := b.faults.On("PutItem", faulthttp.Each, faulthttp.Error(name))
		err := b.create(t.Context(), name)
		rule.Remove()
		var got smithy.APIError
		require.ErrorAs(t, err, &got, name)
		assert.Equal(t, name, got.ErrorCode())
		assert.False(t, b.has(t, name), name)
	}
	b.faults.On("PutItem", 1, faulthttp.Error("TransactionConflictException"))
	var typed *types.TransactionConflictException
	assert.ErrorAs(t, b.create(t.Context(), "typed"), &typed)
}

func TestACancelledTransactionGivesItsReasons(t *testing.T) {
	b := newTable(t)
	b.faults.On("TransactWriteItems", 1, faulthttp.CancelTransaction("None", "TransactionConflict"))
	_, err := b.client.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{
		TransactItems: []types.TransactWriteItem{
			{Put: &types.Put{TableName: &b.name, Item: key("a")}},
			{Put: &types.Put{TableName: &b.name, Item: key("b")}},
		},
	}, once)
	var cancelled *types.TransactionCanceledException
	require.ErrorAs(t, err, &cancelled)
	require.Len(t, cancelled.CancellationReasons, 2)
	assert.Equal(t, "TransactionConflict", aws.ToString(cancelled.CancellationReasons[1].Code))
	assert.False(t, b.has(t, "a"))
}

func TestTheServicesClockMoves(t *testing.T) {
	b := newTable(t)
	b.faults.On(faulthttp.Any, faulthttp.Each, faulthttp.MoveDate(-time.Hour))
	out, err := b.client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &b.name, Key: key("a")}, once)
	require.NoError(t, err)
	date, ok := middleware.GetServerTime(out.ResultMetadata)
	require.True(t, ok)
	assert.WithinDuration(t, time.Now().Add(-time.Hour), date, time.Minute)
}

func TestAHangingRequestEndsWithItsContext(t *testing.T) {
	b := newTable(t)
	unsent := b.faults.On("PutItem", 1, faulthttp.Hang())
	b.faults.On("PutItem", 2, faulthttp.AfterSending(faulthttp.Hang()))
	for _, request := range []struct {
		name string
		made func() bool
	}{
		{"not sent", func() bool { return unsent.Hits() == 1 }},
		{"sent", func() bool { return b.has(t, "sent") }},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.create(ctx, request.name) }()
		require.Eventually(t, request.made, time.Minute, time.Millisecond, request.name)
		cancel()
		assert.ErrorIs(t, <-ended, context.Canceled, request.name)
	}
	assert.False(t, b.has(t, "not sent"))
}

func TestAnErrorAfterSendingHidesAWriteThatLanded(t *testing.T) {
	b := newTable(t)
	b.faults.On("PutItem", 1, faulthttp.AfterSending(faulthttp.Error("InternalServerError")))
	var internal *types.InternalServerError
	assert.ErrorAs(t, b.create(t.Context(), "a"), &internal)
	assert.True(t, b.has(t, "a"))
}

func TestDelaysComeBeforeTheRequestOrBeforeTheReply(t *testing.T) {
	for _, test := range []struct {
		fault  faulthttp.Fault
		sentAt time.Duration
	}{
		{faulthttp.Delay(time.Hour), time.Hour},
		{faulthttp.DelayReply(time.Hour), 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			start, sent := time.Now(), time.Duration(-1)
			faults := faulthttp.New(roundTrip(func(*http.Request) (*http.Response, error) {
				sent = time.Since(start)
				return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
			}))
			faults.On(faulthttp.Any, faulthttp.Each, test.fault)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://unused", nil)
			require.NoError(t, err)
			_, err = faults.RoundTrip(req)
			require.NoError(t, err)
			assert.Equal(t, time.Hour, time.Since(start))
			assert.Equal(t, test.sentAt, sent)

			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err = faults.RoundTrip(req.WithContext(ctx))
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Equal(t, time.Hour+time.Minute, time.Since(start))
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestRulesCountFromWhenTheyAreAddedAndTheFirstActsAroundTheRest(t *testing.T) {
	b := newTable(t)
	require.NoError(t, b.create(t.Context(), "a"))
	var order []string
	note := func(name string) faulthttp.Fault {
		return func(req *http.Request, send faulthttp.Send) (*http.Response, error) {
			order = append(order, name)
			return send(req.Context())
		}
	}
	second := b.faults.On("PutItem", 2, note("outer"))
	of := b.faults.When(func(r faulthttp.Request) bool { return strings.Contains(string(r.Body), `"c"`) }, note("inner"))
	b.faults.On("GetItem", faulthttp.Each, faulthttp.Refuse())

	require.NoError(t, b.create(t.Context(), "b"))
	require.NoError(t, b.create(t.Context(), "c"))
	require.NoError(t, b.create(t.Context(), "d"))
	assert.Equal(t, []string{"outer", "inner"}, order)
	assert.Equal(t, 1, second.Hits())
	assert.Equal(t, 1, of.Hits())
}

func TestRequestsAreCountedAndRememberedWithTheirEnd(t *testing.T) {
	b := newTable(t)
	b.faults.On("PutItem", 2, faulthttp.Refuse())
	require.NoError(t, b.create(t.Context(), "a"))
	require.Error(t, b.create(t.Context(), "b"))
	_, err := b.client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &b.name, Key: key("a")}, once)
	require.NoError(t, err)

	assert.Equal(t, 2, b.faults.Count("PutItem"))
	assert.Equal(t, 3, b.faults.Count(faulthttp.Any))
	requests := b.faults.Requests()
	require.Len(t, requests, 3)
	assert.Contains(t, string(requests[0].Body), "attribute_not_exists(pk)")
	assert.Equal(t, http.StatusOK, requests[0].Status)
	assert.ErrorIs(t, requests[1].Err, syscall.ECONNREFUSED)
	assert.Zero(t, requests[1].Status)
	assert.Equal(t, "GetItem", requests[2].Op)
	assert.Contains(t, string(requests[2].Reply), `"HEAD"`)

	b.faults.Forget()
	assert.Empty(t, b.faults.Requests())
}

func TestOneOfManyRequestsAtOnceMeetsTheFault(t *testing.T) {
	b := newTable(t)
	rule := b.faults.On("PutItem", 7, faulthttp.Refuse())
	var writers sync.WaitGroup
	var failed atomic.Int32
	for i := range 50 {
		writers.Go(func() {
			if b.create(t.Context(), string(rune('A'+i))) != nil {
				failed.Add(1)
			}
		})
	}
	writers.Wait()
	assert.EqualValues(t, 1, failed.Load())
	assert.Equal(t, 1, rule.Hits())
	assert.Equal(t, 50, b.faults.Count("PutItem"))
}

func TestTheSDKsOwnRetriesAreSeenAsRequests(t *testing.T) {
	b := newTable(t)
	b.faults.On("PutItem", 1, faulthttp.LoseReply())
	_, err := b.client.PutItem(t.Context(), &dynamodb.PutItemInput{
		TableName: &b.name, Item: key("a"), ConditionExpression: aws.String("attribute_not_exists(pk)"),
	})
	var failed *types.ConditionalCheckFailedException
	assert.ErrorAs(t, err, &failed, "the first attempt had landed")
	assert.Equal(t, 2, b.faults.Count("PutItem"))
}
