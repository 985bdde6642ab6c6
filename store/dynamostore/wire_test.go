package dynamostore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
)

func TestRecordsHaveTheseAttributesOnTheWire(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	assert.Equal(t, "epoch fmt holder lease_id pk sk version", attributes(f.item(t, "HEAD")))
	assert.Equal(t, number("0"), f.item(t, "HEAD")["version"])

	require.NoError(t, f.commit(t, versionOf(1)))
	const head = "born by commit_epoch commit_id cursor epoch fmt lease_id name ns pk processed saved_at sk version"
	assert.Equal(t, head, attributes(f.item(t, "HEAD")))

	full := versionOf(2)
	full.Finished = []store.Range{{First: "a", Last: "b"}}
	full.Failed, full.LastError = 12, "no such order"
	full.State = &store.State{Data: []byte("{}"), ContentType: "text/plain", Encoding: "zstd", Size: 99, SHA256: make([]byte, 32)}
	full.Identity, full.Schema = "s3://in/a", 3
	full.Ended, full.Deleted, full.RestoredFrom, full.Reason = store.EndedError, true, 1, "by hand"
	full.Starts = []int64{1}
	full.ArchivedThrough = 1
	require.NoError(t, f.commit(t, full))
	assert.Equal(t, "archived_through born by commit_epoch commit_id ct cursor deleted enc ended epoch failed fin fmt ident last_error lease_id"+
		" name ns pk processed reason restored_from saved_at schema sha size sk starts state version", attributes(f.item(t, "HEAD")))

	_, _, err := f.Raise(t.Context(), f.key, store.Fence{Epoch: fence.Epoch + 1, LeaseID: "next"}, holder, false)
	require.NoError(t, err)
	assert.Contains(t, f.item(t, "HEAD"), "holder", "a raise says who, until that holder commits")

	require.NoError(t, f.Copy(t.Context(), f.key, store.Copy{Version: versionOf(1), ExpiresAt: now.Add(time.Hour), Label: "before", Kept: true}))
	copied := f.item(t, store.CopyRecord(1))
	assert.Equal(t, "born by commit_epoch commit_id cursor expires_at fmt kept label pk processed saved_at sk version", attributes(copied))
	assert.Equal(t, number("1772371815"), copied["expires_at"], "seconds")
	assert.Equal(t, number("1772368215000000"), copied["saved_at"], "microseconds")

	lease := f.item(t, "LEASE")
	assert.Equal(t, "acquired_at beat duration_ms epoch fmt holder lease_id pk renewed_at sk status until_ms", attributes(lease))
	assert.Equal(t, number("0"), lease["beat"], "conditions compare it, so it is always there")
	assert.Equal(t, number("1772368245000"), lease["until_ms"])
	require.NoError(t, f.Want(t.Context(), f.key, fence, store.Wanted{By: "other", Count: 3}))
	_, _, err = f.Renew(t.Context(), f.key, store.Renewal{Fence: fence, Beat: 1, Version: 2})
	require.NoError(t, err)
	assert.Equal(t, "acquired_at beat duration_ms epoch fmt holder lease_id pk sk status version wanted_by wanted_n",
		attributes(f.item(t, "LEASE")), "a beat without an expiry removes the one before")

	require.NoError(t, f.Expect(t.Context(), f.key, nil, &store.Expectation{Every: time.Hour, Grace: time.Minute, SetBy: "ops", SetAt: now}))
	assert.Equal(t, "every_ms fmt grace_ms name ns pk set_at set_by sk", attributes(f.item(t, "EXPECT")))
}

// A TTL on HEAD restarts an idle job from zero, and one on LEASE resets the
// fence: nothing but a copy may ever carry the table's TTL attribute. And what is
// not HEAD or EXPECT must stay out of the index, or each save costs twice.
func TestOnlyCopiesExpireAndOnlyHeadAndExpectAreIndexed(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	for n := int64(1); n <= 3; n++ {
		require.NoError(t, f.commit(t, versionOf(n)))
		require.NoError(t, f.Copy(t.Context(), f.key, store.Copy{Version: versionOf(n), ExpiresAt: now}))
	}
	label := "savepoint"
	require.NoError(t, f.KeepBase(t.Context(), f.key, versionOf(2)))
	require.NoError(t, f.KeepBase(t.Context(), f.key, versionOf(4)))
	require.NoError(t, f.Amend(t.Context(), f.key, store.Copy{Version: versionOf(3), ExpiresAt: now}, store.Amendment{Label: &label}))
	_, _, err := f.Renew(t.Context(), f.key, store.Renewal{Fence: fence, Beat: 1, Until: store.Clock{Wall: now}, RenewedAt: now, Version: 3})
	require.NoError(t, err)
	require.NoError(t, f.Expect(t.Context(), f.key, nil, &store.Expectation{Every: time.Hour}))
	require.NoError(t, f.Release(t.Context(), f.key, fence, 3))

	for _, sk := range []string{"HEAD", "LEASE", "EXPECT"} {
		item := f.item(t, sk)
		require.NotEmpty(t, item, sk)
		assert.NotContains(t, item, "expires_at", sk)
		if sk == "LEASE" {
			assert.NotContains(t, item, "ns")
			assert.NotContains(t, item, "name")
		}
	}
	for n, expires := range map[int64]bool{1: true, 2: false, 3: true, 4: false} {
		item := f.item(t, store.CopyRecord(n))
		require.NotEmpty(t, item, n)
		assert.Equal(t, expires, item["expires_at"] != nil, "version %d", n)
		assert.NotContains(t, item, "ns")
		assert.NotContains(t, item, "name")
	}

	v := versionOf(4)
	v.Deleted = true
	require.NoError(t, f.commit(t, v))
	require.NoError(t, f.Unlist(t.Context(), f.key, v.CommitID))
	assert.NotContains(t, f.item(t, "HEAD"), "ns")
	assert.NotContains(t, f.item(t, "HEAD"), "name")
}

func TestOverheadOfHeadIsAtMost350Bytes(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	v := versionOf(1_234_567)
	v.Cursor, v.Identity, v.Schema = "", "", 12
	v.SavedAt = now.Add(123_456 * time.Microsecond)
	v.Processed, v.Failed = 123_456_789_012, 98_765
	v.Born = 1_000_000
	v.Starts = []int64{1_234_001, 1_234_101, 1_234_201, 1_234_301, 1_234_401}
	v.State = stateOf(0)
	v.State.Size = 123_456
	v.State.Encoding = "zstd"
	f.put(t, raisedTo(f.item(t, "HEAD"), "1234566"))
	require.NoError(t, f.commit(t, v))

	item := f.item(t, "HEAD")
	for _, other := range []string{"pk", "name", "cursor", "ident", "by", "holder", "state"} {
		delete(item, other)
	}
	size := 0
	for name, value := range item {
		size += len(name) + sizeOf(t, value)
	}
	t.Logf("overhead: %d bytes", size)
	assert.LessOrEqual(t, size, 350)
}

// sizeOf counts a value of HEAD by the service's rules, apart from the engine's
// own count.
func sizeOf(t *testing.T, value types.AttributeValue) int {
	switch v := value.(type) {
	case *types.AttributeValueMemberS:
		return len(v.Value)
	case *types.AttributeValueMemberB:
		return len(v.Value)
	case *types.AttributeValueMemberN:
		return (len(v.Value)+1)/2 + 1
	case *types.AttributeValueMemberL:
		size := 3
		for _, e := range v.Value {
			size += 1 + sizeOf(t, e)
		}
		return size
	}
	t.Fatalf("HEAD has an attribute of type %T", value)
	return 0
}

func raisedTo(head map[string]types.AttributeValue, version string) map[string]types.AttributeValue {
	head["version"] = number(version)
	head["commit_id"], head["commit_epoch"], head["born"] = text("c"), number("1"), number("1")
	return head
}

func TestLeaseStaysUnder1KiBWhateverItsHolderIsCalled(t *testing.T) {
	f := setUp(t)
	long := strings.Repeat("é", 2000)
	for _, name := range []string{"a", strings.Repeat("n", 300)} {
		f.key.Name = name
		l := leaseOf(fence)
		l.Holder.Host, l.Holder.RunID, l.Reason = long, long, long
		_, err := f.Acquire(t.Context(), f.key, nil, l)
		require.NoError(t, err)
		require.NoError(t, f.Want(t.Context(), f.key, fence, store.Wanted{By: long, Count: 1 << 40}))
		got, _, err := f.Renew(t.Context(), f.key, store.Renewal{
			Fence: fence, Beat: store.MaxNumber - 1, Until: store.Clock{Wall: now.Add(time.Millisecond)}, RenewedAt: now.Add(time.Microsecond), Version: store.MaxNumber - 1,
		})
		require.NoError(t, err)
		assert.Equal(t, holder.ID, got.Holder.ID, "what the protocol compares is never cut")
		assert.Equal(t, holder.PIDStart, got.Holder.PIDStart)
		assert.True(t, strings.HasPrefix(long, strings.TrimSuffix(got.Holder.Host, "…")))

		before := f.Costs()["Renew"].WriteUnits
		_, _, err = f.Renew(t.Context(), f.key, store.Renewal{Fence: fence, Beat: store.MaxNumber, Version: store.MaxNumber})
		require.NoError(t, err)
		assert.InDelta(t, 1, f.Costs()["Renew"].WriteUnits-before, 0, "a beat costs 1 WCU")
	}
}
