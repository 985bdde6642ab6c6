package checkpoint_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store/faultstore"
	"github.com/milepost-dev/milepost/store/memstore"
)

// copied is a copy of the store, as a copied file or a table made from a backup is.
func (r *rig) copied() *memstore.Store {
	r.Helper()
	other := memstore.New(nil)
	found, err := r.inner.Look(r.Context(), key)
	require.NoError(r, err)
	r.fill(other, found, nil)
	return other
}

// A body that the copy does not point at may be all that the original points at.
func TestNeitherSweepNorGCOfACopiedStoreRemovesTheOriginalsBodies(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.saves(a, 3, nil)
		other := r.copied()
		r = r.mirroring(checkpoint.MirrorOff) // so that nothing else says that the bodies are wanted
		r.large(a, 3, nil)
		own := a.keys("body/")
		require.NotEmpty(r, own)

		in := r.in(other, a)
		s, err := checkpoint.Open[big](r.Context(), in, name, nil)
		require.NoError(r, err)
		for i := range 5 { // beyond the versions of the original's bodies
			require.NoError(r, s.Save(r.Context(), "other", big{N: i, Text: noise(10_000)}))
		}
		require.NoError(r, s.Close(r.Context(), nil))
		assert.Subset(r, a.keys("body/"), own, "the closing sweep")
		done, err := in.GC(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Empty(r, done.Bodies)
		assert.Equal(r, int64(len(own)), done.Others)
		assert.Subset(r, a.keys("body/"), own, "gc")
		_, err = in.Delete(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Subset(r, a.keys("body/"), own, "delete")

		back := r.bigger(a, nil)
		assert.Equal(r, noise(10_000), back.State().Text)
		r.closed(back)
		in.Mirror = checkpoint.MirrorEvery
		done, err = in.GC(r.Context(), name, &checkpoint.UpkeepOptions{AllHomes: true, DryRun: true})
		require.NoError(r, err)
		assert.NotEmpty(r, done.Bodies, "a person has said that the original is not used any more")
	})
}

func TestGCRemovesNothingWhereAnOpenWouldBeRefused(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.large(a, 3, nil)
		putBack := r.backup()
		r.large(a, 3, nil)
		putBack()
		dead := r.orphan(a, 1, "DEAD")
		_, err := both(r.inner, a).GC(r.Context(), name, nil)
		require.ErrorIs(r, err, lease.ErrStoreRegressed)
		assert.Contains(r, a.keys("body/"), dead)
		_, err = both(r.inner, a).Restore(r.Context(), name, &checkpoint.RestoreOptions{Behind: true})
		require.NoError(r, err)
		done, err := both(r.inner, a).GC(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Len(r, done.Bodies, 1)
	})
}

func TestASessionSweepsItsOwnBodiesOnly(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.saves(a, 2, nil)
		s := r.bigger(a, nil)
		left := ""
		r.On("Commit", 1, func(ctx context.Context, c *faultstore.Call) error {
			left = a.keys("body/")[0]
			return c.Deliver(ctx)
		})
		require.NoError(r, s.Save(r.Context(), "x", big{Text: noise(10_000)}))
		require.True(r, strings.HasPrefix(strings.SplitN(left, "-", 3)[2], r.head().Fence.LeaseID+"-"))
		mine := r.orphan(a, r.head().Number, r.head().Fence.LeaseID+"-99")
		others := r.orphan(a, r.head().Number, "another-1")
		r.closed(s)
		assert.NotContains(r, a.keys("body/"), mine)
		assert.Contains(r, a.keys("body/"), others)
	})
}
