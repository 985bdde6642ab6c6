package dynamostore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/milepost-dev/milepost/store"
)

// Severity says how serious a [Finding] is.
type Severity string

// The severities, worst first.
const (
	Broken  Severity = "broken"  // checkpoints are not safe, or do not work
	Risky   Severity = "risky"   // checkpoints work, but something that protects them is missing
	Notable Severity = "notable" // nothing is wrong, but it costs more or is unusual
)

// Finding is one thing about the table that is not as it should be.
type Finding struct {
	Severity Severity
	Problem  string // what is wrong: a clause such as "it has no index names"
	Remedy   string // how to fix it
}

func (f Finding) String() string { return fmt.Sprintf("%s: %s: %s", f.Severity, f.Problem, f.Remedy) }

// Check reads the table's settings, not its records. It returns what is wrong and how to fix it,
// worst first, and nothing for a table that [CreateTable] made. A missing table is a finding. An
// error says that the settings could not be read; it matches those of package store.
func (s *Store) Check(ctx context.Context) ([]Finding, error) {
	described, err := s.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &s.table})
	var missing *types.ResourceNotFoundException
	if errors.As(err, &missing) {
		return []Finding{{
			Broken, fmt.Sprintf("there is no table %s in this account and region", s.table),
			"make it with milepost table create, or use another region, endpoint or profile in the store's URL",
		}}, nil
	}
	if err != nil {
		return nil, tableError(ctx, "check", s.table, err)
	}
	table := described.Table
	var found []Finding
	for _, check := range []func(*types.TableDescription) []Finding{
		checkStatus, checkKeys, checkIndex, checkReplicas, checkProtection, checkBilling,
	} {
		found = append(found, check(table)...)
	}
	for _, check := range []func(context.Context) ([]Finding, error){s.checkExpiry, s.checkRecovery} {
		more, err := check(ctx)
		if err != nil {
			return nil, tableError(ctx, "check", s.table, err)
		}
		found = append(found, more...)
	}
	slices.SortStableFunc(found, func(a, b Finding) int {
		return cmp.Compare(slices.Index(worstFirst, a.Severity), slices.Index(worstFirst, b.Severity))
	})
	return found, nil
}

var worstFirst = []Severity{Broken, Risky, Notable}

func checkStatus(table *types.TableDescription) []Finding {
	if serves(table) {
		return nil
	}
	state, remedy, _ := stateOf(table)
	return []Finding{{Broken, "it is " + state, remedy}}
}

func checkKeys(table *types.TableDescription) []Finding {
	if hasKeys(table, table.KeySchema, "pk", "sk") {
		return nil
	}
	return []Finding{{
		Broken, "its keys are not the strings pk and sk",
		"it is another program's table, and its keys cannot be changed: use another table name",
	}}
}

func checkIndex(table *types.TableDescription) []Finding {
	for _, index := range table.GlobalSecondaryIndexes {
		switch {
		case aws.ToString(index.IndexName) != indexName:
			continue
		case !hasKeys(table, index.KeySchema, "ns", "name"):
			return []Finding{{
				Broken, "the keys of its index names are not the strings ns and name",
				"delete that index, and add it again with ns and name",
			}}
		case index.IndexStatus == types.IndexStatusCreating:
			return []Finding{{
				Broken, "its index names is being filled (backfilling), so nothing can be listed yet",
				"wait: it can take hours for a large table; saves and reads of single checkpoints work meanwhile",
			}}
		case index.IndexStatus == types.IndexStatusDeleting:
			return []Finding{{
				Broken, "its index names is being deleted, so nothing can be listed",
				"wait until it is gone, then add it again",
			}}
		case index.Projection == nil || index.Projection.ProjectionType != types.ProjectionTypeKeysOnly:
			return []Finding{{
				Notable, "its index names has more than keys, so each save writes to the index too",
				"delete that index, and add it again with projection KEYS_ONLY",
			}}
		}
		return nil
	}
	return []Finding{{
		Broken, "it has no index names, so nothing can be listed",
		"add a global secondary index: name names, partition key ns (String), sort key name (String), projection KEYS_ONLY",
	}}
}

func hasKeys(table *types.TableDescription, schema []types.KeySchemaElement, hash, sort string) bool {
	for _, want := range keySchema(hash, sort) {
		has := slices.ContainsFunc(schema, func(k types.KeySchemaElement) bool {
			return aws.ToString(k.AttributeName) == *want.AttributeName && k.KeyType == want.KeyType
		})
		isText := slices.ContainsFunc(table.AttributeDefinitions, func(d types.AttributeDefinition) bool {
			return aws.ToString(d.AttributeName) == *want.AttributeName && d.AttributeType == types.ScalarAttributeTypeS
		})
		if !has || !isText {
			return false
		}
	}
	return len(schema) == 2
}

// checkReplicas finds global tables, on which conditions do not hold across regions.
func checkReplicas(table *types.TableDescription) []Finding {
	switch {
	case len(table.Replicas) == 0:
		return nil
	case table.MultiRegionConsistency == types.MultiRegionConsistencyStrong:
		return []Finding{{
			Risky, "it is a strongly consistent global table, which has no transactions and no expiry",
			"saves with the caller's own writes fail on it, and copies stay until gc removes them; a table in one region has both",
		}}
	}
	return []Finding{{
		Broken, "it is an eventually consistent global table: the last writer wins, so leases and fences do not hold across regions",
		"use a table in one region; point-in-time recovery and the archive protect it against loss",
	}}
}

func checkProtection(table *types.TableDescription) []Finding {
	if aws.ToBool(table.DeletionProtectionEnabled) {
		return nil
	}
	return []Finding{{
		Risky, "it is not protected against deletion",
		"aws dynamodb update-table --table-name " + aws.ToString(table.TableName) + " --deletion-protection-enabled",
	}}
}

func checkBilling(table *types.TableDescription) []Finding {
	if b := table.BillingModeSummary; b != nil && b.BillingMode == types.BillingModePayPerRequest {
		return nil
	}
	return []Finding{{
		Notable, "its capacity is provisioned: above that, heartbeats and saves are throttled",
		"make sure that the table and its index scale, or change the table to on-demand",
	}}
}

func (s *Store) checkExpiry(ctx context.Context) ([]Finding, error) {
	out, err := s.client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &s.table})
	if err != nil {
		return s.unseen(ctx, "expiry", err)
	}
	ttl := out.TimeToLiveDescription
	switch {
	case expires(ttl):
		return nil, nil
	case ttl != nil && ttl.TimeToLiveStatus == types.TimeToLiveStatusEnabled:
		return []Finding{{
			Broken, fmt.Sprintf("its TTL is on %s, and not on %s", aws.ToString(ttl.AttributeName), ttlAttribute),
			"turn it off, and turn it on again for " + ttlAttribute,
		}}, nil
	}
	return []Finding{{
		Risky, "old copies never expire, and cost storage forever",
		"aws dynamodb update-time-to-live --table-name " + s.table +
			" --time-to-live-specification Enabled=true,AttributeName=" + ttlAttribute,
	}}, nil
}

func (s *Store) checkRecovery(ctx context.Context) ([]Finding, error) {
	out, err := s.client.DescribeContinuousBackups(ctx, &dynamodb.DescribeContinuousBackupsInput{TableName: &s.table})
	if unsupported(err) {
		return nil, nil // an endpoint for tests has no recovery
	}
	if err != nil {
		return s.unseen(ctx, "point-in-time recovery", err)
	}
	if b := out.ContinuousBackupsDescription; b != nil && b.PointInTimeRecoveryDescription != nil &&
		b.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus == types.PointInTimeRecoveryStatusEnabled {
		return nil, nil
	}
	return []Finding{{
		Risky, "point-in-time recovery is off: what is deleted by mistake cannot be restored",
		"aws dynamodb update-continuous-backups --table-name " + s.table +
			" --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true",
	}}, nil
}

// unseen makes a finding of a setting that this user may not read, so that the rest is still
// checked.
func (s *Store) unseen(ctx context.Context, what string, err error) ([]Finding, error) {
	if e := tableError(ctx, "check", s.table, err); errors.Is(e, store.ErrCredentials) {
		return []Finding{{Notable, "its " + what + " could not be read", e.Error()}}, nil
	}
	return nil, err
}
