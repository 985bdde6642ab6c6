package checkpoint_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
	"github.com/milepost-dev/milepost/store/memstore"
)

func TestAnObserverHasAllEventsInOrderWhenCloseReturns(t *testing.T) {
	var mu sync.Mutex
	var events []lease.Event
	s, err := checkpoint.Open[int](t.Context(), in(memstore.New(nil)), "job", &checkpoint.Options{
		Lease: lease.Options{Observer: func(key store.Key, e lease.Event) {
			mu.Lock()
			defer mu.Unlock()
			assert.Equal(t, "job", key.Name)
			events = append(events, e)
		}},
	})
	require.NoError(t, err)
	s.MarkBatch("a", 3, 1, func(n *int) { *n = 12 })
	require.NoError(t, s.Flush(t.Context()))
	s.Mark("b", nil)
	require.NoError(t, s.Close(t.Context(), nil))
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, events, 4)
	assert.Equal(t, lease.Acquired{}, events[0])
	assert.IsType(t, checkpoint.Opened{}, events[1])
	for i, want := range []checkpoint.Saved{
		{Version: 1, Processed: 3, Failed: 1, Bytes: 2},
		{Version: 2, Processed: 1, Bytes: 2},
	} {
		got := events[2+i].(checkpoint.Saved)
		assert.Positive(t, got.Took)
		assert.NotEmpty(t, got.By.ID)
		want.Outcome, want.Context, want.By, want.Took = "ok", got.Context, got.By, got.Took
		assert.Equal(t, want, got)
	}
}

func TestAnObserverThatHangsHoldsUpNeitherASaveNorTheLossOfTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := faultstore.New(memstore.New(nil))
		hang := make(chan struct{})
		s, err := checkpoint.Open[int](t.Context(), in(st), "job", &checkpoint.Options{
			Lease: lease.Options{Observer: func(store.Key, lease.Event) { <-hang }},
		})
		require.NoError(t, err)
		began := time.Now()
		for n := range 2000 { // more than may wait for an observer
			require.NoError(t, s.Save(t.Context(), "cursor", n))
		}
		assert.Zero(t, time.Since(began), "no save waits")
		st.On("Renew", 0, faultstore.LoseRequest)
		time.Sleep(lease.DefaultDuration)
		require.ErrorIs(t, context.Cause(s.Context()), lease.ErrLost)
		began = time.Now()
		require.ErrorIs(t, s.Close(t.Context(), nil), lease.ErrLost)
		assert.Equal(t, time.Second, time.Since(began), "Close waits a second for the observer, after the lease is free")
		close(hang)
	})
}

func TestALossWhileALeaseIsBeingAcquiredIsNoEvent(t *testing.T) {
	st := faultstore.New(memstore.New(nil))
	var mu sync.Mutex
	var events []lease.Event
	key := store.Key{Namespace: "default", Name: "job"}
	st.On("Raise", 1, faultstore.Before(func() { // an operator is faster
		_, err := lease.Break(t.Context(), st, key, &lease.BreakOptions{Reason: "test", Now: true})
		assert.NoError(t, err)
	}))
	l, err := lease.Acquire(t.Context(), st, key, &lease.Options{Observer: func(_ store.Key, e lease.Event) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, e)
	}})
	require.NoError(t, err)
	require.NoError(t, l.Release(t.Context()))
	mu.Lock()
	defer mu.Unlock()
	assert.Equal(t, []lease.Event{lease.Acquired{}}, slices.Clone(events))
}
