package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
)

const ttlAttribute = "expires_at"

// CreateOptions say what [CreateTable] leaves out. Nil leaves nothing out.
type CreateOptions struct {
	NoDeletionProtection  bool // the table can be deleted by mistake
	NoPointInTimeRecovery bool // saves the price of the backups
}

// CreateTable makes the table that a [Store] needs, and waits until it can be used, which takes AWS
// about ten seconds. The table has on-demand capacity, the index of names, expiry of copies,
// deletion protection, and point-in-time recovery if the endpoint has it.
//
// If the table exists and its keys and index are right, only expiry and point-in-time recovery are
// turned on. So a second call finishes one that was interrupted. If its keys or index are wrong,
// the error says so, and nothing is changed. Errors match those of package store.
func CreateTable(ctx context.Context, client *dynamodb.Client, table string, opts *CreateOptions) error {
	if opts == nil {
		opts = &CreateOptions{}
	}
	_, err := client.CreateTable(ctx, tableInput(table, opts))
	var exists *types.ResourceInUseException
	if err != nil && !errors.As(err, &exists) {
		return tableError(ctx, "create", table, err)
	}
	description, err := waitActive(ctx, client, table)
	if err != nil {
		return tableError(ctx, "create", table, err)
	}
	for _, f := range append(checkKeys(description), checkIndex(description)...) {
		if f.Severity == Broken {
			return fmt.Errorf("create table %s: it exists, and %s: %s", table, f.Problem, f.Remedy)
		}
	}
	if err := expireCopies(ctx, client, table); err != nil {
		return tableError(ctx, "turn on expiry of", table, err)
	}
	if opts.NoPointInTimeRecovery {
		return nil
	}
	if err := recoverable(ctx, client, table); err != nil {
		return tableError(ctx, "turn on point-in-time recovery of", table, err)
	}
	return nil
}

func tableInput(table string, opts *CreateOptions) *dynamodb.CreateTableInput {
	in := &dynamodb.CreateTableInput{
		TableName:                 &table,
		BillingMode:               types.BillingModePayPerRequest,
		DeletionProtectionEnabled: aws.Bool(!opts.NoDeletionProtection),
		KeySchema:                 keySchema("pk", "sk"),
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName:  aws.String(indexName),
			KeySchema:  keySchema("ns", "name"),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
		}},
	}
	for _, name := range []string{"pk", "sk", "ns", "name"} {
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{
			AttributeName: aws.String(name), AttributeType: types.ScalarAttributeTypeS,
		})
	}
	return in
}

func keySchema(hash, sort string) []types.KeySchemaElement {
	return []types.KeySchemaElement{
		{AttributeName: &hash, KeyType: types.KeyTypeHash},
		{AttributeName: &sort, KeyType: types.KeyTypeRange},
	}
}

// waitActive waits until the table and its index can be used, or ctx ends.
func waitActive(ctx context.Context, client *dynamodb.Client, table string) (*types.TableDescription, error) {
	const first, longest = 50 * time.Millisecond, 5 * time.Second
	for pause := first; ; pause = min(2*pause, longest) {
		out, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
		var unknown *types.ResourceNotFoundException // a new table may not be known everywhere yet
		switch {
		case err != nil && !errors.As(err, &unknown):
			return nil, err
		case err == nil && usable(out.Table):
			return out.Table, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("it is not ready yet: %w", ctx.Err())
		case <-time.After(pause):
		}
	}
}

func usable(table *types.TableDescription) bool {
	if table.TableStatus != types.TableStatusActive && table.TableStatus != types.TableStatusUpdating {
		return false
	}
	for _, index := range table.GlobalSecondaryIndexes {
		if index.IndexStatus == types.IndexStatusCreating {
			return false
		}
	}
	return true
}

func expireCopies(ctx context.Context, client *dynamodb.Client, table string) error {
	now, err := client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &table})
	if err != nil {
		return err
	}
	if expires(now.TimeToLiveDescription) {
		return nil
	}
	_, err = client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName: &table,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{
			AttributeName: aws.String(ttlAttribute), Enabled: aws.Bool(true),
		},
	})
	return err
}

func expires(ttl *types.TimeToLiveDescription) bool {
	return ttl != nil && aws.ToString(ttl.AttributeName) == ttlAttribute &&
		(ttl.TimeToLiveStatus == types.TimeToLiveStatusEnabled || ttl.TimeToLiveStatus == types.TimeToLiveStatusEnabling)
}

// recoverable turns on point-in-time recovery, if the endpoint has it.
func recoverable(ctx context.Context, client *dynamodb.Client, table string) error {
	_, err := client.UpdateContinuousBackups(ctx, &dynamodb.UpdateContinuousBackupsInput{
		TableName: &table,
		PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{
			PointInTimeRecoveryEnabled: aws.Bool(true),
		},
	})
	if unsupported(err) {
		return nil
	}
	return err
}

// unsupported reports whether the endpoint has no such operation. Endpoints for tests lack some.
func unsupported(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode() {
	case "UnknownOperationException", "NotImplementedException", "NotImplemented", "InvalidAction":
		return true
	}
	return false
}

// tableError makes an error of package store from one of a request about the table itself.
func tableError(ctx context.Context, doing, table string, err error) error {
	return &requestError{what: doing + " table " + table, kind: judge(ctx, err, !credentialsMissing(err)), err: err}
}
