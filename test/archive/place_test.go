//go:build linux

package archive_test

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/archive/s3archive"
	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/test/dynamotest"
	"github.com/milepost-dev/milepost/test/faulthttp"
	"github.com/milepost-dev/milepost/test/s3test"
)

// place is a DynamoDB table and a prefix in a bucket. Processes reach both directly or through
// proxies.
type place struct {
	t       *testing.T
	table   string
	client  *dynamodb.Client
	store   store.Store
	archive archive.Archive

	env    []string // reaches both directly
	slowly []string // reaches both through proxies, which inject the table and bucket faults

	tableFaults, bucketFaults *faulthttp.Transport
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{
		t: t, table: dynamotest.Table(t), client: dynamotest.Client(t),
		tableFaults: faulthttp.New(nil), bucketFaults: faulthttp.New(nil),
	}
	p.create()
	p.store = dynamostore.New(p.client, p.table)
	bucket, prefix := s3test.Place(t)
	var err error
	p.archive, err = s3archive.New(s3test.Client(t), bucket, prefix, nil)
	require.NoError(t, err)

	credentials := credentialsOfBoth(t)
	tables, buckets := dynamotest.Endpoint(t), s3test.Endpoint(t)
	named := func(table, bucketEndpoint string) []string {
		return append(credentials[:len(credentials):len(credentials)],
			"MILEPOST_STORE=dynamodb://"+p.table+"?endpoint="+table,
			"MILEPOST_ARCHIVE=s3://"+bucket+"/"+prefix+"?endpoint="+bucketEndpoint)
	}
	p.env = named(tables, buckets)
	p.slowly = named(faulthttp.Proxy(t, tables, p.tableFaults), faulthttp.Proxy(t, buckets, p.bucketFaults))
	return p
}

// credentialsOfBoth returns one environment for both endpoints: the local table accepts any
// credentials.
func credentialsOfBoth(t *testing.T) []string {
	t.Helper()
	return append(dynamotest.Env(t), s3test.Env(t)...)
}

func (p *place) create() {
	p.t.Helper()
	require.NoError(p.t, dynamostore.CreateTable(p.t.Context(), p.client, p.table, &dynamostore.CreateOptions{
		NoDeletionProtection: true, NoPointInTimeRecovery: true,
	}))
}

// lose deletes the table with its content, and creates it again.
func (p *place) lose() {
	p.t.Helper()
	_, err := p.client.DeleteTable(p.t.Context(), &dynamodb.DeleteTableInput{TableName: &p.table})
	require.NoError(p.t, err)
	waiter := dynamodb.NewTableNotExistsWaiter(p.client, func(o *dynamodb.TableNotExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 20*time.Millisecond, time.Second
	})
	require.NoError(p.t, waiter.Wait(p.t.Context(), &dynamodb.DescribeTableInput{TableName: &p.table}, time.Minute))
	p.create()
}

// look reads the records of a checkpoint without the command.
func (p *place) look(name string) store.Records {
	p.t.Helper()
	found, err := p.store.Look(p.t.Context(), store.Key{Namespace: store.DefaultNamespace, Name: name})
	require.NoError(p.t, err)
	return found
}

// keys returns the keys of the archive's objects below a prefix, with their sizes.
func keys(t *testing.T, a archive.Archive, prefix string) map[string]int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), eventually)
	defer cancel()
	all := map[string]int64{}
	for object, err := range a.List(ctx, prefix, nil) {
		require.NoError(t, err)
		all[object.Key] = object.Size
	}
	return all
}

// text returns the content of an object.
func (p *place) text(object string) string {
	p.t.Helper()
	data, _, err := archive.ReadAll(p.t.Context(), p.archive, object, archive.MaxReplace)
	require.NoError(p.t, err)
	return string(data)
}
