package storetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
)

var lookRules = []rule{
	{"finds nothing of a checkpoint that never was", func(t *testing.T, f fixture) {
		r := f.look(t)
		assert.Nil(t, r.Head)
		assert.Nil(t, r.Lease)
		assert.Nil(t, r.Expect)
	}},
	{"sees each write that was acknowledged", func(t *testing.T, f fixture) {
		f.acquire(t, heldLease(1, "lease-1"))
		assert.Equal(t, int64(1), f.look(t).Lease.Epoch)
		f.raise(t, 1)
		for n := int64(1); n <= 20; n++ {
			require.NoError(t, f.commit(t, bare(n, 1, "c")))
			require.Equal(t, n, f.head(t).Number)
		}
	}},
	{"has a clock that does not go back", func(t *testing.T, f fixture) {
		before := f.look(t).Clock
		clock, err := f.Acquire(t.Context(), f.key, nil, heldLease(1, "l"))
		require.NoError(t, err)
		after := f.look(t).Clock
		assert.Equal(t, before.IsZero(), after.IsZero())
		assert.False(t, before.PassedBy(before, 0))
		assert.False(t, after.PassedBy(before, 0), "%v is later than %v", before, after)
		assert.False(t, after.PassedBy(clock, 0), "%v is later than %v", clock, after)
	}},
}

// seen returns the lease that is in the store, with a change.
func (f fixture) seen(t *testing.T, change func(*store.Lease)) *store.Lease {
	l := f.look(t).Lease
	require.NotNil(t, l)
	change(l)
	return l
}

// Each of these changes makes a lease differ from the one observed.
var otherThanObserved = map[string]func(*store.Lease){
	"a lower epoch":    func(l *store.Lease) { l.Epoch-- },
	"a higher epoch":   func(l *store.Lease) { l.Epoch++ },
	"another lease id": func(l *store.Lease) { l.LeaseID += "x" },
	"another status":   func(l *store.Lease) { l.Status = store.Free },
}

var acquireRules = []rule{
	{"writes the whole lease where none is", func(t *testing.T, f fixture) {
		want := f.fullLease(1<<53+1, "lease "+hostile)
		want.Holder = them
		want.Holder.Boot, want.Holder.PIDSpace, want.Holder.PIDStart, want.Holder.TimeSpace = "b", "s", "p", "t"
		f.acquire(t, want)
		equalLease(t, want, f.look(t).Lease)
	}},
	{"keeps a lease of few fields and one of the highest numbers", func(t *testing.T, f fixture) {
		want := heldLease(1, "l")
		want.Holder = store.Holder{}
		f.acquire(t, want)
		equalLease(t, want, f.look(t).Lease)

		want = f.fullLease(store.MaxNumber, "l2")
		want.Beat = store.MaxNumber
		f.acquire(t, want)
		equalLease(t, want, f.look(t).Lease)
	}},
	{"leaves nothing of the lease before", func(t *testing.T, f fixture) {
		f.acquire(t, f.fullLease(1, "l1"))
		want := heldLease(2, "l2")
		want.Holder = store.Holder{ID: "only an id"}
		f.acquire(t, want)
		equalLease(t, want, f.look(t).Lease)
	}},
	{"is refused where a lease was observed and none is", func(t *testing.T, f fixture) {
		observed := heldLease(1, "l1")
		_, err := f.Acquire(t.Context(), f.key, &observed, heldLease(2, "l2"))
		assert.Nil(t, conflict(t, err).Lease)
		assert.Nil(t, f.look(t).Lease)
	}},
	{"is refused where none was observed and a lease is", func(t *testing.T, f fixture) {
		want := f.fullLease(1, "l1")
		f.acquire(t, want)
		_, err := f.Acquire(t.Context(), f.key, nil, heldLease(2, "l2"))
		equalLease(t, want, conflict(t, err).Lease)
		equalLease(t, want, f.look(t).Lease)
	}},
	{"is refused by a lease that is not as observed", func(t *testing.T, f fixture) {
		want := f.fullLease(5, "l5")
		f.acquire(t, want)
		for what, change := range otherThanObserved {
			_, err := f.Acquire(t.Context(), f.key, f.seen(t, change), heldLease(6, "l6"))
			require.Error(t, err, what)
			equalLease(t, want, conflict(t, err).Lease)
		}
		for _, beat := range []int64{-1, 1} {
			_, err := f.Acquire(t.Context(), f.key, f.seen(t, func(l *store.Lease) { l.Beat += beat }), heldLease(6, "l6"))
			equalLease(t, want, conflict(t, err).Lease)
		}
		equalLease(t, want, f.look(t).Lease)
	}},
	{"takes no account of who wants the lease, or of anything else in it", func(t *testing.T, f fixture) {
		f.acquire(t, f.fullLease(5, "l5"))
		observed := store.Lease{Epoch: 5, LeaseID: "l5", Beat: 7, Status: store.Held}
		_, err := f.Acquire(t.Context(), f.key, &observed, heldLease(6, "l6"))
		require.NoError(t, err)
		equalLease(t, heldLease(6, "l6"), f.look(t).Lease)
	}},
	{"sent twice changes nothing the second time", func(t *testing.T, f fixture) {
		f.acquire(t, heldLease(1, "l1"))
		observed := f.look(t).Lease
		_, err := f.Acquire(t.Context(), f.key, observed, heldLease(2, "l2"))
		require.NoError(t, err)
		_, err = f.Acquire(t.Context(), f.key, observed, heldLease(2, "l2"))
		equalLease(t, heldLease(2, "l2"), conflict(t, err).Lease)
	}},
	{"leaves HEAD alone", func(t *testing.T, f fixture) {
		f.acquire(t, heldLease(1, "l1"))
		assert.Nil(t, f.look(t).Head)
	}},
}

var stealRules = []rule{
	{"takes a lease whatever its beat", func(t *testing.T, f fixture) {
		f.acquire(t, f.fullLease(5, "l5"))
		want := heldLease(6, "l6")
		want.Reason = "it hangs"
		_, err := f.Steal(t.Context(), f.key, f.seen(t, func(l *store.Lease) { l.Beat += 100 }), want)
		require.NoError(t, err)
		equalLease(t, want, f.look(t).Lease)
	}},
	{"is refused by a lease that is otherwise not as observed", func(t *testing.T, f fixture) {
		want := f.fullLease(5, "l5")
		f.acquire(t, want)
		for what, change := range otherThanObserved {
			_, err := f.Steal(t.Context(), f.key, f.seen(t, change), heldLease(6, "l6"))
			require.Error(t, err, what)
			equalLease(t, want, conflict(t, err).Lease)
		}
		_, err := f.Steal(t.Context(), f.key, nil, heldLease(6, "l6"))
		equalLease(t, want, conflict(t, err).Lease)
		equalLease(t, want, f.look(t).Lease)
	}},
	{"takes an absent lease only if none was observed", func(t *testing.T, f fixture) {
		observed := heldLease(1, "l1")
		_, err := f.Steal(t.Context(), f.key, &observed, heldLease(2, "l2"))
		assert.Nil(t, conflict(t, err).Lease)
		_, err = f.Steal(t.Context(), f.key, nil, heldLease(2, "l2"))
		require.NoError(t, err)
		equalLease(t, heldLease(2, "l2"), f.look(t).Lease)
	}},
}

// otherFences are of other leases than ourFence. Renew, Release and Want must refuse them.
var otherFences = map[string]store.Fence{
	"a lower epoch":    {Epoch: 4, LeaseID: "l5"},
	"a higher epoch":   {Epoch: 6, LeaseID: "l5"},
	"another lease id": {Epoch: 5, LeaseID: "l4"},
}

var ourFence = store.Fence{Epoch: 5, LeaseID: "l5"}

var renewRules = []rule{
	{"records the beat and leaves the rest of the lease", func(t *testing.T, f fixture) {
		want := f.fullLease(5, "l5")
		f.acquire(t, want)
		want.Beat, want.Version = 9, 1<<53+1
		want.RenewedAt = someTime.Add(2 * time.Hour)
		want.Until = f.reading(2 * time.Hour)
		now, _, err := f.Renew(t.Context(), f.key, store.Renewal{
			Fence: ourFence, Beat: 9, Until: want.Until, RenewedAt: want.RenewedAt, Version: want.Version,
		})
		require.NoError(t, err)
		equalLease(t, want, &now)
		equalLease(t, want, f.look(t).Lease)
	}},
	{"without an expiry leaves none recorded", func(t *testing.T, f fixture) {
		f.acquire(t, f.fullLease(5, "l5"))
		now, _, err := f.Renew(t.Context(), f.key, store.Renewal{Fence: ourFence, Beat: 8, RenewedAt: someTime})
		require.NoError(t, err)
		assert.True(t, now.Until.IsZero())
		assert.True(t, f.look(t).Lease.Until.IsZero())
		assert.Zero(t, now.Version)
	}},
	{"tells who wants the lease", func(t *testing.T, f fixture) {
		f.acquire(t, heldLease(5, "l5"))
		require.NoError(t, f.Want(t.Context(), f.key, ourFence, store.Wanted{By: "w " + hostile, Count: 4}))
		now, _, err := f.Renew(t.Context(), f.key, store.Renewal{Fence: ourFence, Beat: 1})
		require.NoError(t, err)
		assert.Equal(t, &store.Wanted{By: "w " + hostile, Count: 4}, now.Wanted)
	}},
	{"is refused with a beat that is not higher", func(t *testing.T, f fixture) {
		want := f.fullLease(5, "l5")
		f.acquire(t, want)
		for _, beat := range []int64{6, 7} {
			_, _, err := f.Renew(t.Context(), f.key, store.Renewal{Fence: ourFence, Beat: beat})
			equalLease(t, want, conflict(t, err).Lease)
		}
		equalLease(t, want, f.look(t).Lease)
	}},
	{"is refused by another lease", func(t *testing.T, f fixture) {
		want := f.fullLease(5, "l5")
		f.acquire(t, want)
		for what, other := range otherFences {
			_, _, err := f.Renew(t.Context(), f.key, store.Renewal{Fence: other, Beat: 100})
			require.Error(t, err, what)
			equalLease(t, want, conflict(t, err).Lease)
		}
		equalLease(t, want, f.look(t).Lease)
	}},
	{"is refused by a free lease", func(t *testing.T, f fixture) {
		f.acquire(t, heldLease(5, "l5"))
		require.NoError(t, f.Release(t.Context(), f.key, ourFence, 0))
		_, _, err := f.Renew(t.Context(), f.key, store.Renewal{Fence: ourFence, Beat: 100})
		assert.Equal(t, store.Free, conflict(t, err).Lease.Status)
		assert.Equal(t, store.Free, f.look(t).Lease.Status)
	}},
	{"does not bring a lease into being", func(t *testing.T, f fixture) {
		_, _, err := f.Renew(t.Context(), f.key, store.Renewal{Fence: ourFence, Beat: 1})
		assert.Nil(t, conflict(t, err).Lease)
		assert.Nil(t, f.look(t).Lease)
	}},
}

var releaseRules = []rule{
	{"marks the lease free, keeps its epoch and records the version", func(t *testing.T, f fixture) {
		want := f.fullLease(5, "l5")
		f.acquire(t, want)
		require.NoError(t, f.Release(t.Context(), f.key, ourFence, 77))
		got := f.look(t).Lease
		require.NotNil(t, got, "LEASE is never deleted")
		assert.Equal(t, store.Free, got.Status)
		assert.Equal(t, int64(77), got.Version)
		assert.Equal(t, ourFence, got.Fence())
		assert.Equal(t, want.Beat, got.Beat)
		assert.Equal(t, want.Holder.ID, got.Holder.ID)
	}},
	{"may come again", func(t *testing.T, f fixture) {
		f.acquire(t, heldLease(5, "l5"))
		require.NoError(t, f.Release(t.Context(), f.key, ourFence, 1))
		require.NoError(t, f.Release(t.Context(), f.key, ourFence, 2))
		assert.Equal(t, int64(2), f.look(t).Lease.Version)
	}},
	{"is refused by another lease", func(t *testing.T, f fixture) {
		want := f.fullLease(5, "l5")
		f.acquire(t, want)
		for what, other := range otherFences {
			err := f.Release(t.Context(), f.key, other, 0)
			require.Error(t, err, what)
			equalLease(t, want, conflict(t, err).Lease)
		}
		equalLease(t, want, f.look(t).Lease)
	}},
	{"does not bring a lease into being", func(t *testing.T, f fixture) {
		assert.Nil(t, conflict(t, f.Release(t.Context(), f.key, ourFence, 0)).Lease)
		assert.Nil(t, f.look(t).Lease)
	}},
}

var wantRules = []rule{
	{"is recorded and changes nothing else", func(t *testing.T, f fixture) {
		want := f.fullLease(5, "l5")
		f.acquire(t, want)
		for count := range int64(3) {
			want.Wanted = &store.Wanted{By: "w", Count: count}
			require.NoError(t, f.Want(t.Context(), f.key, ourFence, *want.Wanted))
			equalLease(t, want, f.look(t).Lease)
		}
	}},
	{"is refused by another lease", func(t *testing.T, f fixture) {
		want := f.fullLease(5, "l5")
		f.acquire(t, want)
		for what, other := range otherFences {
			err := f.Want(t.Context(), f.key, other, store.Wanted{By: "w"})
			require.Error(t, err, what)
			equalLease(t, want, conflict(t, err).Lease)
		}
		equalLease(t, want, f.look(t).Lease)
	}},
	{"is refused by a free lease", func(t *testing.T, f fixture) {
		f.acquire(t, heldLease(5, "l5"))
		require.NoError(t, f.Release(t.Context(), f.key, ourFence, 0))
		err := f.Want(t.Context(), f.key, ourFence, store.Wanted{By: "w"})
		assert.Equal(t, store.Free, conflict(t, err).Lease.Status)
		assert.Nil(t, f.look(t).Lease.Wanted)
	}},
	{"does not bring a lease into being", func(t *testing.T, f fixture) {
		assert.Nil(t, conflict(t, f.Want(t.Context(), f.key, ourFence, store.Wanted{By: "w"})).Lease)
		assert.Nil(t, f.look(t).Lease)
	}},
}
