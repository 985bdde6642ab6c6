package survey_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/checkpoint/metrics"
	"github.com/milepost-dev/milepost/internal/survey"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
	"github.com/milepost-dev/milepost/store/memstore"
)

const orders = "orders/eu"

var jobKey = store.Key{Namespace: store.DefaultNamespace, Name: orders}

// rig is a store with one watcher.
type rig struct {
	*testing.T
	*memstore.Store
	memory survey.Memory
}

// over runs a test in virtual time.
func over(t *testing.T, clock func() store.Clock, test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(&rig{T: t, Store: memstore.New(&memstore.Options{Clock: clock})})
	})
}

func (r *rig) open() *checkpoint.Session[int] {
	r.Helper()
	s, err := checkpoint.Open[int](r.Context(), checkpoint.Namespace{Store: r.Store}, orders, &checkpoint.Options{Interval: time.Hour, Every: 1 << 30})
	require.NoError(r, err)
	return s
}

func (r *rig) save(s *checkpoint.Session[int], cursor string, records int64) {
	r.Helper()
	s.MarkBatch(cursor, records, 0, nil)
	require.NoError(r, s.Flush(r.Context()))
}

func (r *rig) look() (survey.Item, survey.Movement) {
	r.Helper()
	items, err := survey.Look(r.Context(), r.Store, store.DefaultNamespace, "")
	require.NoError(r, err)
	require.Len(r, items, 1)
	moves, err := r.memory.Recall(r.Context(), r.Store, items)
	require.NoError(r, err)
	return items[0], moves[0]
}

func TestARateHoldsBetweenSavesAndFallsWhileTheNextIsAwaited(t *testing.T) {
	over(t, nil, func(r *rig) {
		s := r.open()
		r.save(s, "a", 10)
		r.look()
		time.Sleep(10 * time.Second)
		r.save(s, "b", 1000)
		for range 5 { // surveys between saves, as by status --watch
			_, move := r.look()
			assert.InDelta(r, 100, move.Rate, 1)
			time.Sleep(2 * time.Second)
		}
		time.Sleep(90 * time.Second)
		_, move := r.look()
		assert.InDelta(r, 10, move.Rate, 1, "1000 records in 100 s")
		require.NoError(r, s.Close(r.Context(), nil))
		time.Sleep(time.Minute)
		_, move = r.look()
		assert.Zero(r, move.Rate, "the run has ended")

		s = r.open()
		r.look()
		time.Sleep(10 * time.Second)
		require.NoError(r, s.Close(r.Context(), nil))
		_, err := checkpoint.Namespace{Store: r.Store}.Reset(r.Context(), orders, nil)
		require.NoError(r, err)
		_, move = r.look()
		assert.GreaterOrEqual(r, move.Rate, 0.0, "counts that fell are no progress")
	})
}

func TestACheckpointMadeAgainHasNothingOfTheDeletedOne(t *testing.T) {
	over(t, nil, func(r *rig) {
		for range 3 {
			s := r.open()
			r.save(s, "same", 1)
			require.NoError(r, s.Close(r.Context(), nil))
		}
		r.look()
		time.Sleep(time.Hour)
		_, err := checkpoint.Namespace{Store: r.Store}.Delete(r.Context(), orders, nil)
		require.NoError(r, err)
		require.NoError(r, r.Expect(r.Context(), jobKey, nil, &store.Expectation{Every: time.Hour, SetAt: time.Now()}))
		item, _ := r.look()
		assert.False(r, item.Saved())
		assert.Zero(r, item.Failures(), "the runs before the deletion did not fail")
		assert.Equal(r, survey.Quiet, item.Condition())

		s := r.open()
		r.save(s, "same", 1)
		_, move := r.look()
		assert.WithinDuration(r, time.Now(), move.Advanced, time.Second, "the cursor of the life before does not count")
		require.NoError(r, s.Close(r.Context(), nil))
	})
}

func TestAgesAreByTheStoresClockAndNeverNegative(t *testing.T) {
	for name, off := range map[string]time.Duration{"an hour ahead": time.Hour, "an hour behind": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			skewed := func() store.Clock { return store.Clock{Wall: time.Now().Add(off).Round(0)} }
			over(t, skewed, func(r *rig) {
				require.NoError(r, r.Expect(r.Context(), jobKey, nil, &store.Expectation{Every: time.Minute, SetAt: skewed().Wall}))
				s := r.open()
				r.save(s, "a", 1)
				time.Sleep(20 * time.Second)
				item, _ := r.look()
				assert.InDelta(r, 20, item.Age().Seconds(), 1)
				assert.False(r, item.Overdue())
				assert.True(r, item.Held)
				assert.GreaterOrEqual(r, item.RenewalAge(), time.Duration(0))
				time.Sleep(time.Minute)
				item, _ = r.look()
				assert.True(r, item.Overdue())
				require.NoError(r, s.Close(r.Context(), nil))
			})
		})
	}
}

func TestAnUnreadableCheckpointDoesNotHideOthers(t *testing.T) {
	over(t, nil, func(r *rig) {
		names := make([]string, 100)
		for i := range names {
			names[i] = fmt.Sprintf("jobs/%03d", i)
			key := store.Key{Namespace: store.DefaultNamespace, Name: names[i]}
			require.NoError(r, r.Expect(r.Context(), key, nil, &store.Expectation{Every: time.Hour, SetAt: time.Now()}))
		}
		bad := store.Key{Namespace: store.DefaultNamespace, Name: names[42]}
		faults := faultstore.New(r.Store)
		damaged := &damagedStore{Store: faults, bad: bad}
		items, err := survey.Look(r.Context(), damaged, store.DefaultNamespace, "")
		require.NoError(r, err)
		require.Len(r, items, len(names))
		for i := range items {
			assert.Equal(r, names[i], items[i].Key.Name, "in byte order")
			if i == 42 {
				assert.ErrorIs(r, items[i].Err, store.ErrBadRecord)
				assert.Equal(r, survey.Unreadable, items[i].Condition())
				continue
			}
			assert.NoError(r, items[i].Err)
		}
		assert.LessOrEqual(r, damaged.peeks.Load(), int64(4+2*5), "half, and half again")

		faults.On("Peek", 0, faultstore.Throttle)
		_, err = survey.Look(r.Context(), damaged, store.DefaultNamespace, "")
		require.ErrorIs(r, err, store.ErrThrottled)
		ctx, cancel := context.WithCancel(r.Context())
		cancel()
		_, err = survey.Look(ctx, r.Store, store.DefaultNamespace, "")
		require.ErrorIs(r, err, context.Canceled)
	})
}

// damagedStore has one record that cannot be read.
type damagedStore struct {
	store.Store
	bad   store.Key
	peeks atomic.Int64
}

func (d *damagedStore) Peek(ctx context.Context, keys []store.Key) ([]store.Records, error) {
	d.peeks.Add(1)
	for _, key := range keys {
		if key == d.bad {
			return nil, &store.BadRecordError{Key: key, Record: "HEAD", Err: assert.AnError}
		}
	}
	return d.Store.Peek(ctx, keys)
}

// published returns the gauge's values of a survey, by checkpoint.
func published(t *testing.T, reader metric.Reader, instrument metrics.Instrument) map[string]float64 {
	t.Helper()
	var rm metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &rm))
	got := map[string]float64{}
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			gauge, ok := m.Data.(metricdata.Gauge[float64])
			if m.Name != instrument.Name || !ok {
				continue
			}
			for _, p := range gauge.DataPoints {
				name, _ := p.Attributes.Value(metrics.AttrCheckpoint)
				got[name.AsString()] = p.Value
			}
		}
	}
	return got
}

func TestACheckpointKeepsItsSeriesAndAProblemGetsOne(t *testing.T) {
	reader := metric.NewManualReader()
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	p, err := survey.NewPublisher(provider, survey.PublishOptions{Options: metrics.Options{Detail: true, MaxSeries: 2}})
	require.NoError(t, err)
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	item := func(name string, age time.Duration, expect *store.Expectation) survey.Item {
		head := &store.Head{Version: store.Version{Number: 1, SavedAt: now.Add(-age)}}
		return survey.Item{Key: store.Key{Namespace: "default", Name: name}, Now: now, Head: head, Expect: expect}
	}
	publish := func(items ...survey.Item) map[string]float64 {
		survey.Worst(items)
		p.Publish(t.Context(), survey.Seen{Namespace: "default", Items: items, Movements: make([]survey.Movement, len(items))})
		return published(t, reader, survey.SaveAge)
	}
	second := time.Second
	assert.Equal(t, map[string]float64{"a": 9, "b": 8, metrics.Other: 7}, publish(item("a", 9*second, nil), item("b", 8*second, nil), item("c", 7*second, nil)))
	assert.Equal(t, map[string]float64{"a": 1, "b": 2, metrics.Other: 9}, publish(item("a", 1*second, nil), item("b", 2*second, nil), item("c", 9*second, nil)),
		"a series is kept although ages change")
	assert.Equal(t, map[string]float64{"c": 9, "b": 2, metrics.Other: 1}, publish(item("a", 1*second, nil), item("b", 2*second, nil), item("c", 9*second, &store.Expectation{Every: second})),
		"an overdue checkpoint has a series")
	assert.Equal(t, map[string]float64{"c": 9, "d": 5}, publish(item("c", 9*second, &store.Expectation{Every: second}), item("d", 5*second, nil)), "a checkpoint that is gone has no series")
}

func TestAnExpiredLeaseIsADeathAndFailuresAreCounted(t *testing.T) {
	over(t, nil, func(r *rig) {
		s := r.open()
		r.save(s, "a", 1)
		require.NoError(r, s.Close(r.Context(), nil))
		_, err := lease.Acquire(r.Context(), deaf{r.Store}, jobKey, &lease.Options{Duration: 10 * time.Second})
		require.NoError(r, err)
		item, _ := r.look()
		assert.Equal(r, survey.Running, item.Condition())
		assert.Zero(r, item.Failures())
		time.Sleep(time.Minute)
		item, _ = r.look()
		assert.Equal(r, survey.Died, item.Condition())
		assert.Equal(r, int64(1), item.Failures())
		assert.InDelta(r, 60, item.RenewalAge().Seconds(), 1)
	})
}

// deaf is a store that accepts no renewals: its holder is as good as dead.
type deaf struct{ store.Store }

func (deaf) Renew(context.Context, store.Key, store.Renewal) (store.Lease, store.Clock, error) {
	return store.Lease{}, store.Clock{}, store.ErrUnavailable
}
