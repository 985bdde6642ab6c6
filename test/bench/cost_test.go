package bench

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/test/dynamotest"
	"github.com/milepost-dev/milepost/test/faulthttp"
)

func TestWhatASessionCosts(t *testing.T) {
	c := newTable(t).session(t)
	assert.Equal(t, int64(3), c.open.Requests)
	assert.InDelta(t, 2, c.open.WriteUnits, 0, "1 for LEASE, 1 for a HEAD of up to 1 KiB")
	assert.InDelta(t, 1, c.open.ReadUnits, 0)
	assert.Equal(t, dynamostore.Cost{Requests: 1, WriteUnits: 1}, c.save, "on the critical path")
	assert.Equal(t, dynamostore.Cost{Requests: 1, WriteUnits: 1}, c.copy, "behind it")
	assert.Equal(t, dynamostore.Cost{Requests: 1, WriteUnits: 1}, c.beat)
	assert.Equal(t, dynamostore.Cost{Requests: 1, WriteUnits: 1}, c.keepBase, "once, before the first save")
	assert.Equal(t, dynamostore.Cost{Requests: 1, WriteUnits: 1}, c.release)
}

func BenchmarkCost(b *testing.B) {
	c := newTable(b).session(b)
	for _, step := range []struct {
		name string
		cost dynamostore.Cost
	}{
		{"open", c.open}, {"first-save-also", c.keepBase}, {"save", c.save}, {"copy-behind-it", c.copy},
		{"beat", c.beat}, {"release", c.release},
	} {
		b.Run(step.name, func(b *testing.B) { reportCost(b, step.cost) })
	}
}

const subject = "orders/eu"

// table holds a checkpoint with two versions, and counts the requests sent to it.
type table struct {
	*dynamostore.Store
	name    string
	client  *dynamodb.Client
	sent    *faulthttp.Transport
	version int64 // of the checkpoint
}

func newTable(tb testing.TB) *table {
	t := &table{name: dynamotest.Table(tb), sent: faulthttp.New(transport())}
	t.client = dynamotest.ClientOver(tb, t.sent)
	t.Store = dynamostore.New(t.client, t.name)
	require.NoError(tb, dynamostore.CreateTable(tb.Context(), t.client, t.name, nil))
	s, err := checkpoint.Open[state](tb.Context(), checkpoint.Namespace{Store: t}, subject, nil)
	require.NoError(tb, err)
	require.NoError(tb, s.Save(tb.Context(), "ord-1", state{Note: note}))
	require.NoError(tb, s.Close(tb.Context(), nil))
	t.version = s.Version()
	return t
}

// spent returns what do sends and costs.
func (t *table) spent(tb testing.TB, do func()) dynamostore.Cost {
	t.sent.Forget()
	before := t.Cost()
	do()
	cost := minus(t.Cost(), before)
	require.EqualValues(tb, t.sent.Count(faulthttp.Any), cost.Requests, "the store counts the requests that the transport saw")
	return cost
}

// session returns what the steps of one session cost; a save and a beat on average.
type session struct {
	open, keepBase, save, copy, beat, release dynamostore.Cost
}

func (t *table) session(tb testing.TB) (c session) {
	const saves = 10
	var s *checkpoint.Session[state]
	opts := &checkpoint.Options{}
	opts.Lease.Beat = 200 * time.Millisecond
	before := t.Costs()
	since := func(op string) dynamostore.Cost { return minus(t.Costs()[op], before[op]) }
	t.spent(tb, func() {
		var err error
		s, err = checkpoint.Open[state](tb.Context(), checkpoint.Namespace{Store: t}, subject, opts)
		require.NoError(tb, err)
		for range saves {
			require.NoError(tb, s.Save(tb.Context(), "ord-2", state{Note: note}))
		}
		require.Eventually(tb, func() bool { return since("Renew").Requests >= 3 }, time.Minute, 10*time.Millisecond)
		require.NoError(tb, s.Close(context.Background(), nil))
	})
	t.version = s.Version()
	c.open = spentOnOpening(t.Costs(), before)
	c.keepBase, c.release = since("KeepBase"), since("Release")
	c.save, c.copy = per(since("Commit"), saves+1), per(since("Copy"), saves+1) // a close saves too
	c.beat = per(since("Renew"), since("Renew").Requests)
	return c
}

func spentOnOpening(now, before map[string]dynamostore.Cost) (c dynamostore.Cost) {
	for _, op := range []string{"Look", "Acquire", "Raise"} {
		c = plus(c, minus(now[op], before[op]))
	}
	return c
}

func plus(a, b dynamostore.Cost) dynamostore.Cost {
	return dynamostore.Cost{
		Requests: a.Requests + b.Requests, ReadUnits: a.ReadUnits + b.ReadUnits, WriteUnits: a.WriteUnits + b.WriteUnits,
	}
}

func minus(a, b dynamostore.Cost) dynamostore.Cost {
	return plus(a, dynamostore.Cost{Requests: -b.Requests, ReadUnits: -b.ReadUnits, WriteUnits: -b.WriteUnits})
}

func per(c dynamostore.Cost, n int64) dynamostore.Cost {
	return dynamostore.Cost{
		Requests: c.Requests / n, ReadUnits: c.ReadUnits / float64(n), WriteUnits: c.WriteUnits / float64(n),
	}
}

func (t *table) put(tb testing.TB, it item) {
	_, err := t.client.PutItem(tb.Context(), &dynamodb.PutItemInput{TableName: &t.name, Item: it})
	require.NoError(tb, err)
}

// load puts n items, in batches and several at a time.
func (t *table) load(tb testing.TB, n int64, make func(int64) item) {
	const batch, writers = 25, 4
	client := dynamotest.ClientOver(tb, transport()) // not counted, nor kept
	from := int64(0)
	var mu sync.Mutex
	next := func() (first, last int64) {
		mu.Lock()
		defer mu.Unlock()
		first = from
		from = min(from+batch, n)
		return first, from
	}
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for first, last := next(); first < last; first, last = next() {
				var puts []types.WriteRequest
				for i := first; i < last; i++ {
					puts = append(puts, types.WriteRequest{PutRequest: &types.PutRequest{Item: make(i)}})
				}
				for unwritten := map[string][]types.WriteRequest{t.name: puts}; len(unwritten) > 0; {
					out, err := client.BatchWriteItem(tb.Context(), &dynamodb.BatchWriteItemInput{RequestItems: unwritten})
					if !assert.NoError(tb, err) {
						return
					}
					unwritten = out.UnprocessedItems
				}
			}
		})
	}
	all.Wait()
	require.False(tb, tb.Failed())
}
