package dynamostore_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/test/dynamotest"
	"github.com/milepost-dev/milepost/test/faulthttp"
)

type sale = map[string]types.AttributeValue

func saleOf(id string) sale { return sale{"pk": text(id), "sk": text("-"), "amount": number("12")} }

func saleKey(id string) sale { return sale{"pk": text(id), "sk": text("-")} }

func (f fixture) sale(t testing.TB, table, id string) sale {
	t.Helper()
	out, err := f.raw.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &table, Key: saleKey(id), ConsistentRead: aws.Bool(true)})
	require.NoError(t, err)
	return out.Item
}

func TestTheCallersItemsAndTheCheckpointLandTogether(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	sales := dynamotest.BareTable(t)
	require.NoError(t, f.commit(t, versionOf(1), dynamostore.Put(sales, saleOf("a")), dynamostore.Put(sales, saleOf("b"))))
	require.NoError(t, f.commit(t, versionOf(2),
		dynamostore.Update(types.Update{
			TableName: &sales, Key: saleKey("a"),
			UpdateExpression:          aws.String("SET amount = amount + :n"),
			ExpressionAttributeValues: sale{":n": number("1")},
		}),
		dynamostore.Delete(types.Delete{TableName: &sales, Key: saleKey("b")}),
		dynamostore.PutIf(types.Put{TableName: &sales, Item: saleOf("c"), ConditionExpression: aws.String("attribute_not_exists(pk)")}),
		dynamostore.Check(types.ConditionCheck{TableName: &sales, Key: saleKey("d"), ConditionExpression: aws.String("attribute_not_exists(pk)")}),
	))
	assert.Equal(t, number("13"), f.sale(t, sales, "a")["amount"])
	assert.Empty(t, f.sale(t, sales, "b"))
	assert.Equal(t, saleOf("c"), f.sale(t, sales, "c"))
	assert.Equal(t, number("2"), f.item(t, "HEAD")["version"])
}

func TestACallersConditionThatFailsIsNamedWithItsItemAndNothingLands(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	sales := dynamotest.BareTable(t)
	require.NoError(t, f.commit(t, versionOf(1), dynamostore.Put(sales, saleOf("a"))))
	ifNew := types.Put{TableName: &sales, Item: saleOf("a"), ConditionExpression: aws.String("attribute_not_exists(pk)")}

	err := f.commit(t, versionOf(2), dynamostore.Put(sales, saleOf("b")), dynamostore.PutIf(ifNew))
	var refused *store.WriteError
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, 1, refused.Index)
	assert.Equal(t, saleOf("a"), refused.Item)
	require.ErrorIs(t, err, store.ErrNotApplied)
	require.NotErrorIs(t, err, store.ErrWrite, "it may hold another time")
	assert.Empty(t, ifNew.ReturnValuesOnConditionCheckFailure, "what the caller handed in is as it was")
	assert.Empty(t, f.sale(t, sales, "b"))
	assert.Equal(t, number("1"), f.item(t, "HEAD")["version"])
}

func TestALostFenceIsToldBeforeACallersCondition(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	sales := dynamotest.BareTable(t)
	require.NoError(t, f.commit(t, versionOf(1), dynamostore.Put(sales, saleOf("a"))))
	_, _, err := f.Raise(t.Context(), f.key, store.Fence{Epoch: fence.Epoch + 1, LeaseID: "theirs"}, holder, false)
	require.NoError(t, err)

	err = f.commit(t, versionOf(2),
		dynamostore.PutIf(types.Put{TableName: &sales, Item: saleOf("a"), ConditionExpression: aws.String("attribute_not_exists(pk)")}))
	var conflict *store.ConflictError
	require.ErrorAs(t, err, &conflict)
	assert.Equal(t, "theirs", conflict.Head.Fence.LeaseID)
	assert.Equal(t, int64(1), conflict.Head.Number)
}

func TestReasonsOfACancelledTransaction(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	put := dynamostore.Put("sales", saleOf("a"))
	for _, c := range []struct {
		name  string
		fault faulthttp.Fault
		is    []error
	}{
		{"another transaction holds HEAD", faulthttp.CancelTransaction("TransactionConflict", "None"), []error{store.ErrThrottled, store.ErrNotApplied}},
		{"another transaction holds the caller's item", faulthttp.CancelTransaction("None", "TransactionConflict"), []error{store.ErrThrottled, store.ErrNotApplied}},
		{"throttled", faulthttp.CancelTransaction("None", "ThrottlingError"), []error{store.ErrThrottled, store.ErrNotApplied}},
		{"the caller's table is throttled", faulthttp.CancelTransaction("None", "ProvisionedThroughputExceeded"), []error{store.ErrThrottled, store.ErrNotApplied}},
		{"the caller's item is invalid", faulthttp.CancelTransaction("None", "ValidationError"), []error{store.ErrWrite, store.ErrNotApplied}},
		{"the request is invalid", faulthttp.Error("ValidationException"), []error{store.ErrWrite, store.ErrNotApplied}},
		{"for no reason given", faulthttp.CancelTransaction(), []error{store.ErrNotApplied}},
		// A copy of this very request is at work, and may land.
		{"in progress", faulthttp.Error("TransactionInProgressException"), []error{store.ErrThrottled}},
		{"the token went with another body", faulthttp.Error("IdempotentParameterMismatchException"), []error{store.ErrNotApplied}},
		{"no such table, and ours is there", faulthttp.Error("ResourceNotFoundException"), []error{store.ErrWrite, store.ErrNotApplied}},
		{"internal error", faulthttp.Error("InternalServerError"), []error{store.ErrUnavailable}},
	} {
		t.Run(c.name, func(t *testing.T) {
			rule := f.faults.On("TransactWriteItems", faulthttp.Each, c.fault)
			defer rule.Remove()
			meansExactly(t, f.commit(t, versionOf(1), put), c.is...)
			assert.Equal(t, 1, rule.Hits())
		})
	}
}

// The SDK writes maps in Go's random order, and makes a token of its own for
// each call: with either, an attempt after a lost reply is another transaction.
func TestACommitSentAgainIsTheSameBytesAndHasTheSameAnswer(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	sales := dynamotest.BareTable(t)
	many := saleOf("many <&> \u2028")
	for i := range 30 {
		many[fmt.Sprint("attribute", i)] = &types.AttributeValueMemberM{Value: sale{"a": number("1"), "b": text("2"), "c": number("3")}}
	}
	writes := []store.Write{dynamostore.Put(sales, many), dynamostore.Put(sales, saleOf("b"))}
	f.faults.On("TransactWriteItems", 1, faulthttp.LoseReply())
	require.Error(t, f.commit(t, versionOf(1), writes...))
	for range 5 {
		require.NoError(t, f.commit(t, versionOf(1), writes...), "the first had landed, and is answered again")
	}
	var bodies []string
	for _, r := range f.faults.Requests() {
		if r.Op == "TransactWriteItems" {
			bodies = append(bodies, string(r.Body))
		}
	}
	require.Len(t, bodies, 6)
	for _, body := range bodies {
		assert.Equal(t, bodies[0], body)
	}
	assert.Equal(t, many, f.sale(t, sales, "many <&> \u2028"), "and nothing in it was changed")
}

func TestTokensTellCheckpointsAndTablesApart(t *testing.T) {
	f, other := setUp(t), setUp(t)
	f.hold(t)
	other.hold(t)
	same := versionOf(1)
	sales := dynamotest.BareTable(t)
	require.NoError(t, f.commit(t, same, dynamostore.Put(sales, saleOf("a"))))
	require.NoError(t, other.commit(t, same, dynamostore.Put(sales, saleOf("b"))), "another table")
	f.key.Name = "orders/us"
	f.hold(t)
	require.NoError(t, f.commit(t, same, dynamostore.Put(sales, saleOf("c"))), "another checkpoint")
}

func TestWritesThatCanNeverBeTakenAreRefusedBeforeTheyAreSent(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	own := f.table
	arn := "arn:aws:dynamodb:eu-west-1:123456789012:table/" + own
	many := make([]store.Write, store.MaxWrites+1)
	for i := range many {
		many[i] = dynamostore.Put("sales", saleOf(fmt.Sprint(i)))
	}
	for name, writes := range map[string][]store.Write{
		"Milepost's own table":               {dynamostore.Put(own, saleOf("a"))},
		"Milepost's own table by ARN":        {dynamostore.Put(arn, saleOf("a"))},
		"an update in Milepost's own table":  {dynamostore.Update(types.Update{TableName: &own, Key: saleKey("a"), UpdateExpression: aws.String("SET a = b")})},
		"a deletion in Milepost's own table": {dynamostore.Delete(types.Delete{TableName: &arn, Key: saleKey("a")})},
		"a check in Milepost's own table":    {dynamostore.Check(types.ConditionCheck{TableName: &own, Key: saleKey("a"), ConditionExpression: aws.String("a = b")})},
		"a statement":                        {"INSERT INTO sales VALUES (1)"},
		"nothing":                            {nil},
		"no action":                          {types.TransactWriteItem{}},
		"two actions":                        {types.TransactWriteItem{Put: &types.Put{TableName: aws.String("sales")}, Delete: &types.Delete{}}},
		"no table":                           {dynamostore.Put("", saleOf("a"))},
		"no item":                            {dynamostore.Put("sales", nil)},
		"too many":                           many,
	} {
		seen := len(f.faults.Requests())
		err := f.commit(t, versionOf(1), writes...)
		require.Error(t, err, name)
		meansExactly(t, err, store.ErrWrite, store.ErrNotApplied)
		assert.Len(t, f.faults.Requests(), seen, "%s: nothing was sent", name)
	}
	byARN := dynamostore.New(f.raw, arn)
	_, err := byARN.Commit(t.Context(), f.key, store.Commit{Fence: fence, Next: versionOf(1), Writes: []store.Write{dynamostore.Put(own, saleOf("a"))}})
	meansExactly(t, err, store.ErrWrite, store.ErrNotApplied)

	err = f.commit(t, versionOf(1), many[:store.MaxWrites]...)
	require.ErrorContains(t, err, "there is no table sales", "99 are taken; only their table is missing")
}

func TestTwoWritesOfOneItemAreTheCallersMistake(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	sales := dynamotest.BareTable(t)
	meansExactly(t, f.commit(t, versionOf(1), dynamostore.Put(sales, saleOf("a")), dynamostore.Put(sales, saleOf("a"))),
		store.ErrWrite, store.ErrNotApplied)
	assert.Equal(t, number("0"), f.item(t, "HEAD")["version"])
}
