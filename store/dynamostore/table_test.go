package dynamostore_test

import (
	"context"
	"testing"
	"time"

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

func TestCreateTableMakesWhatCheckFindsNothingWrongWith(t *testing.T) {
	f := setUp(t)
	found, err := f.Check(t.Context())
	require.NoError(t, err)
	assert.Empty(t, found)

	out, err := f.raw.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &f.table})
	require.NoError(t, err)
	assert.True(t, aws.ToBool(out.Table.DeletionProtectionEnabled))
	assert.Equal(t, types.BillingModePayPerRequest, out.Table.BillingModeSummary.BillingMode)
	assert.Equal(t, types.ProjectionTypeKeysOnly, out.Table.GlobalSecondaryIndexes[0].Projection.ProjectionType)
}

func TestCreateTableMayComeAgainAndFinishesWhatWasInterrupted(t *testing.T) {
	faults := faulthttp.New(nil)
	client, table := dynamotest.ClientOver(t, faults), dynamotest.Table(t)
	rule := faults.On("UpdateTimeToLive", faulthttp.Each, faulthttp.Error("AccessDeniedException"))
	err := dynamostore.CreateTable(t.Context(), client, table, nil)
	require.ErrorIs(t, err, store.ErrCredentials)
	require.ErrorContains(t, err, table)
	rule.Remove()

	for range 2 {
		require.NoError(t, dynamostore.CreateTable(t.Context(), client, table, nil))
	}
	found, err := dynamostore.New(client, table).Check(t.Context())
	require.NoError(t, err)
	assert.Empty(t, found)
}

func TestCreateTableAsksForRecoveryUnlessToldNotTo(t *testing.T) {
	for _, c := range []struct {
		opts  *dynamostore.CreateOptions
		asked int
	}{{nil, 1}, {&dynamostore.CreateOptions{NoPointInTimeRecovery: true, NoDeletionProtection: true}, 0}} {
		faults := faulthttp.New(nil)
		client, table := dynamotest.ClientOver(t, faults), dynamotest.Table(t)
		rule := faults.On("UpdateContinuousBackups", faulthttp.Each, faulthttp.Error("UnknownOperationException"))
		require.NoError(t, dynamostore.CreateTable(t.Context(), client, table, c.opts), "an endpoint without it is fine")
		assert.Equal(t, c.asked, rule.Hits())
	}
}

func TestCreateTableSaysWhatIsWrongWithATableThatIsThere(t *testing.T) {
	client, table := dynamotest.Client(t), dynamotest.BareTable(t)
	err := dynamostore.CreateTable(t.Context(), client, table, nil)
	require.ErrorContains(t, err, "it exists")
	require.ErrorContains(t, err, "no index names")
}

func TestCreateTableEndsWithItsContext(t *testing.T) {
	faults := faulthttp.New(nil)
	client, table := dynamotest.ClientOver(t, faults), dynamotest.Table(t)
	faults.On("DescribeTable", faulthttp.Each, describing(&types.TableDescription{TableStatus: types.TableStatusCreating}))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, dynamostore.CreateTable(ctx, client, table, nil), context.DeadlineExceeded)
}

func TestCheckNamesWhatIsWrongAndHowToMendIt(t *testing.T) {
	sound := func() *types.TableDescription {
		return &types.TableDescription{
			TableStatus: types.TableStatusActive, DeletionProtectionEnabled: aws.Bool(true),
			BillingModeSummary: &types.BillingModeSummary{BillingMode: types.BillingModePayPerRequest},
			KeySchema:          keys("pk", "sk"),
			AttributeDefinitions: []types.AttributeDefinition{
				textual("pk"), textual("sk"), textual("ns"), textual("name"),
			},
			GlobalSecondaryIndexes: []types.GlobalSecondaryIndexDescription{{
				IndexName: aws.String("names"), IndexStatus: types.IndexStatusActive, KeySchema: keys("ns", "name"),
				Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
			}},
		}
	}
	for _, c := range []struct {
		name     string
		change   func(*types.TableDescription)
		severity dynamostore.Severity
		problem  string
	}{
		{"being made", func(d *types.TableDescription) { d.TableStatus = types.TableStatusCreating }, dynamostore.Broken, "CREATING"},
		{"other keys", func(d *types.TableDescription) { d.KeySchema = keys("id", "sk") }, dynamostore.Broken, "pk and sk"},
		{"no sort key", func(d *types.TableDescription) { d.KeySchema = keys("pk", "sk")[:1] }, dynamostore.Broken, "pk and sk"},
		{"a key that is a number", func(d *types.TableDescription) {
			d.AttributeDefinitions[1].AttributeType = types.ScalarAttributeTypeN
		}, dynamostore.Broken, "pk and sk"},
		{"no index", func(d *types.TableDescription) { d.GlobalSecondaryIndexes = nil }, dynamostore.Broken, "no index names"},
		{"another index", func(d *types.TableDescription) { d.GlobalSecondaryIndexes[0].KeySchema = keys("name", "ns") }, dynamostore.Broken, "index names"},
		{"a fat index", func(d *types.TableDescription) {
			d.GlobalSecondaryIndexes[0].Projection.ProjectionType = types.ProjectionTypeAll
		}, dynamostore.Notable, "more than keys"},
		{"unprotected", func(d *types.TableDescription) { d.DeletionProtectionEnabled = nil }, dynamostore.Risky, "deletion"},
		{"provisioned", func(d *types.TableDescription) { d.BillingModeSummary = nil }, dynamostore.Notable, "provisioned"},
		{"a global table", func(d *types.TableDescription) {
			d.Replicas = []types.ReplicaDescription{{RegionName: aws.String("eu-west-1")}}
		}, dynamostore.Broken, "last writer wins"},
		{"a strongly consistent global table", func(d *types.TableDescription) {
			d.Replicas = []types.ReplicaDescription{{RegionName: aws.String("eu-west-1")}}
			d.MultiRegionConsistency = types.MultiRegionConsistencyStrong
		}, dynamostore.Risky, "no transactions"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := setUp(t)
			description := sound()
			f.faults.On("DescribeTable", faulthttp.Each, describing(description))
			found, err := f.Check(t.Context())
			require.NoError(t, err)
			require.Empty(t, found)

			c.change(description)
			found, err = f.Check(t.Context())
			require.NoError(t, err)
			require.Len(t, found, 1)
			assert.Equal(t, c.severity, found[0].Severity)
			assert.Contains(t, found[0].Problem, c.problem)
			assert.NotEmpty(t, found[0].Remedy)
		})
	}
}

func TestCheckLooksAtExpiryAndRecovery(t *testing.T) {
	for _, c := range []struct {
		name     string
		op       string
		fault    faulthttp.Fault
		severity dynamostore.Severity
		problem  string
	}{
		{"no expiry", "DescribeTimeToLive", page(200, `{"TimeToLiveDescription":{"TimeToLiveStatus":"DISABLED"}}`), dynamostore.Risky, "never expire"},
		{"expiry by another attribute", "DescribeTimeToLive",
			page(200, `{"TimeToLiveDescription":{"TimeToLiveStatus":"ENABLED","AttributeName":"ttl"}}`), dynamostore.Broken, "TTL is on ttl"},
		{"expiry that may not be seen", "DescribeTimeToLive", faulthttp.Error("AccessDeniedException"), dynamostore.Notable, "expiry could not"},
		{"no recovery", "DescribeContinuousBackups",
			page(200, `{"ContinuousBackupsDescription":{"PointInTimeRecoveryDescription":{"PointInTimeRecoveryStatus":"DISABLED"}}}`),
			dynamostore.Risky, "recovery is off"},
		{"recovery that may not be seen", "DescribeContinuousBackups", faulthttp.Error("AccessDeniedException"), dynamostore.Notable, "could not"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := setUp(t)
			f.faults.On(c.op, faulthttp.Each, c.fault)
			found, err := f.Check(t.Context())
			require.NoError(t, err)
			require.Len(t, found, 1)
			assert.Equal(t, c.severity, found[0].Severity)
			assert.Contains(t, found[0].Problem, c.problem)
			assert.NotEmpty(t, found[0].Remedy)
		})
	}
}

func TestCheckOfAMissingTableIsAFindingAndOfNoEndpointAnError(t *testing.T) {
	faults := faulthttp.New(nil)
	s := dynamostore.New(dynamotest.ClientOver(t, faults), dynamotest.Table(t))
	found, err := s.Check(t.Context())
	require.NoError(t, err)
	require.Len(t, found, 1)
	assert.Equal(t, dynamostore.Broken, found[0].Severity)
	assert.Contains(t, found[0].String(), "milepost table create")

	faults.On(faulthttp.Any, faulthttp.Each, faulthttp.Refuse())
	_, err = s.Check(t.Context())
	require.ErrorIs(t, err, store.ErrUnavailable)
}

func keys(hash, sort string) []types.KeySchemaElement {
	return []types.KeySchemaElement{
		{AttributeName: &hash, KeyType: types.KeyTypeHash}, {AttributeName: &sort, KeyType: types.KeyTypeRange},
	}
}

func textual(name string) types.AttributeDefinition {
	return types.AttributeDefinition{AttributeName: &name, AttributeType: types.ScalarAttributeTypeS}
}
