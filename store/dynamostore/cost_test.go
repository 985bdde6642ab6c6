package dynamostore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/dynamostore"
)

// spent is what do costs, and the requests that the transport saw for it.
func (f fixture) spent(t testing.TB, do func() error) (dynamostore.Cost, []string) {
	t.Helper()
	before, seen := f.Cost(), len(f.faults.Requests())
	require.NoError(t, do())
	after := f.Cost()
	var ops []string
	for _, r := range f.faults.Requests()[seen:] {
		ops = append(ops, r.Op)
	}
	return dynamostore.Cost{
		Requests:   after.Requests - before.Requests,
		ReadUnits:  after.ReadUnits - before.ReadUnits,
		WriteUnits: after.WriteUnits - before.WriteUnits,
	}, ops
}

func TestASaveOfAtMost1KiBIsOneRequestAnd1WCUAndItsCopyAnother(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	require.NoError(t, f.commit(t, versionOf(1)))
	v := versionOf(2)
	v.State = stateOf(600)

	cost, ops := f.spent(t, func() error { return f.commit(t, v) })
	assert.Equal(t, []string{"PutItem"}, ops)
	assert.Equal(t, dynamostore.Cost{Requests: 1, WriteUnits: 1}, cost)

	cost, ops = f.spent(t, func() error {
		return f.Copy(t.Context(), f.key, store.Copy{Version: v, ExpiresAt: now.Add(time.Hour)})
	})
	assert.Equal(t, []string{"PutItem"}, ops)
	assert.Equal(t, dynamostore.Cost{Requests: 1, WriteUnits: 1}, cost)
}

func TestABeatIsOneRequestAnd1WCUWhateverTheStatesSize(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	v := versionOf(1)
	v.State = stateOf(200 << 10)
	require.NoError(t, f.commit(t, v))

	cost, ops := f.spent(t, func() error {
		_, _, err := f.Renew(t.Context(), f.key, store.Renewal{Fence: fence, Beat: 1, Until: store.Clock{Wall: now}, RenewedAt: now, Version: 1})
		return err
	})
	assert.Equal(t, []string{"UpdateItem"}, ops)
	assert.Equal(t, dynamostore.Cost{Requests: 1, WriteUnits: 1}, cost)
}

func TestAnOpenIsThreeRequestsWhateverTheNumberOfVersions(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	v := versionOf(1)
	v.State = stateOf(2500) // HEAD takes 3 KiB
	require.NoError(t, f.commit(t, v))
	epoch := fence.Epoch
	open := func() error {
		seen, err := f.Look(t.Context(), f.key)
		if err != nil {
			return err
		}
		epoch++
		next := store.Fence{Epoch: epoch, LeaseID: fmt.Sprint("l", epoch)}
		if _, err := f.Acquire(t.Context(), f.key, seen.Lease, leaseOf(next)); err != nil {
			return err
		}
		head, _, err := f.Raise(t.Context(), f.key, next, holder, false)
		assert.Equal(t, v.State, head.State, "the raise's reply is the load")
		return err
	}
	few, ops := f.spent(t, open)
	assert.Equal(t, []string{"Query", "PutItem", "UpdateItem"}, ops)
	assert.Equal(t, int64(3), few.Requests)
	assert.InDelta(t, 1+3, few.WriteUnits, 0, "1 and HEAD's KiB")
	assert.LessOrEqual(t, few.ReadUnits, 1.0)

	for n := int64(1); n <= 200; n++ {
		require.NoError(t, f.Copy(t.Context(), f.key, store.Copy{Version: versionOf(n)}))
	}
	many, ops := f.spent(t, open)
	assert.Equal(t, []string{"Query", "PutItem", "UpdateItem"}, ops)
	assert.Equal(t, few, many)
}

func TestOnlyTheFirstCommitPaysForTheIndex(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	for n, want := range []float64{2, 1, 1, 1} { // the first puts HEAD into the index
		cost, _ := f.spent(t, func() error { return f.commit(t, versionOf(int64(n+1))) })
		assert.InDelta(t, want, cost.WriteUnits, 0, "commit %d", n+1)
	}
}

func TestATransactionalSaveCostsTwiceAndIsStillOneRequest(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	require.NoError(t, f.commit(t, versionOf(1)))
	theirs := writesTo(t, f.raw)
	cost, ops := f.spent(t, func() error { return f.commit(t, versionOf(2), theirs.Make("a")) })
	assert.Equal(t, []string{"TransactWriteItems"}, ops)
	assert.Equal(t, dynamostore.Cost{Requests: 1, WriteUnits: 4}, cost, "2 for HEAD, 2 for the caller's item")
}

func TestAFailedConditionIsOneRequest(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	require.NoError(t, f.commit(t, versionOf(1)))
	seen := len(f.faults.Requests())
	var conflict *store.ConflictError
	require.ErrorAs(t, f.commit(t, versionOf(1)), &conflict)
	assert.Equal(t, versionOf(1).CommitID, conflict.Head.CommitID, "the record comes with the refusal")
	assert.Len(t, f.faults.Requests()[seen:], 1)
}
