package protocoltest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
)

// skewed is a store whose clock is off from this machine's.
type skewed struct {
	store.Store
	by time.Duration
}

func (s skewed) clock(c store.Clock) store.Clock {
	c.Wall = c.Time().Add(s.by)
	return c
}

func (s skewed) Look(ctx context.Context, key store.Key) (store.Records, error) {
	r, err := s.Store.Look(ctx, key)
	r.Clock = s.clock(r.Clock)
	return r, err
}

func (s skewed) Acquire(ctx context.Context, key store.Key, observed *store.Lease, next store.Lease) (store.Clock, error) {
	c, err := s.Store.Acquire(ctx, key, observed, next)
	return s.clock(c), err
}

func (s skewed) Renew(ctx context.Context, key store.Key, r store.Renewal) (store.Lease, store.Clock, error) {
	l, c, err := s.Store.Renew(ctx, key, r)
	return l, s.clock(c), err
}

func (s skewed) Raise(ctx context.Context, key store.Key, fence store.Fence, by store.Holder, create bool) (store.Head, store.Clock, error) {
	h, c, err := s.Store.Raise(ctx, key, fence, by, create)
	return h, s.clock(c), err
}

func (s skewed) Commit(ctx context.Context, key store.Key, commit store.Commit) (store.Clock, error) {
	c, err := s.Store.Commit(ctx, key, commit)
	return s.clock(c), err
}

var historyRules = []rule{
	{"the commit of a version does not start before the copy of the one before is durable", func(t *testing.T, f fixture) {
		s := f.session(t, f.as("a"))
		var durable atomic.Bool
		s.line.On("Copy", 1, func(ctx context.Context, c *faultstore.Call) error {
			time.Sleep(50 * time.Millisecond)
			err := c.Deliver(ctx)
			durable.Store(err == nil)
			return err
		})
		require.NoError(t, s.put(t.Context(), 1))
		s.line.On("Commit", 1, faultstore.Before(func() { assert.True(t, durable.Load(), "V#1 is durable") }))
		require.NoError(t, s.put(t.Context(), 2))
		f.saw(t, "1", "2")
	}},
	{"the first commit repairs the copy that the last holder could not write", func(t *testing.T, f fixture) {
		a := f.session(t, f.as("a"))
		a.line.On("Copy", 0, faultstore.LoseRequest)
		require.NoError(t, a.put(t.Context(), 1))
		f.notCopied(t, 1)
		b := f.session(t, f.over("a"))
		require.NoError(t, b.put(t.Context(), 2))
		repaired := f.copied(t, 1)
		assert.True(t, repaired.ExpiresAt.IsZero(), "and pins the version that the session starts from")
		assert.Equal(t, a.Epoch(), repaired.CommitEpoch, "the epoch is that of the version copied, not the copier's")
		f.saw(t, "1", "2")
	}},
	{"no commit starts before the base is sure", func(t *testing.T, f fixture) {
		f.overtake(t, 1)
		s := f.session(t, f.as("b"))
		s.line.On("KeepBase", 0, faultstore.Throttle)
		require.ErrorIs(t, s.put(f.soon(t), 3), store.ErrNotApplied)
		assert.Empty(t, s.line.Calls("Commit"))
		s.line.Clear()
		require.NoError(t, s.put(t.Context(), 3))
	}},
	{"the version that a session starts from loses its expiry, and a label there survives", func(t *testing.T, f fixture) {
		f.overtake(t, 1) // versions 1 and 2
		require.False(t, f.copied(t, 2).ExpiresAt.IsZero(), "a copy expires unless it is kept")
		label := "before the migration"
		require.NoError(t, f.Amend(t.Context(), f.key, f.copied(t, 2), store.Amendment{Label: &label}))
		s := f.session(t, f.as("b"))
		require.NoError(t, s.put(t.Context(), 3))
		assert.True(t, f.copied(t, 2).ExpiresAt.IsZero())
		assert.Equal(t, label, f.copied(t, 2).Label)
		assert.Equal(t, []int64{2}, f.head(t).Starts)
	}},
	{"after a takeover HEAD keeps the epoch of its commit apart from that of the fence", func(t *testing.T, f fixture) {
		a := f.session(t, f.as("a"))
		require.NoError(t, a.put(t.Context(), 1))
		b := f.session(t, f.over("a"))
		assert.Equal(t, b.Epoch(), f.head(t).Fence.Epoch)
		assert.Equal(t, a.Epoch(), f.head(t).CommitEpoch)
	}},
	{"a copy that comes late changes nothing", func(t *testing.T, f fixture) {
		a := f.session(t, f.as("a"))
		a.line.On("Copy", 1, faultstore.Duplicate)
		require.NoError(t, a.put(t.Context(), 1))
		require.NoError(t, a.put(t.Context(), 2))
		b := f.session(t, f.over("a"))
		require.NoError(t, b.put(t.Context(), 3))
		f.until(t, "version 3 is copied", func() bool {
			_, err := f.Version(t.Context(), f.key, 3)
			return err == nil
		})
		before := f.everything(t)[2:] // the lease may be renewed in between
		deliverLate(t, a.line)
		assert.Equal(t, before, f.everything(t)[2:])
	}},
	{"a copy gets its expiry when it is written, from the store's clock", func(t *testing.T, f fixture) {
		const ahead, age = 1000 * time.Hour, 48 * time.Hour
		o := f.options(f.as("a"))
		f.keeping.RetainAge = age
		s := f.sessionOn(t, faultstore.New(skewed{f.Store, ahead}), o)
		require.NoError(t, s.put(t.Context(), 1))
		require.NoError(t, s.put(t.Context(), 2))
		assert.WithinDuration(t, time.Now().Add(ahead+age), f.copied(t, 1).ExpiresAt, time.Minute)
	}},
	{"versions that have expired are not shown, though the store still has them", func(t *testing.T, f fixture) {
		s := f.session(t, f.as("a"))
		for n := 1; n <= 3; n++ {
			require.NoError(t, s.put(t.Context(), n))
		}
		past := time.Now().Add(-time.Minute)
		require.NoError(t, f.Amend(t.Context(), f.key, f.copied(t, 1), store.Amendment{ExpiresAt: &past}))
		_, err := f.in(f.Store).Get(t.Context(), f.key.Name, f.reading(1))
		require.ErrorIs(t, err, store.ErrNotFound)
		assert.Equal(t, []int64{3, 2}, f.shown(t))
	}},
	{"the starts of the newest sessions stay, and those removed from the list get their expiry back", func(t *testing.T, f fixture) {
		o := f.options(f.as("a"))
		f.keeping.RetainStarts = 2
		for n := range 5 { // session n starts from version 2n, and closes at 2n+2
			s := f.sessionOn(t, f.line(), o)
			if n == 2 { // version 2 gets a label while a session starts from it
				_, err := f.in(f.Store).Pin(t.Context(), f.key.Name, 2, "savepoint", nil)
				require.NoError(t, err)
			}
			require.NoError(t, s.put(t.Context(), n))
			require.NoError(t, s.Close(t.Context(), nil))
		}
		starts := f.head(t).Starts // what was removed leaves the list with the next commit
		require.GreaterOrEqual(t, len(starts), 2)
		assert.Equal(t, []int64{6, 8}, starts[len(starts)-2:])
		expires := map[int64]bool{}
		for n := int64(1); n <= 9; n++ {
			expires[n] = !f.copied(t, n).ExpiresAt.IsZero()
		}
		assert.Equal(t, map[int64]bool{
			1: true, 2: false /* a savepoint */, 3: true, 4: true /* fell out */, 5: true, 6: false, 7: true, 8: false, 9: true,
		}, expires, "which versions expire")
	}},
	{"the list of starts does not grow with short sessions on a slow store", func(t *testing.T, f fixture) {
		o := f.options(f.as("a"))
		f.keeping.RetainStarts = 2
		for n := range 8 {
			line := f.line()
			line.On("Version", 0, slowly)
			line.On("Amend", 0, slowly)
			s := f.sessionOn(t, line, o)
			require.NoError(t, s.put(t.Context(), n))
			require.NoError(t, s.Close(t.Context(), nil))
		}
		assert.LessOrEqual(t, len(f.head(t).Starts), 4, "%v", f.head(t).Starts)
	}},
	{"sessions that commit nothing evict nothing", func(t *testing.T, f fixture) {
		f.overtake(t, 1)
		s := f.session(t, f.as("a"))
		require.NoError(t, s.put(t.Context(), 1))
		for pid := range 10 { // a crash loop
			o := f.over("a")
			o.Holder.PID = 5000 + pid
			cut(f.session(t, o).line)
		}
		assert.Equal(t, []int64{2}, f.head(t).Starts)
		assert.True(t, f.copied(t, 2).ExpiresAt.IsZero())
	}},
}

// reading chooses one version of the fixture's checkpoint; 0: the newest.
func (f fixture) reading(version int64) *checkpoint.ReadOptions {
	return &checkpoint.ReadOptions{Version: version}
}

// shown returns the versions that readers see, newest first.
func (f fixture) shown(t testing.TB) []int64 {
	t.Helper()
	var all []int64
	for cp, err := range f.in(f.Store).History(t.Context(), f.key.Name, f.reading(0)) {
		require.NoError(t, err)
		all = append(all, cp.Number)
	}
	return all
}

// newest reads the checkpoint as a reader does, and requires that its state belongs to its cursor.
func (f fixture) newest(t testing.TB) *checkpoint.Checkpoint {
	t.Helper()
	cp, err := f.in(f.Store).Get(t.Context(), f.key.Name, f.reading(0))
	require.NoError(t, err)
	state, err := checkpoint.Decode[tally](cp)
	require.NoError(t, err)
	require.Equal(t, cp.Cursor, fmt.Sprint(state.Sum), "the state belongs to the cursor")
	return cp
}
