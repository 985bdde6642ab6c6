package terraform_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/test/dynamotest"
)

// tableRequests are the requests that make a table, except for its name.
type tableRequests struct {
	Create dynamodb.CreateTableInput
	Expiry types.TimeToLiveSpecification
	Backup types.PointInTimeRecoverySpecification
}

func TestTheCommandAndTheModuleMakeTheSameTable(t *testing.T) {
	t.Parallel()
	byCommand, described := commandsTable(t)
	byModule := modulesTable(t, copyModule(t))
	assert.Equal(t, byCommand, byModule)

	// The endpoint confirms it for a table made by the module's requests.
	client, table := dynamotest.Client(t), dynamotest.Table(t)
	create := byModule.Create
	create.TableName = &table
	_, err := client.CreateTable(t.Context(), &create)
	require.NoError(t, err)
	_, err = client.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{TableName: &table, TimeToLiveSpecification: &byModule.Expiry})
	require.NoError(t, err)
	require.NoError(t, dynamostore.CreateTable(t.Context(), client, table, nil), "milepost table create takes the table as its own")
	assert.Equal(t, described, describe(t, client, table))
	findings, err := dynamostore.New(client, table).Check(t.Context())
	require.NoError(t, err)
	assert.Empty(t, findings)
}

func TestADifferenceFromTheModulesTableIsFound(t *testing.T) {
	t.Parallel()
	byCommand, _ := commandsTable(t)
	for _, change := range []struct{ name, old, new string }{
		{"another key", `range_key                   = "sk"`, `range_key = "ns"`},
		{"another type", `type = "S"`, `type = "B"`},
		{"another index", `name            = "names"`, `name = "by_name"`},
		{"an index that holds more", `"KEYS_ONLY"`, `"ALL"`},
		{"another expiry", `"expires_at"`, `"ttl"`},
		{"no backups", `enabled = var.point_in_time_recovery`, `enabled = false`},
		{"no protection", `= var.deletion_protection`, `= false`},
		{"provisioned capacity", `"PAY_PER_REQUEST"`, `"PROVISIONED"`},
	} {
		t.Run(change.name, func(t *testing.T) {
			t.Parallel()
			dir := copyModule(t)
			path := filepath.Join(dir, "table.tf")
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			changed := strings.Replace(string(text), change.old, change.new, 1)
			require.NotEqual(t, string(text), changed, "there is nothing to change")
			require.NoError(t, os.WriteFile(path, []byte(changed), 0o600))
			assert.NotEqual(t, byCommand, modulesTable(t, dir))
		})
	}
}

// commandsTable makes a table as the command does, and returns the requests as
// they were sent, and what the endpoint says of the table.
func commandsTable(t *testing.T) (tableRequests, types.TableDescription) {
	t.Helper()
	recorder := &recorder{bodies: map[string][]byte{}}
	client, table := dynamotest.ClientOver(t, recorder), dynamotest.Table(t)
	require.NoError(t, dynamostore.CreateTable(t.Context(), client, table, nil))

	var requests tableRequests
	var expiry dynamodb.UpdateTimeToLiveInput
	var backup dynamodb.UpdateContinuousBackupsInput
	for operation, input := range map[string]any{
		"CreateTable": &requests.Create, "UpdateTimeToLive": &expiry, "UpdateContinuousBackups": &backup,
	} {
		body, ok := recorder.bodies[operation]
		require.True(t, ok, "no %s was sent", operation)
		require.NoError(t, json.Unmarshal(body, input)) // the fields have their names on the wire
	}
	requests.Expiry, requests.Backup = *expiry.TimeToLiveSpecification, *backup.PointInTimeRecoverySpecification
	requests.Create.TableName = nil
	sortDefinitions(requests.Create.AttributeDefinitions)
	return requests, describe(t, client, table)
}

// modulesTable applies the module, and returns the requests for its table.
func modulesTable(t *testing.T, dir string) tableRequests {
	t.Helper()
	var table struct {
		BillingMode string `json:"billing_mode"`
		HashKey     string `json:"hash_key"`
		RangeKey    string `json:"range_key"`
		Protected   bool   `json:"deletion_protection_enabled"`
		Attribute   []struct{ Name, Type string }
		Index       []struct {
			Name       string
			HashKey    string   `json:"hash_key"`
			RangeKey   string   `json:"range_key"`
			Projection string   `json:"projection_type"`
			Include    []string `json:"non_key_attributes"`
			Bound      []any    `json:"on_demand_throughput"`
		} `json:"global_secondary_index"`
		Local  []any   `json:"local_secondary_index"`
		Stream *bool   `json:"stream_enabled"`
		Class  *string `json:"table_class"`
		Key    []any   `json:"server_side_encryption"`
		Bound  []any   `json:"on_demand_throughput"`
		Warm   []any   `json:"warm_throughput"`
		TTL    []struct {
			Attribute string `json:"attribute_name"`
			Enabled   bool
		}
		Recovery []struct {
			Enabled bool
			Days    *int32 `json:"recovery_period_in_days"`
		} `json:"point_in_time_recovery"`
		Replica []any
	}
	apply(t, dir).resource(t, "aws_dynamodb_table", &table)
	for _, unasked := range [][]any{table.Local, table.Key, table.Bound, table.Warm, table.Replica} {
		require.Empty(t, unasked)
	}
	require.Nil(t, table.Stream)
	require.Nil(t, table.Class)
	require.Len(t, table.TTL, 1)
	require.Len(t, table.Recovery, 1)

	create := dynamodb.CreateTableInput{
		BillingMode:               types.BillingMode(table.BillingMode),
		DeletionProtectionEnabled: &table.Protected,
		KeySchema:                 keys(table.HashKey, table.RangeKey),
	}
	for _, a := range table.Attribute {
		create.AttributeDefinitions = append(create.AttributeDefinitions, types.AttributeDefinition{
			AttributeName: &a.Name, AttributeType: types.ScalarAttributeType(a.Type),
		})
	}
	for _, index := range table.Index {
		require.Empty(t, index.Bound)
		create.GlobalSecondaryIndexes = append(create.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{
			IndexName:  &index.Name,
			KeySchema:  keys(index.HashKey, index.RangeKey),
			Projection: &types.Projection{ProjectionType: types.ProjectionType(index.Projection), NonKeyAttributes: index.Include},
		})
	}
	sortDefinitions(create.AttributeDefinitions)
	return tableRequests{
		Create: create,
		Expiry: types.TimeToLiveSpecification{AttributeName: &table.TTL[0].Attribute, Enabled: &table.TTL[0].Enabled},
		Backup: types.PointInTimeRecoverySpecification{
			PointInTimeRecoveryEnabled: &table.Recovery[0].Enabled, RecoveryPeriodInDays: table.Recovery[0].Days,
		},
	}
}

func keys(hash, sort string) []types.KeySchemaElement {
	return []types.KeySchemaElement{
		{AttributeName: &hash, KeyType: types.KeyTypeHash},
		{AttributeName: &sort, KeyType: types.KeyTypeRange},
	}
}

func sortDefinitions(definitions []types.AttributeDefinition) {
	slices.SortFunc(definitions, func(a, b types.AttributeDefinition) int { return cmp.Compare(*a.AttributeName, *b.AttributeName) })
}

// describe returns the endpoint's description of a table, without what is unique to the table.
func describe(t *testing.T, client *dynamodb.Client, table string) types.TableDescription {
	t.Helper()
	out, err := client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &table})
	require.NoError(t, err)
	d := *out.Table
	d.TableName, d.TableArn, d.TableId, d.CreationDateTime = nil, nil, nil, nil
	if d.BillingModeSummary != nil {
		d.BillingModeSummary = &types.BillingModeSummary{BillingMode: d.BillingModeSummary.BillingMode}
	}
	for i := range d.GlobalSecondaryIndexes {
		d.GlobalSecondaryIndexes[i].IndexArn = nil
	}
	sortDefinitions(d.AttributeDefinitions)
	return d
}

// recorder keeps the body of the last request of each operation.
type recorder struct {
	mu     sync.Mutex
	bodies map[string][]byte
}

func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	_, operation, _ := strings.Cut(request.Header.Get("X-Amz-Target"), ".")
	r.mu.Lock()
	r.bodies[operation] = body
	r.mu.Unlock()
	sent := request.Clone(request.Context())
	sent.Body = io.NopCloser(bytes.NewReader(body))
	return http.DefaultTransport.RoundTrip(sent)
}
