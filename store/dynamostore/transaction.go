package dynamostore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/milepost-dev/milepost/store"
)

// Put writes an item of the caller's together with the checkpoint, without a condition. [PutIf] has
// a condition. The item must not change before the save has returned.
func Put(table string, item map[string]types.AttributeValue) store.Write {
	return types.TransactWriteItem{Put: &types.Put{TableName: &table, Item: item}}
}

// PutIf is [Put] with the SDK's type, which has a condition.
func PutIf(put types.Put) store.Write { return types.TransactWriteItem{Put: &put} }

// Update changes an item of the caller's together with the checkpoint.
func Update(update types.Update) store.Write { return types.TransactWriteItem{Update: &update} }

// Delete deletes an item of the caller's together with the checkpoint.
func Delete(del types.Delete) store.Write { return types.TransactWriteItem{Delete: &del} }

// Check lets the save succeed only if a condition on an item of the caller's holds.
func Check(check types.ConditionCheck) store.Write {
	return types.TransactWriteItem{ConditionCheck: &check}
}

// transact writes HEAD and the caller's items together, HEAD first.
func (c *call) transact(ctx context.Context, head item, v values, commit store.Commit) (store.Clock, error) {
	if err := c.fits(head); err != nil {
		return store.Clock{}, err
	}
	if len(commit.Writes) > store.MaxWrites {
		return store.Clock{}, c.refuse(fmt.Errorf("%w: %d of them, and the limit is %d", store.ErrWrite, len(commit.Writes), store.MaxWrites))
	}
	table, condition := c.store.table, ifMineAtBase
	items := []types.TransactWriteItem{{Put: &types.Put{
		TableName: &table, Item: head,
		ConditionExpression:                 &condition.text,
		ExpressionAttributeNames:            condition.names,
		ExpressionAttributeValues:           v,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}}
	for i, w := range commit.Writes {
		it, err := c.callers(w)
		if err != nil {
			return store.Clock{}, c.refuse(fmt.Errorf("write %d: %w: %w", i, store.ErrWrite, err))
		}
		items = append(items, it)
	}
	out, err := c.store.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{
		TransactItems:          items,
		ClientRequestToken:     aws.String(c.token(commit.Next.CommitID)),
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	}, c.once, canonical)
	if err != nil {
		return store.Clock{}, c.cancelled(ctx, err, items[1:])
	}
	for _, used := range out.ConsumedCapacity {
		c.wrote(&used)
	}
	return clock(out.ResultMetadata), nil
}

// token is a hash of the commit's id, which all attempts share, and of the table and key, because
// the service tells tokens apart by account and region only. A token has at most 36 characters.
func (c *call) token(commitID string) string {
	sum := sha256.Sum256([]byte(c.store.table + "\x00" + partition(c.key) + "\x00" + commitID))
	return hex.EncodeToString(sum[:16])
}

// callers returns one of the caller's writes as it is sent: with a request for the item that its
// condition finds. It does not change what the caller holds.
func (c *call) callers(w store.Write) (types.TransactWriteItem, error) {
	it, ok := w.(types.TransactWriteItem)
	if !ok {
		return it, fmt.Errorf("%T was not made by package dynamostore", w)
	}
	const old = types.ReturnValuesOnConditionCheckFailureAllOld
	actions := 0
	if it.Put != nil {
		put := *it.Put
		put.ReturnValuesOnConditionCheckFailure = old
		it.Put = &put
		actions++
	}
	if it.Update != nil {
		update := *it.Update
		update.ReturnValuesOnConditionCheckFailure = old
		it.Update = &update
		actions++
	}
	if it.Delete != nil {
		del := *it.Delete
		del.ReturnValuesOnConditionCheckFailure = old
		it.Delete = &del
		actions++
	}
	if it.ConditionCheck != nil {
		check := *it.ConditionCheck
		check.ReturnValuesOnConditionCheckFailure = old
		it.ConditionCheck = &check
		actions++
	}
	switch {
	case actions != 1:
		return it, fmt.Errorf("it has %d actions", actions)
	case tableOf(it) == "":
		return it, errors.New("it names no table")
	case sameTable(tableOf(it), c.store.table):
		return it, fmt.Errorf("table %s is Milepost's own", tableOf(it))
	}
	return it, nil
}

// tableOf is the table that a write is for.
func tableOf(it types.TransactWriteItem) string {
	switch {
	case it.Put != nil:
		return aws.ToString(it.Put.TableName)
	case it.Update != nil:
		return aws.ToString(it.Update.TableName)
	case it.Delete != nil:
		return aws.ToString(it.Delete.TableName)
	case it.ConditionCheck != nil:
		return aws.ToString(it.ConditionCheck.TableName)
	}
	return ""
}

// sameTable compares two tables, each by name or ARN. A name is the same as any ARN with that name,
// since its account and region are not known here.
func sameTable(a, b string) bool {
	nameA, arnA := strings.CutPrefix(a, "arn:")
	nameB, arnB := strings.CutPrefix(b, "arn:")
	if arnA && arnB {
		return nameA == nameB
	}
	return tableName(a) == tableName(b)
}

func tableName(nameOrARN string) string {
	if !strings.HasPrefix(nameOrARN, "arn:") {
		return nameOrARN
	}
	_, name, _ := strings.Cut(nameOrARN, ":table/")
	name, _, _ = strings.Cut(name, "/")
	return name
}

// cancelled returns why a transaction was not applied. HEAD's condition comes first: if it failed,
// the lease is lost and nothing else matters. Then come the caller's writes, then what is worth
// another try.
func (c *call) cancelled(ctx context.Context, err error, theirs []types.TransactWriteItem) error {
	var cancelled *types.TransactionCanceledException
	if !c.sent || !errors.As(err, &cancelled) {
		if invalid(err) { // because of the caller's writes: HEAD alone is always valid
			return fmt.Errorf("%w: %w", store.ErrWrite, c.failed(ctx, err))
		}
		if failed := c.failed(ctx, err); !errors.Is(failed, store.ErrNoTable) {
			return failed
		}
		return c.missing(ctx, err, theirs)
	}
	passing := false
	for i, r := range cancelled.CancellationReasons {
		code := aws.ToString(r.Code)
		switch code {
		case "", "None":
			continue
		case "ConditionalCheckFailed":
			if i == 0 {
				return c.conflict(r.Item, withHead)
			}
		case "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded":
			passing = true
			continue
		}
		if i == 0 {
			continue // HEAD, for a reason that has a verdict below
		}
		reason := fmt.Errorf("%s: %s", code, aws.ToString(r.Message))
		if code != "ConditionalCheckFailed" {
			reason = fmt.Errorf("%w: %w", store.ErrWrite, reason)
		}
		refused := &store.WriteError{Key: c.key, Index: i - 1, Err: reason}
		if len(r.Item) > 0 {
			refused.Item = r.Item
		}
		return refused
	}
	kind := refused
	if passing {
		kind = throttled
	}
	return &requestError{what: c.what(), kind: kind, err: err}
}

// missing returns the error of a transaction because one of its tables is missing. The service does
// not say which. Where the caller's tables may not be described, it is the first that may be
// missing.
func (c *call) missing(ctx context.Context, err error, theirs []types.TransactWriteItem) error {
	switch _, lookErr := c.store.Look(ctx, c.key); {
	case errors.Is(lookErr, store.ErrNoTable):
		return c.failed(ctx, err)
	case lookErr != nil: // it is not known whose table is missing
		return &requestError{what: c.what(), kind: unreached, err: lookErr}
	}
	suspect, suspected := -1, ""
	seen := map[string]bool{}
	for i, it := range theirs {
		table := tableOf(it)
		if seen[table] {
			continue
		}
		seen[table] = true
		var unknown *types.ResourceNotFoundException
		_, describeErr := c.store.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
		switch {
		case errors.As(describeErr, &unknown):
			return c.noTableOfTheirs(i, table, err)
		case describeErr != nil && suspect < 0:
			suspect, suspected = i, table
		}
	}
	if suspect < 0 { // all are there by now, or an index that a condition names is missing
		return &requestError{what: c.what(), kind: refused, err: err}
	}
	return c.noTableOfTheirs(suspect, suspected, err)
}

func (c *call) noTableOfTheirs(index int, table string, err error) error {
	return &store.WriteError{Key: c.key, Index: index, Err: fmt.Errorf("%w: there is no table %s: %s", store.ErrWrite, table, reason(err))}
}

// invalid reports whether the SDK or the service found the request invalid.
func invalid(err error) bool {
	var params smithy.InvalidParamsError
	var api smithy.APIError
	return errors.As(err, &params) || errors.As(err, &api) && api.ErrorCode() == "ValidationException"
}

// canonical makes a request's body the same bytes each time. The SDK writes maps in Go's random
// order, and a token is valid for one body only.
func canonical(o *dynamodb.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Build.Add(middleware.BuildMiddlewareFunc("MilepostCanonical", sortBody), middleware.Before)
	})
}

func sortBody(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (
	middleware.BuildOutput, middleware.Metadata, error,
) {
	fail := func(err error) (middleware.BuildOutput, middleware.Metadata, error) {
		return middleware.BuildOutput{}, middleware.Metadata{}, fmt.Errorf("sort the body: %w", err)
	}
	request, ok := in.Request.(*smithyhttp.Request)
	if !ok {
		return fail(fmt.Errorf("unexpected %T", in.Request))
	}
	body, err := io.ReadAll(request.GetStream())
	if err != nil {
		return fail(err)
	}
	var document any // numbers are strings, and objects are written in the order of their names
	if err := json.Unmarshal(body, &document); err != nil {
		return fail(err)
	}
	if body, err = json.Marshal(document); err != nil {
		return fail(err)
	}
	if in.Request, err = request.SetStream(bytes.NewReader(body)); err != nil {
		return fail(err)
	}
	return next.HandleBuild(ctx, in)
}
