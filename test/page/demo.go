package page

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/memstore"
)

// run is one session of a job in the demonstration.
type run struct {
	host     string
	began    time.Duration // ago
	every    time.Duration // between saves
	versions int
	step     int64
	fails    int64 // records that fail with each save
	ended    store.Ended
	err      string
}

// job is one checkpoint of the demonstration.
type job struct {
	name   string
	cursor string // how a record's number is written
	every  time.Duration
	runs   []run
	held   bool
	died   bool
}

const day = 24 * time.Hour

// Demo returns a store as someone on call may find it: most jobs are healthy, some are not.
func Demo(ctx context.Context) (*memstore.Store, error) {
	st := memstore.New(nil)
	jobs := []job{
		{name: "orders/eu", cursor: "%d", every: day, runs: []run{
			{host: "etl-7", began: 27 * time.Hour, every: 4 * time.Minute, versions: 60, step: 21_300, ended: store.EndedDone},
			{host: "etl-7", began: 150 * time.Minute, every: 2 * time.Minute, versions: 41, step: 18_400, fails: 3, err: "read page 4,120: connection reset by peer", ended: store.EndedError},
			{host: "etl-9", began: 58 * time.Minute, every: time.Minute, versions: 58, step: 22_850},
		}, held: true},
		{name: "orders/us", cursor: "ord-%07d", runs: []run{{host: "etl-7", began: 40 * time.Minute, every: 30 * time.Second, versions: 79, step: 9_100}}, held: true},
		{name: "payments/settlement", cursor: "%d", every: day, runs: []run{
			{host: "batch-2", began: 51 * time.Hour, every: time.Minute, versions: 30, step: 1_200, ended: store.EndedDone},
			{host: "batch-2", began: 29 * time.Hour, every: time.Minute, versions: 12, step: 1_150},
		}, died: true},
		{name: "invoices/nightly", cursor: "inv-%06d", runs: []run{
			{host: "batch-1", began: 8 * time.Hour, every: time.Minute, versions: 9, step: 700, fails: 12, err: "invoice 004711: amount is negative: -1,290.00 EUR", ended: store.EndedError},
		}},
		{name: "events/clickstream/shard-03", cursor: "%d", runs: []run{{host: "spark-11", began: 5 * time.Hour, every: 5 * time.Minute, versions: 22, step: 1_204_000}}, died: true},
		{name: "catalog/prices", cursor: "sku-%05d", runs: []run{{host: "batch-1", began: 6 * time.Hour, every: time.Minute, versions: 18, step: 450, ended: store.EndedDone}}},
		{name: "catalog/stock", cursor: "sku-%05d", runs: []run{{host: "batch-1", began: 5 * time.Hour, every: time.Minute, versions: 16, step: 450, ended: store.EndedDone}}},
		{name: "warehouse/dimensions", cursor: "%d", runs: []run{{host: "batch-3", began: 3 * day, every: time.Minute, versions: 25, step: 5_000, ended: store.EndedDone}}},
	}
	for i := range 12 {
		jobs = append(jobs, job{name: fmt.Sprintf("events/impressions/shard-%02d", i), cursor: "%d", runs: []run{
			{host: fmt.Sprintf("spark-%d", 3+i%4), began: time.Duration(70+3*i) * time.Minute, every: 2 * time.Minute, versions: 30 + i, step: 88_000 + int64(i)*311},
		}, held: i%3 == 0})
		if i%3 != 0 {
			jobs[len(jobs)-1].runs[0].ended = store.EndedDone
		}
	}
	now := time.Now()
	for _, j := range jobs {
		if err := j.save(ctx, st, now); err != nil {
			return nil, fmt.Errorf("make %s: %w", j.name, err)
		}
	}
	return st, st.Expect(ctx, store.Key{Namespace: store.DefaultNamespace, Name: "reports/quarterly"}, nil,
		&store.Expectation{Every: day, Grace: 2 * time.Hour, SetBy: "platform@ops", SetAt: now.Add(-31 * time.Hour)})
}

// save writes the job's versions as its runs would have, at their times.
func (j job) save(ctx context.Context, st store.Store, now time.Time) error {
	key := store.Key{Namespace: store.DefaultNamespace, Name: j.name}
	var v store.Version
	var lease *store.Lease
	for i, r := range j.runs {
		at := now.Add(-r.began)
		fence := store.Fence{Epoch: int64(i + 1), LeaseID: fmt.Sprint("lease-", i+1)}
		holder := store.Holder{ID: "nightly@" + r.host, Host: r.host, PID: 4_121 + i, RunID: at.UTC().Format(time.RFC3339)}
		if _, _, err := st.Raise(ctx, key, fence, holder, i == 0); err != nil {
			return err
		}
		for n := range r.versions {
			last := n == r.versions-1
			if n > 0 {
				at = at.Add(r.every + time.Duration((n*7919)%23-11)*r.every/60)
			}
			step := r.step + int64((n*104_729)%97-48)*r.step/200
			if last && now.Sub(at) < r.every {
				at = now.Add(-r.every / 5)
			}
			v.Processed, v.Failed = v.Processed+step, v.Failed+r.fails
			next := store.Version{
				Number: v.Number + 1, CommitID: fmt.Sprintf("commit-%s-%d", strings.ReplaceAll(j.name, "/", "-"), v.Number+1), CommitEpoch: fence.Epoch, By: holder,
				SavedAt: at, Born: 1, Content: store.Content{
					Cursor: fmt.Sprintf(j.cursor, v.Processed+v.Failed), Processed: v.Processed, Failed: v.Failed,
					Identity: "s3://warehouse/" + j.name, State: demoState(j.name, &v, r.host),
				},
			}
			if last {
				next.Ended, next.LastError = r.ended, r.err
			}
			if _, err := st.Commit(ctx, key, store.Commit{Fence: fence, Base: v.Number, Next: next}); err != nil {
				return err
			}
			if err := st.Copy(ctx, key, store.Copy{Version: next}); err != nil {
				return err
			}
			v = next
		}
		next := store.Lease{
			Epoch: fence.Epoch, LeaseID: fence.LeaseID, Status: store.Free, Holder: holder, Duration: 30 * time.Second,
			AcquiredAt: now.Add(-r.began), RenewedAt: at, Version: v.Number,
		}
		if i == len(j.runs)-1 && (j.held || j.died) {
			next.Status, next.Until.Wall = store.Held, at.Add(30*time.Second)
			if j.held {
				next.RenewedAt, next.Until.Wall = now.Add(-2*time.Second), now.Add(28*time.Second)
			}
		}
		if _, err := st.Acquire(ctx, key, lease, next); err != nil {
			return err
		}
		lease = &next
	}
	if j.every == 0 {
		return nil
	}
	return st.Expect(ctx, key, nil, &store.Expectation{Every: j.every, Grace: 2 * time.Hour, SetBy: "platform@ops", SetAt: now.Add(-90 * day)})
}

func demoState(name string, v *store.Version, host string) *store.State {
	text := fmt.Sprintf(`{"source":%q,"page":%d,"totals":{"orders":%d,"amount":"%d.%02d","currency":"EUR"},"watermark":%q,"retries":%d,"worker":%q}`,
		"s3://warehouse/"+name, v.Number/3+4_100, v.Processed, v.Processed*17, v.Processed%100, time.Unix(1_795_800_000+v.Number*60, 0).UTC().Format(time.RFC3339), v.Failed/3, host)
	sum := sha256.Sum256([]byte(text))
	return &store.State{Data: []byte(text), Size: int64(len(text)), SHA256: sum[:]}
}
