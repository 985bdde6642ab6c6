package memstore_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/memstore"
)

var key = store.Key{Namespace: store.DefaultNamespace, Name: "orders/eu"}

func version(n int64) store.Version {
	return store.Version{Number: n, CommitID: "c" + string(rune('0'+n)), CommitEpoch: 1, Born: 1}
}

func TestSweepRemovesOnlyWhatHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New(nil)
		for n, expires := range map[int64]time.Time{1: time.Now().Add(time.Hour), 2: time.Now().Add(3 * time.Hour), 3: {}} {
			require.NoError(t, s.Copy(t.Context(), key, store.Copy{Version: version(n), ExpiresAt: expires}))
		}
		time.Sleep(2 * time.Hour)
		_, err := s.Version(t.Context(), key, 1)
		require.NoError(t, err, "an expired copy stays until it is swept")

		assert.Equal(t, 1, s.Sweep())
		_, err = s.Version(t.Context(), key, 1)
		require.ErrorIs(t, err, store.ErrNotFound)
		for _, n := range []int64{2, 3} {
			_, err = s.Version(t.Context(), key, n)
			require.NoError(t, err)
		}
	})
}

func TestARefusedWriteRefusesTheCommit(t *testing.T) {
	s := memstore.New(nil)
	fence := store.Fence{Epoch: 1, LeaseID: "l"}
	_, _, err := s.Raise(t.Context(), key, fence, store.Holder{}, true)
	require.NoError(t, err)

	full := errors.New("full")
	_, err = s.Commit(t.Context(), key, store.Commit{Fence: fence, Next: version(1), Writes: []store.Write{
		memstore.Do(func() error { return nil }),
		memstore.Do(func() error { return full }),
	}})
	var refused *store.WriteError
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, 1, refused.Index)
	require.ErrorIs(t, err, full)
	require.ErrorIs(t, err, store.ErrNotApplied)

	r, err := s.Look(t.Context(), key)
	require.NoError(t, err)
	assert.Zero(t, r.Head.Number)
}

func TestTheClockIsTheOneGiven(t *testing.T) {
	boot := store.Clock{Boot: "b", Uptime: time.Minute}
	s := memstore.New(&memstore.Options{Clock: func() store.Clock { return boot }})
	r, err := s.Look(t.Context(), key)
	require.NoError(t, err)
	assert.Equal(t, boot, r.Clock)
}
