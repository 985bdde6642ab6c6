package dynamostore_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/test/dynamotest"
	"github.com/milepost-dev/milepost/test/faulthttp"
)

// fixture is a store in a new table, the transport between them, and a client that reaches the table
// directly.
type fixture struct {
	*dynamostore.Store
	faults *faulthttp.Transport
	raw    *dynamodb.Client
	table  string
	key    store.Key
}

func setUp(t testing.TB) fixture {
	t.Helper()
	f := fixture{
		faults: faulthttp.New(nil), raw: dynamotest.Client(t), table: dynamotest.Table(t),
		key: store.Key{Namespace: "default", Name: "orders/eu"},
	}
	require.NoError(t, dynamostore.CreateTable(t.Context(), f.raw, f.table, nil))
	f.Store = dynamostore.New(dynamotest.ClientOver(t, f.faults), f.table)
	return f
}

var (
	now    = time.Date(2026, 3, 1, 12, 30, 15, 0, time.UTC)
	holder = store.Holder{
		ID: "nightly", Host: "etl-7", PID: 4121, RunID: "2026-03-01T02:00:01Z",
		Boot: "4f0d1c1e-7a55-4d0a-9c8e-0d2f6a1b2c3d", PIDSpace: "pid:[4026531836]", PIDStart: "8231077", TimeSpace: "time:[4026531834]",
	}
	fence = store.Fence{Epoch: 1_000_007, LeaseID: "2f7c5e0a94d14b0c8f1d7a6b3e9c0d12"}
)

func leaseOf(fence store.Fence) store.Lease {
	return store.Lease{
		Epoch: fence.Epoch, LeaseID: fence.LeaseID, Status: store.Held, Holder: holder, Duration: 30 * time.Second,
		Until: store.Clock{Wall: now.Add(30 * time.Second)}, AcquiredAt: now, RenewedAt: now,
	}
}

func versionOf(n int64) store.Version {
	return store.Version{
		Number: n, CommitID: fmt.Sprintf("%032x", n), CommitEpoch: fence.Epoch,
		By: holder, SavedAt: now, Content: store.Content{Cursor: "ord-88123", Processed: 1_203_870}, Born: 1,
	}
}

func stateOf(size int) *store.State {
	return &store.State{Data: []byte(strings.Repeat("s", size)), Size: int64(size), SHA256: make([]byte, 32)}
}

// hold acquires the lease and raises the fence.
func (f fixture) hold(t testing.TB) {
	t.Helper()
	_, err := f.Acquire(t.Context(), f.key, nil, leaseOf(fence))
	require.NoError(t, err)
	_, _, err = f.Raise(t.Context(), f.key, fence, holder, true)
	require.NoError(t, err)
}

func (f fixture) commit(t testing.TB, v store.Version, writes ...store.Write) error {
	t.Helper()
	_, err := f.Commit(t.Context(), f.key, store.Commit{Fence: fence, Base: v.Number - 1, Next: v, Writes: writes})
	return err
}

// These read and write the table without the engine.

func rawKey(key store.Key, sk string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"pk": text(key.Namespace + "#" + key.Name), "sk": text(sk)}
}

func (f fixture) item(t testing.TB, sk string) map[string]types.AttributeValue {
	t.Helper()
	out, err := f.raw.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: &f.table, Key: rawKey(f.key, sk), ConsistentRead: aws.Bool(true),
	})
	require.NoError(t, err)
	return out.Item
}

func (f fixture) put(t testing.TB, item map[string]types.AttributeValue) {
	t.Helper()
	require.NoError(t, f.tryPut(t, item))
}

func (f fixture) tryPut(t testing.TB, item map[string]types.AttributeValue) error {
	_, err := f.raw.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &f.table, Item: item})
	return err
}

func attributes(item map[string]types.AttributeValue) string {
	return strings.Join(slices.Sorted(maps.Keys(item)), " ")
}
