package dynamostore_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/test/dynamotest"
)

func TestARecordPastTheLimitIsRefusedBeforeItIsSent(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	v := versionOf(1)
	v.State = stateOf(400 << 10)
	theirs := writesTo(t, f.raw)
	for name, write := range map[string]func() error{
		"Commit":                      func() error { return f.commit(t, v) },
		"Commit with a caller's item": func() error { return f.commit(t, v, theirs.Make("a")) },
		"Copy":                        func() error { return f.Copy(t.Context(), f.key, store.Copy{Version: v}) },
		"KeepBase":                    func() error { return f.KeepBase(t.Context(), f.key, v) },
	} {
		seen := len(f.faults.Requests())
		err := write()
		meansExactly(t, err, store.ErrTooLarge, store.ErrNotApplied)
		var size *store.SizeError
		require.ErrorAs(t, err, &size, name)
		assert.Equal(t, f.key, size.Key)
		assert.Greater(t, size.Size, int64(400<<10))
		assert.Less(t, size.Limit, int64(400<<10))
		assert.Len(t, f.faults.Requests(), seen, "%s: nothing was sent", name)
	}
	assert.Equal(t, number("0"), f.item(t, "HEAD")["version"], "nothing was changed")
}

// The largest checkpoint must not block its next steps: there is still room for the next holder's
// name, the copy and a label.
func TestTheLargestRecordCanStillBeCopiedLabelledAndTakenOver(t *testing.T) {
	f := setUp(t)
	f.key.Name = strings.Repeat("n", store.MaxName)
	f.hold(t)
	v := versionOf(1)
	size := 400 << 10
	for {
		v.State = stateOf(size)
		err := f.commit(t, v)
		if err == nil {
			break
		}
		require.ErrorIs(t, err, store.ErrTooLarge)
		size -= 64
	}
	require.Greater(t, size, 394<<10)
	require.NoError(t, f.KeepBase(t.Context(), f.key, v))
	require.NoError(t, f.Copy(t.Context(), f.key, store.Copy{Version: v, ExpiresAt: now}))
	label := strings.Repeat("l", 1024)
	require.NoError(t, f.Amend(t.Context(), f.key, store.Copy{Version: v, Kept: true}, store.Amendment{Label: &label, ExpiresAt: &now}))
	next := holder
	next.Host, next.RunID = strings.Repeat("h", 1024), strings.Repeat("r", 1024)
	head, _, err := f.Raise(t.Context(), f.key, store.Fence{Epoch: fence.Epoch + 1, LeaseID: "next"}, next, false)
	require.NoError(t, err)
	assert.Equal(t, v.State, head.State)
}

func TestTextThatTheServiceWouldNotGiveBackIsRefused(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	v := versionOf(1)
	v.Cursor = "half a character: \xc3"
	meansExactly(t, f.commit(t, v), store.ErrNotApplied)
	v = versionOf(1)
	v.Finished = []store.Range{{First: "\xff"}}
	meansExactly(t, f.commit(t, v), store.ErrNotApplied)

	label := "\xff"
	meansExactly(t, f.Amend(t.Context(), f.key, store.Copy{Version: v}, store.Amendment{Label: &label}), store.ErrNotApplied)

	v = versionOf(1)
	v.LastError = "exit status 1: \xff\xfe"
	require.NoError(t, f.commit(t, v), "what only people read is made readable")
	seen, err := f.Look(t.Context(), f.key)
	require.NoError(t, err)
	assert.Equal(t, "exit status 1: \uFFFD", seen.Head.LastError)
}

// The count is the service's: an item of just the limit is taken, and one byte
// more is not.
func TestTheServiceDrawsItsLimitWhereWeDo(t *testing.T) {
	f := setUp(t)
	f.table = dynamotest.BareTable(t)
	item := saleKey("a")
	fill := 400<<10 - len("pk") - len("a") - len("sk") - len("-") - len("s")
	item["s"] = text(strings.Repeat("s", fill))
	f.put(t, item)
	item["s"] = text(strings.Repeat("s", fill+1))
	require.Error(t, f.tryPut(t, item))
}
