package dynamostore_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/test/faulthttp"
)

// describing answers a DescribeTable.
func describing(table *types.TableDescription) faulthttp.Fault {
	return func(req *http.Request, send faulthttp.Send) (*http.Response, error) {
		body, err := json.Marshal(map[string]any{"Table": table})
		if err != nil {
			return nil, err
		}
		return page(200, string(body))(req, send)
	}
}

func TestTheClockIsTheServicesDate(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	const ahead = 90 * time.Minute
	f.faults.On(faulthttp.Any, faulthttp.Each, faulthttp.MoveDate(ahead))
	isThen := func(c store.Clock) {
		t.Helper()
		assert.WithinDuration(t, time.Now().Add(ahead), c.Wall, time.Minute)
		assert.Empty(t, c.Boot)
	}
	seen, err := f.Look(t.Context(), f.key)
	require.NoError(t, err)
	isThen(seen.Clock)
	next := store.Fence{Epoch: fence.Epoch + 1, LeaseID: "next"}
	clock, err := f.Acquire(t.Context(), f.key, seen.Lease, leaseOf(next))
	require.NoError(t, err)
	isThen(clock)
	_, clock, err = f.Raise(t.Context(), f.key, next, holder, false)
	require.NoError(t, err)
	isThen(clock)
	_, clock, err = f.Renew(t.Context(), f.key, store.Renewal{Fence: next, Beat: 1})
	require.NoError(t, err)
	isThen(clock)
	clock, err = f.Commit(t.Context(), f.key, store.Commit{Fence: next, Next: versionOf(1)})
	require.NoError(t, err)
	isThen(clock)
}

func TestAReplyWithoutADateIsNoClock(t *testing.T) {
	f := setUp(t)
	f.faults.On("Query", faulthttp.Each, func(req *http.Request, send faulthttp.Send) (*http.Response, error) {
		res, err := send(req.Context())
		if err == nil {
			res.Header.Del("Date")
		}
		return res, err
	})
	seen, err := f.Look(t.Context(), f.key)
	require.NoError(t, err)
	assert.True(t, seen.Clock.IsZero())
}

func TestReadsThatDecideAreConsistentAndListingsAreNot(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	require.NoError(t, f.commit(t, versionOf(1)))
	require.NoError(t, f.Copy(t.Context(), f.key, store.Copy{Version: versionOf(1)}))
	consistent := func(read func() error) bool {
		seen := len(f.faults.Requests())
		require.NoError(t, read())
		requests := f.faults.Requests()[seen:]
		require.Len(t, requests, 1)
		var body struct{ ConsistentRead bool }
		require.NoError(t, json.Unmarshal(requests[0].Body, &body))
		return body.ConsistentRead
	}
	assert.True(t, consistent(func() error { _, err := f.Look(t.Context(), f.key); return err }))
	assert.True(t, consistent(func() error { _, err := f.Version(t.Context(), f.key, 1); return err }))
	assert.True(t, consistent(func() error {
		for _, err := range f.Versions(t.Context(), f.key, 1, 1) {
			if err != nil {
				return err
			}
		}
		return nil
	}))
	assert.False(t, consistent(func() error {
		for _, err := range f.Names(t.Context(), "default", "", "") {
			if err != nil {
				return err
			}
		}
		return nil
	}))
	assert.False(t, consistent(func() error { _, err := f.Peek(t.Context(), []store.Key{f.key}); return err }))
}

// BatchGetItem may leave some for another time.
func TestPeekAsksAgainForWhatWasNotProcessed(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	require.NoError(t, f.commit(t, versionOf(1)))
	left := 0
	f.faults.On("BatchGetItem", faulthttp.Each, func(req *http.Request, send faulthttp.Send) (*http.Response, error) {
		left++
		if left > 3 {
			return send(req.Context())
		}
		var body struct{ RequestItems json.RawMessage }
		if err := json.NewDecoder(req.Body).Decode(&body); err != nil {
			return nil, err
		}
		return page(200, fmt.Sprintf(`{"Responses":{},"UnprocessedKeys":%s}`, body.RequestItems))(req, send)
	})
	seen, err := f.Peek(t.Context(), []store.Key{f.key})
	require.NoError(t, err)
	require.NotNil(t, seen[0].Head)
	assert.Equal(t, int64(1), seen[0].Head.Number)
	assert.NotNil(t, seen[0].Lease)
	assert.Equal(t, 4, left)
}

func TestPeekReturnsTheOthersBesideADamagedRecord(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	sound := f.key
	f.key.Name = "damaged"
	f.hold(t)
	item := f.item(t, "LEASE")
	item["future"] = text("?")
	f.put(t, item)
	seen, err := f.Peek(t.Context(), []store.Key{f.key, sound})
	var bad *store.BadRecordError
	require.ErrorAs(t, err, &bad)
	assert.Equal(t, f.key, bad.Key)
	require.Len(t, seen, 2)
	assert.NotNil(t, seen[1].Lease)
	assert.Nil(t, seen[0].Lease)
}

// An empty page is not the end.
func TestAQueryGoesOnPastAnEmptyPage(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	f.faults.On("Query", 1, page(200, `{"Count":0,"Items":[],"LastEvaluatedKey":{"pk":{"S":"default#orders/eu"},"sk":{"S":"EXPECT"}}}`))
	seen, err := f.Look(t.Context(), f.key)
	require.NoError(t, err)
	assert.NotNil(t, seen.Head)
	assert.NotNil(t, seen.Lease)
}

func TestAListingOfAPrefixReadsNoMoreThanItsNames(t *testing.T) {
	f := setUp(t)
	for i := range 200 {
		f.key.Name = fmt.Sprintf("%03d", i)
		require.NoError(t, f.Expect(t.Context(), f.key, nil, &store.Expectation{Every: time.Hour}))
	}
	count := func(prefix, after string) (n int, read float64) {
		before := f.Costs()["Names"].ReadUnits
		for _, err := range f.Names(t.Context(), "default", prefix, after) {
			require.NoError(t, err)
			n++
		}
		return n, f.Costs()["Names"].ReadUnits - before
	}
	n, all := count("", "")
	assert.Equal(t, 200, n)
	n, few := count("05", "053")
	assert.Equal(t, 6, n)
	assert.Less(t, few, all)
	assert.LessOrEqual(t, few, 0.5)
	n, none := count("05", "06")
	assert.Zero(t, n)
	assert.Zero(t, none, "nothing can come, so nothing is asked")
}
