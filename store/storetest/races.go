package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
)

const racers = 50

// race lets all racers try at once, and returns those that were not refused.
func race(t *testing.T, try func(ctx context.Context, i int) error) []int {
	t.Helper()
	var mu sync.Mutex
	var won []int
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range racers {
		wg.Go(func() {
			<-start
			err := untilTaken(t.Context(), func() error { return try(t.Context(), i) })
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				won = append(won, i)
				return
			}
			assert.ErrorIs(t, err, store.ErrNotApplied)
		})
	}
	close(start)
	wg.Wait()
	return won
}

// oneWins is a race that exactly one must win.
func oneWins(t *testing.T, try func(ctx context.Context, i int) error) int {
	t.Helper()
	won := race(t, try)
	require.Len(t, won, 1, "the winners")
	return won[0]
}

var raceRules = []rule{
	{"one of fifty acquires a lease, round after round", func(t *testing.T, f fixture) {
		for epoch := int64(1); epoch <= 5; epoch++ {
			observed := f.look(t).Lease
			won := oneWins(t, func(ctx context.Context, i int) error {
				_, err := f.Acquire(ctx, f.key, observed, heldLease(epoch, fmt.Sprint(i)))
				return err
			})
			equalLease(t, heldLease(epoch, fmt.Sprint(won)), f.look(t).Lease)
		}
	}},
	{"one of fifty steals a lease", func(t *testing.T, f fixture) {
		f.acquire(t, heldLease(1, "l"))
		observed := f.look(t).Lease
		won := oneWins(t, func(ctx context.Context, i int) error {
			_, err := f.Steal(ctx, f.key, observed, heldLease(2, fmt.Sprint(i)))
			return err
		})
		equalLease(t, heldLease(2, fmt.Sprint(won)), f.look(t).Lease)
	}},
	{"one of fifty raises the fence to an epoch", func(t *testing.T, f fixture) {
		for epoch := int64(1); epoch <= 3; epoch++ {
			won := oneWins(t, func(ctx context.Context, i int) error {
				_, _, err := f.Raise(ctx, f.key, store.Fence{Epoch: epoch, LeaseID: fmt.Sprint(i)}, us, true)
				return err
			})
			assert.Equal(t, store.Fence{Epoch: epoch, LeaseID: fmt.Sprint(won)}, f.head(t).Fence)
		}
	}},
	{"fifty raise to epochs of their own, and the highest stands", func(t *testing.T, f fixture) {
		won := race(t, func(ctx context.Context, i int) error {
			_, _, err := f.Raise(ctx, f.key, fence(int64(i+1)), us, true)
			return err
		})
		assert.Contains(t, won, racers-1)
		assert.Equal(t, fence(racers), f.head(t).Fence)
	}},
	{"one of fifty commits a version", func(t *testing.T, f fixture) {
		f.raise(t, 1)
		for n := int64(1); n <= 5; n++ {
			won := oneWins(t, func(ctx context.Context, i int) error {
				_, err := f.Commit(ctx, f.key, store.Commit{Fence: fence(1), Base: n - 1, Next: bare(n, 1, fmt.Sprint(i))})
				return err
			})
			equalVersion(t, bare(n, 1, fmt.Sprint(won)), f.head(t).Version)
		}
	}},
	{"one of fifty creates the copy of a version", func(t *testing.T, f fixture) {
		won := oneWins(t, func(ctx context.Context, i int) error {
			return f.Copy(ctx, f.key, bareCopy(1, 1, fmt.Sprint(i)))
		})
		equalCopy(t, bareCopy(1, 1, fmt.Sprint(won)), f.copied(t, 1))
	}},
	{"one of fifty records a beat", func(t *testing.T, f fixture) {
		f.acquire(t, heldLease(1, "l"))
		won := oneWins(t, func(ctx context.Context, i int) error {
			_, _, err := f.Renew(ctx, f.key, store.Renewal{Fence: store.Fence{Epoch: 1, LeaseID: "l"}, Beat: 1, Version: int64(i)})
			return err
		})
		assert.Equal(t, int64(won), f.look(t).Lease.Version)
	}},
	{"fifty checkpoints commit side by side", func(t *testing.T, f fixture) {
		won := race(t, func(ctx context.Context, i int) error {
			key := store.Key{Namespace: f.key.Namespace, Name: fmt.Sprint(i)}
			_, _, err := f.Raise(ctx, key, fence(1), us, true)
			if err != nil {
				return err
			}
			return untilTaken(ctx, func() error {
				_, err := f.Commit(ctx, key, store.Commit{Fence: fence(1), Next: bare(1, 1, "c")})
				return err
			})
		})
		assert.Len(t, won, racers)
	}},
}
