package protocoltest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
	"github.com/milepost-dev/milepost/store/storetest"
)

func acquireRules(s suite) []rule {
	rules := []rule{
		{"takes three requests, whatever the number of versions", func(t *testing.T, f fixture) {
			for n := int64(1); n <= 30; n++ {
				f.copy(t, store.Copy{Version: bare(n, 1, "c")})
			}
			line := f.line()
			release(f.open(t, line, f.as("a")))
			var methods []string
			for _, c := range line.Calls("") {
				methods = append(methods, c.Method)
			}
			assert.Equal(t, []string{"Look", "Acquire", "Raise", "Release"}, methods)
		}},
		{"loads what the fence protects, not what was read before it", func(t *testing.T, f fixture) {
			a := f.open(t, f.Store, f.as("a"))
			require.NoError(t, f.save(t, f.Store, a, 1))
			line := f.line()
			line.On("Raise", 1, faultstore.Before(func() { assert.NoError(t, f.save(t, f.Store, a, 2)) }))
			b := f.open(t, line, f.over("a"))
			assert.Equal(t, int64(2), b.Head().Number)
			require.ErrorIs(t, f.save(t, f.Store, a, 3), store.ErrNotApplied, "from the raise on")
			require.NoError(t, f.save(t, f.Store, b, 3))
		}},
		{"gives each holder a higher epoch, across release, takeover and steal", func(t *testing.T, f fixture) {
			var last int64
			rises := func(epoch int64) {
				t.Helper()
				require.Greater(t, epoch, last)
				last = epoch
			}
			for range 3 {
				l := f.open(t, f.Store, f.as("a"))
				rises(l.Epoch())
				require.NoError(t, l.Release(t.Context()))
			}
			rises(f.open(t, f.Store, f.as("a")).Epoch())
			rises(f.open(t, f.Store, f.over("a")).Epoch())
			epoch, err := lease.Break(t.Context(), f.Store, f.key, &lease.BreakOptions{Reason: "r", Now: true})
			require.NoError(t, err)
			rises(epoch)
			rises(f.open(t, f.Store, f.as("c")).Epoch())
			assert.Equal(t, last, f.head(t).Fence.Epoch)
		}},
		{"that came late lowers no epoch and removes no holder", func(t *testing.T, f fixture) {
			line := f.line()
			line.On("Acquire", 1, faultstore.Duplicate)
			line.On("Raise", 1, faultstore.Duplicate)
			release(f.open(t, line, f.as("a")))
			b := f.open(t, f.Store, f.as("b"))
			require.Len(t, line.Held(), 2)
			deliverLate(t, line)
			assert.Equal(t, b.Fence(), f.look(t).Lease.Fence())
			assert.Equal(t, b.Fence(), f.head(t).Fence)
			require.NoError(t, f.save(t, f.Store, b, 1))
		}},
		{"outrun between its two writes is not a session", func(t *testing.T, f fixture) {
			line := f.line()
			var b *lease.Lease
			line.On("Raise", 1, faultstore.Before(func() { b = f.open(t, f.Store, f.over("a")) }))
			_, err := lease.Acquire(t.Context(), line, f.key, f.as("a"))
			require.ErrorIs(t, err, lease.ErrHeld)
			assert.Equal(t, b.Fence(), f.head(t).Fence)
			require.NoError(t, f.save(t, f.Store, b, 1))
		}},
		{"past its own deadline before the fence stands is an error, not a session", func(t *testing.T, f fixture) {
			line := f.line()
			line.On("Renew", 0, faultstore.LoseRequest)
			line.On("Raise", 0, faultstore.LoseRequest)
			l, err := lease.Acquire(t.Context(), line, f.key, f.as("a"))
			require.Error(t, err)
			assert.Nil(t, l)
		}},
		{"ends with its context and leaves the lease free", func(t *testing.T, f fixture) {
			line := f.line()
			ctx, cancel := context.WithCancel(t.Context())
			line.On("Raise", 1, faultstore.Before(cancel))
			_, err := lease.Acquire(ctx, line, f.key, f.as("a"))
			require.ErrorIs(t, err, context.Canceled)
			f.open(t, f.Store, f.as("b"))
		}},
		{"by fifty at once has one winner, round after round", func(t *testing.T, f fixture) {
			var last int64
			for range 3 {
				l := f.winner(t)
				require.Greater(t, l.Epoch(), last)
				last = l.Epoch()
				assert.Equal(t, l.Fence(), f.look(t).Lease.Fence())
				assert.Equal(t, l.Fence(), f.head(t).Fence)
				require.NoError(t, l.Release(t.Context()))
			}
		}},
	}
	for _, step := range []string{"Look", "Acquire", "Raise"} {
		for what, fault := range faults {
			rules = append(rules, rule{"goes on when at " + step + " " + what, func(t *testing.T, f fixture) {
				line := f.line()
				line.On(step, 1, fault)
				began := time.Now()
				l := f.open(t, line, f.as("a"))
				if f.suite.virtual {
					assert.Less(t, time.Since(began), f.duration()/2, "no process waits out its own lease")
				}
				deliverLate(t, line)
				require.NoError(t, f.save(t, f.Store, l, 1))
				assert.Equal(t, int64(1), l.Epoch())
				assert.Equal(t, l.Fence(), f.look(t).Lease.Fence())
			}})
		}
	}
	return append(rules, distrustRules(s)...)
}

// winner lets fifty contend and returns the one that won.
func (f fixture) winner(t *testing.T) *lease.Lease {
	t.Helper()
	var mu sync.Mutex
	var won []*lease.Lease
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			o := f.as(fmt.Sprint(i))
			o.Duration = lease.DefaultDuration // fifty at once may take long: the winner's lease must not expire meanwhile
			l, err := lease.Acquire(t.Context(), f.Store, f.key, o)
			if err != nil {
				assert.ErrorIs(t, err, lease.ErrHeld)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			won = append(won, l)
			t.Cleanup(func() { release(l) })
		})
	}
	wg.Wait()
	require.Len(t, won, 1, "the winners")
	return won[0]
}

// distrustRules require that a record that cannot be trusted never counts as absent.
func distrustRules(s suite) []rule {
	var rules []rule
	for record, damages := range map[string][]storetest.Damage{
		store.RecordHead: {
			storetest.NewerFormat, storetest.WrongType, storetest.WithoutVersion, storetest.UnknownField, storetest.NegativeCount,
		},
		store.RecordLease: {storetest.NewerFormat, storetest.WrongType, storetest.UnknownField},
	} {
		for _, d := range damages {
			damage := s.Damage[d]
			if damage == nil {
				continue
			}
			rules = append(rules, rule{"is refused by a " + record + " that " + string(d), func(t *testing.T, f fixture) {
				a := f.open(t, f.Store, f.as("a"))
				require.NoError(t, f.save(t, f.Store, a, 1))
				require.NoError(t, a.Release(t.Context()))
				damage(t, f.Store, storetest.Record{Key: f.key, Name: record})
				line := f.line()
				_, err := lease.Acquire(t.Context(), line, f.key, f.as("b"))
				if d == storetest.NewerFormat {
					require.ErrorIs(t, err, store.ErrNewerFormat)
				} else {
					require.ErrorIs(t, err, store.ErrBadRecord)
				}
				assert.Contains(t, err.Error(), f.key.String())
				assert.Len(t, line.Calls(""), 1, "nothing was written")
			}})
		}
	}
	return rules
}

// regressionRules require that a store that has gone backward is never a fresh start.
var regressionRules = []rule{
	{"no HEAD though LEASE knows a version", func(t *testing.T, f fixture) {
		f.acquire(t, idleLease(1, 5))
		f.refusedAsRegressed(t)
	}},
	{"a HEAD older than LEASE knows", func(t *testing.T, f fixture) {
		f.raise(t, 1)
		require.NoError(t, f.commit(t, bare(1, 1, "c1")))
		f.acquire(t, idleLease(1, 2))
		f.refusedAsRegressed(t)
	}},
	{"a HEAD of version 0 though LEASE knows a version", func(t *testing.T, f fixture) {
		f.raise(t, 1)
		f.acquire(t, idleLease(1, 1))
		f.refusedAsRegressed(t)
	}},
	{"every beat and the release record the last version in LEASE", func(t *testing.T, f fixture) {
		l := f.open(t, f.Store, f.as("a"))
		require.NoError(t, f.save(t, f.Store, l, 1))
		f.until(t, "the beat records version 1", func() bool { return f.look(t).Lease.Version == 1 })
		require.NoError(t, f.save(t, f.Store, l, 2))
		require.NoError(t, l.Release(t.Context()))
		assert.Equal(t, int64(2), f.look(t).Lease.Version)
	}},
	{"a HEAD that is gone between the read and the raise", func(t *testing.T, f fixture) {
		release(f.saved(t, 1))
		line := f.line()
		other, lost := f.otherWorld()
		line.On("Raise", 1, faultstore.Before(func() { line.Use(lost) }))
		_, err := lease.Acquire(t.Context(), line, f.key, f.as("b"))
		require.ErrorIs(t, err, lease.ErrStoreRegressed)
		assert.Nil(t, other.look(t).Head, "no empty HEAD may be made in its place")
	}},
	{"a HEAD whose version fell between the read and the raise", func(t *testing.T, f fixture) {
		release(f.saved(t, 2))
		other, older := f.otherWorld()
		other.raise(t, 1)
		require.NoError(t, other.commit(t, bare(1, 1, "c1")))
		line := f.line()
		line.On("Raise", 1, faultstore.Before(func() { line.Use(older) }))
		_, err := lease.Acquire(t.Context(), line, f.key, f.as("b"))
		require.ErrorIs(t, err, lease.ErrStoreRegressed)
	}},
	{"is accepted by what leads on from it", func(t *testing.T, f fixture) {
		f.acquire(t, idleLease(1, 5))
		o := f.as("a")
		o.AcceptRegression = true
		l := f.open(t, f.Store, o)
		assert.Zero(t, l.Head().Number)
		assert.Equal(t, int64(5), l.Prior().Version)
	}},
	{"a missing LEASE next to a HEAD is rebuilt a million epochs on", func(t *testing.T, f fixture) {
		f.raise(t, 7)
		l := f.open(t, f.Store, f.as("a"))
		assert.Equal(t, int64(1_000_007), l.Epoch())
		assert.Equal(t, int64(1_000_007), f.head(t).Fence.Epoch)
	}},
}

// saved acquires the lease and saves that many versions.
func (f fixture) saved(t testing.TB, versions int64) *lease.Lease {
	t.Helper()
	l := f.open(t, f.Store, f.as("a"))
	for n := int64(1); n <= versions; n++ {
		require.NoError(t, f.save(t, f.Store, l, n))
	}
	return l
}

func (f fixture) refusedAsRegressed(t *testing.T) {
	t.Helper()
	before := f.everything(t)
	line := f.line()
	l, err := lease.Acquire(t.Context(), line, f.key, f.as("a"))
	require.ErrorIs(t, err, lease.ErrStoreRegressed)
	assert.Nil(t, l)
	assert.Len(t, line.Calls("Look"), 2, "a look is not one snapshot: only the next one proves it")
	assert.Len(t, line.Calls(""), 2, "nothing may be written before the records are known")
	assert.Equal(t, before, f.everything(t))
	require.NotErrorIs(t, err, store.ErrNotFound)
}

// until waits at most four lease durations for what another goroutine does.
func (f fixture) until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(f.real(4 * f.duration())); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			require.FailNow(t, "it did not happen: "+what)
		}
	}
}
