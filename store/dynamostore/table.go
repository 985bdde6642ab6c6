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

	"github.com/milepost-dev/milepost/internal/retries"
	"github.com/milepost-dev/milepost/store"
)

const ttlAttribute = "expires_at"

// createWithin bounds the waits of [CreateTable]. AWS makes or deletes a table in far less.
const createWithin = 5 * time.Minute

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
// the error says so, and nothing is changed. If the table is being deleted, CreateTable waits until
// it is gone. It waits for at most five minutes, and not at all for a table in a state that does
// not pass; the error has the state. Errors match those of package store.
func CreateTable(ctx context.Context, client *dynamodb.Client, table string, opts *CreateOptions) error {
	if opts == nil {
		opts = &CreateOptions{}
	}
	client = ours(client)
	bounded, cancel := context.WithTimeout(ctx, createWithin)
	defer cancel()
	description, err := made(bounded, client, table, opts)
	if err != nil {
		return err
	}
	for _, f := range append(checkKeys(description), checkIndex(description)...) {
		if f.Severity == Broken {
			return fmt.Errorf("create table %s: it exists, and %s: %s", table, f.Problem, f.Remedy)
		}
	}
	err = patiently(bounded, func() error { return expireCopies(bounded, client, table) })
	if err != nil {
		return tableError(bounded, "turn on expiry of", table, err)
	}
	if opts.NoPointInTimeRecovery {
		return nil
	}
	err = patiently(bounded, func() error { return recoverable(bounded, client, table) })
	if err != nil {
		return tableError(bounded, "turn on point-in-time recovery of", table, err)
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

// made creates the table unless it is there, and waits until the table and its index can be used.
func made(ctx context.Context, client *dynamodb.Client, table string, opts *CreateOptions) (*types.TableDescription, error) {
	var exists *types.ResourceInUseException
	var unknown *types.ResourceNotFoundException
	created, state := false, "not known yet" // a new table is not known everywhere at once
	create := func() error {
		_, err := client.CreateTable(ctx, tableInput(table, opts))
		created = err == nil
		if err != nil && !errors.As(err, &exists) {
			return tableError(ctx, "create", table, err)
		}
		return nil
	}
	if err := create(); err != nil {
		return nil, err
	}
	pauses := slowly()
	for {
		out, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
		switch {
		case errors.As(err, &unknown) && !created: // the one that was there is gone
			if err := create(); err != nil {
				return nil, err
			}
		case errors.As(err, &unknown), err != nil && ctx.Err() != nil:
		case err != nil:
			return nil, tableError(ctx, "create", table, err)
		case usable(out.Table):
			return out.Table, nil
		default:
			var remedy string
			var passes bool
			if state, remedy, passes = stateOf(out.Table); !passes {
				return nil, fmt.Errorf("create table %s: it is %s: %s", table, state, remedy)
			}
		}
		if !retries.Sleep(ctx, pauses.NextBackOff()) {
			return nil, fmt.Errorf("create table %s: %w: it is still %s: %w", table, store.ErrUnavailable, state, ctx.Err())
		}
	}
}

// slowly paces requests about the table itself, of which an account may send few.
func slowly() interface{ NextBackOff() time.Duration } {
	pauses := retries.Pace()
	pauses.MaxInterval = 5 * time.Second
	return pauses
}

// patiently changes a setting of a table. It tries again while the service says that the table is
// not ready for that.
func patiently(ctx context.Context, change func() error) error {
	pauses := slowly()
	for {
		err := change()
		var api smithy.APIError
		if !errors.As(err, &api) {
			return err
		}
		switch api.ErrorCode() {
		case "ContinuousBackupsUnavailableException", "ResourceInUseException", "LimitExceededException":
		default:
			return err
		}
		if !retries.Sleep(ctx, pauses.NextBackOff()) {
			return fmt.Errorf("%w: %w: %w", store.ErrUnavailable, ctx.Err(), err)
		}
	}
}

func usable(table *types.TableDescription) bool {
	return serves(table) && indexStatus(table) != types.IndexStatusCreating
}

// serves reports whether the table takes requests for items.
func serves(table *types.TableDescription) bool {
	return table.TableStatus == types.TableStatusActive || table.TableStatus == types.TableStatusUpdating
}

// indexStatus is that of the index of names, "" if there is none.
func indexStatus(table *types.TableDescription) types.IndexStatus {
	for _, index := range table.GlobalSecondaryIndexes {
		if aws.ToString(index.IndexName) == indexName {
			return index.IndexStatus
		}
	}
	return ""
}

// stateOf describes the state of a table that is not usable, says what to do, and whether the state
// passes by itself.
func stateOf(table *types.TableDescription) (state, remedy string, passes bool) {
	state = string(table.TableStatus)
	switch table.TableStatus {
	case types.TableStatusActive, types.TableStatusUpdating:
		return state + ", with its index names being filled", "wait: it can take hours for a large table", true
	case types.TableStatusCreating:
		return state, "wait until it is ACTIVE", true
	case types.TableStatusDeleting:
		return state, "wait until it is gone, then run milepost table create, or use another table name", true
	case types.TableStatusInaccessibleEncryptionCredentials:
		return state, "let DynamoDB use the table's KMS key again: enable the key, and allow it in the key's policy", false
	case types.TableStatusArchiving, types.TableStatusArchived:
		return state, "its KMS key could not be used for a week: restore the backup that DynamoDB has made", false
	}
	return state, "look at the table in the console of DynamoDB", false
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
