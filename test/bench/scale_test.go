package bench

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/dynamostore"
)

// BenchmarkOpen opens a checkpoint with many versions. It takes three requests, whatever their
// number.
func BenchmarkOpen(b *testing.B) {
	for _, versions := range []int64{10, 100_000} {
		b.Run(fmt.Sprintf("versions=%d", versions), func(b *testing.B) { opens(b, withVersions(b, versions)) })
	}
}

func TestAnOpenIsThreeRequestsWhateverTheNumberOfVersions(t *testing.T) {
	few, many := withVersions(t, 10), withVersions(t, 2_000)
	want := few.session(t).open
	assert.Equal(t, int64(3), want.Requests)
	assert.Equal(t, want, many.session(t).open)
}

func withVersions(tb testing.TB, n int64) *table {
	t := newTable(tb)
	newest := readItem(tb, t.client, t.name, "default#"+subject, store.CopyRecord(t.version))
	delete(newest, "expires_at")
	t.load(tb, n-t.version, func(i int64) item {
		it := maps.Clone(newest)
		version := t.version + 1 + i
		it["sk"], it["version"] = text(store.CopyRecord(version)), number(version)
		return it
	})
	head := readItem(tb, t.client, t.name, "default#"+subject, "HEAD")
	head["version"] = number(n)
	t.put(tb, head)
	held := readItem(tb, t.client, t.name, "default#"+subject, "LEASE")
	held["version"] = number(n)
	t.put(tb, held)
	found, err := t.Version(tb.Context(), store.Key{Namespace: store.DefaultNamespace, Name: subject}, n)
	require.NoError(tb, err)
	require.Equal(tb, n, found.Number)
	return t
}

// opens reports the cost of an open, and asserts that an open waits for three requests, the first
// ones sent. A later request may restore the expiry of a version that session starts no longer
// keep; an open does not wait for it.
func opens(b *testing.B, t *table) {
	var took []time.Duration
	var cost dynamostore.Cost
	for b.Loop() {
		t.sent.Forget()
		before := t.Costs()
		var s *checkpoint.Session[state]
		took = append(took, timed(b, func(ctx context.Context) (err error) {
			s, err = checkpoint.Open[state](ctx, checkpoint.Namespace{Store: t}, subject, nil)
			return err
		}))
		cost = spentOnOpening(t.Costs(), before)
		require.EqualValues(b, 3, cost.Requests)
		first := t.sent.Requests()[:3]
		require.Equal(b, []string{"Query", "PutItem", "UpdateItem"}, []string{first[0].Op, first[1].Op, first[2].Op})
		require.NoError(b, s.Close(b.Context(), nil))
	}
	reportCost(b, cost)
	reportMedian(b, took)
}

// BenchmarkNamespace measures the cost of listing and using a table with many checkpoints.
func BenchmarkNamespace(b *testing.B) {
	for _, n := range []int64{1_000, 1_000_000} {
		t := newTable(b)
		loaded := t.loadCheckpoints(b, n)
		run := func(name string, f func(b *testing.B)) { b.Run(fmt.Sprintf("checkpoints=%d/%s", n, name), f) }

		run("open", func(b *testing.B) { opens(b, t) })
		cost := t.session(b)
		run("save", func(b *testing.B) { reportCost(b, cost.save) })
		run("beat", func(b *testing.B) { reportCost(b, cost.beat) })
		run("names-under-a-prefix-of-1000", func(b *testing.B) { names(b, t, "jobs/000000", 1_000, loaded) })
		run("names-all", func(b *testing.B) { names(b, t, "jobs/", n, loaded) })
		run("list-a-prefix-of-1000", func(b *testing.B) {
			reads(b, t, func(ctx context.Context) error {
				found := 0
				for l, err := range (checkpoint.Namespace{Store: t}).List(ctx, "jobs/000000") {
					require.NoError(b, err)
					require.NotNil(b, l.Checkpoint)
					found++
				}
				require.Equal(b, 1_000, found)
				return nil
			})
		})
	}
}

// loadCheckpoints adds n checkpoints, and returns the bytes that each takes in the index.
func (t *table) loadCheckpoints(tb testing.TB, n int64) (indexed int64) {
	head := readItem(tb, t.client, t.name, "default#"+subject, "HEAD")
	name := func(i int64) string { return fmt.Sprintf("jobs/%06d/%03d", i/1_000, i%1_000) }
	t.load(tb, n, func(i int64) item {
		it := maps.Clone(head)
		for _, large := range []string{"state", "size", "sha"} {
			delete(it, large)
		}
		it["pk"], it["name"] = text("default#"+name(i)), text(name(i))
		return it
	})
	return int64(len("pk" + "default#" + name(0) + "sk" + "HEAD" + "ns" + "default" + "name" + name(0)))
}

// names lists only names, and asserts that the cost is that of their bytes in the index.
func names(b *testing.B, t *table, prefix string, want, each int64) {
	const unit, page = 4 << 10, 1 << 20
	cost := reads(b, t, func(ctx context.Context) error {
		found := int64(0)
		for _, err := range t.Names(ctx, store.DefaultNamespace, prefix, "") {
			require.NoError(b, err)
			found++
		}
		require.Equal(b, want, found)
		return nil
	})
	pages := want*each/page + 1
	assert.LessOrEqual(b, cost.Requests, pages+1, "the page after a full one may be empty")
	assert.InDelta(b, float64(want*each)/unit/2, cost.ReadUnits, float64(pages), "half a unit for each 4 KiB, rounded up once a page")
}

// reads reports the cost and time of a read.
func reads(b *testing.B, t *table, r request) (cost dynamostore.Cost) {
	var took []time.Duration
	for b.Loop() {
		cost = t.spent(b, func() { took = append(took, timed(b, r)) })
	}
	reportCost(b, cost)
	reportMedian(b, took)
	return cost
}

func reportCost(b *testing.B, c dynamostore.Cost) {
	b.ReportMetric(float64(c.Requests), "requests")
	b.ReportMetric(c.ReadUnits, "RCU")
	b.ReportMetric(c.WriteUnits, "WCU")
	b.ReportMetric(0, "ns/op") // the times are reported separately
}

func reportMedian(b *testing.B, took []time.Duration) {
	b.ReportMetric(float64(median(took).Nanoseconds())/1e3, "p50-µs")
}
