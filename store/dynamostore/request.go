package dynamostore

import (
	"context"
	"iter"
	"maps"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/milepost-dev/milepost/store"
)

// put writes a whole item if the condition holds, and returns the reading of the reply's clock.
func (c *call) put(ctx context.Context, it item, condition expression, v values, found reader) (store.Clock, error) {
	if err := c.fits(it); err != nil {
		return store.Clock{}, err
	}
	out, err := c.store.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &c.store.table, Item: it,
		ConditionExpression:                 &condition.text,
		ExpressionAttributeNames:            condition.names,
		ExpressionAttributeValues:           v,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		ReturnConsumedCapacity:              types.ReturnConsumedCapacityTotal,
	}, c.once)
	if err != nil {
		return store.Clock{}, c.unmet(ctx, err, found)
	}
	c.wrote(out.ConsumedCapacity)
	return clock(out.ResultMetadata), nil
}

// update changes the record under a sort key if the condition holds. The output has the attributes
// that returning asks for.
func (c *call) update(
	ctx context.Context, sk string, change string, condition expression, v values, returning types.ReturnValue, found reader,
) (*dynamodb.UpdateItemOutput, error) {
	in := &dynamodb.UpdateItemInput{
		TableName: &c.store.table, Key: primaryKey(c.key, sk),
		ConditionExpression:                 &condition.text,
		ExpressionAttributeNames:            condition.names,
		ExpressionAttributeValues:           v,
		ReturnValues:                        returning,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		ReturnConsumedCapacity:              types.ReturnConsumedCapacityTotal,
	}
	if err := c.intact(v); err != nil {
		return nil, err
	}
	if change != "" {
		e := express(change)
		maps.Copy(e.names, condition.names)
		in.UpdateExpression, in.ExpressionAttributeNames = &e.text, e.names
	}
	out, err := c.store.client.UpdateItem(ctx, in, c.once)
	if err != nil {
		return nil, c.unmet(ctx, err, found)
	}
	c.wrote(out.ConsumedCapacity)
	return out, nil
}

// remove deletes the record under a sort key if the condition holds.
func (c *call) remove(ctx context.Context, sk string, condition expression, v values, found reader) error {
	out, err := c.store.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &c.store.table, Key: primaryKey(c.key, sk),
		ConditionExpression:                 &condition.text,
		ExpressionAttributeNames:            condition.names,
		ExpressionAttributeValues:           v,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		ReturnConsumedCapacity:              types.ReturnConsumedCapacityTotal,
	}, c.once)
	if err != nil {
		return c.unmet(ctx, err, found)
	}
	c.wrote(out.ConsumedCapacity)
	return nil
}

// pages runs a query to its end. A page may be empty and not the last.
func (c *call) pages(ctx context.Context, in *dynamodb.QueryInput) iter.Seq2[*dynamodb.QueryOutput, error] {
	in.TableName = &c.store.table
	in.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
	return func(yield func(*dynamodb.QueryOutput, error) bool) {
		for {
			out, err := c.store.client.Query(ctx, in, c.watched)
			if err != nil {
				yield(nil, c.failed(ctx, err))
				return
			}
			c.read(out.ConsumedCapacity)
			if !yield(out, nil) || len(out.LastEvaluatedKey) == 0 {
				return
			}
			in.ExclusiveStartKey = out.LastEvaluatedKey
		}
	}
}
