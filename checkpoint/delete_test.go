package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
)

func (r *rig) listed() []string {
	r.Helper()
	var names []string
	for l, err := range in(r.inner).List(r.Context(), "") {
		require.NoError(r, err)
		names = append(names, l.Name)
	}
	return names
}

func TestADeleteRemovesAllButTheCounters(t *testing.T) {
	over(t, func(r *rig) {
		r.versions(3)
		_, err := in(r.Store).Pin(r.Context(), name, 1, "savepoint", nil)
		require.NoError(r, err)
		e, err := in(r.Store).Delete(r.Context(), name, &checkpoint.EditOptions{IfVersion: 4})
		require.NoError(r, err)
		assert.Equal(r, int64(4), e.Before.Number)
		assert.Nil(r, e.After)

		_, err = r.read(nil)
		require.ErrorIs(r, err, store.ErrNotFound)
		_, err = r.read(&checkpoint.ReadOptions{Version: 5})
		require.ErrorIs(r, err, store.ErrNotFound)
		assert.Empty(r, r.listed())
		for v := int64(1); v <= 4; v++ {
			_, err := r.inner.Version(r.Context(), key, v)
			require.ErrorIs(r, err, store.ErrNotFound, "version %d", v)
		}
		_, err = in(r.Store).Delete(r.Context(), name, nil)
		require.ErrorIs(r, err, store.ErrNotFound)

		epoch := r.head().Fence.Epoch
		s := r.open(nil)
		assert.Empty(r, s.Cursor())
		assert.Nil(r, s.Resumed())
		assert.Greater(r, s.Epoch(), epoch)
		s.Mark("new", add(1))
		r.done(s)
		cp := r.get()
		assert.Equal(r, int64(6), cp.Number, "5 is the deletion")
		assert.Equal(r, int64(6), cp.Born)
		assert.Equal(r, int64(1), cp.Processed)
		r.assertHistory(6)
		_, err = r.read(&checkpoint.ReadOptions{Version: 5})
		require.ErrorIs(r, err, store.ErrNotFound)
	})
}

func TestAnInterruptedDeleteIsFinishedLater(t *testing.T) {
	for _, finish := range []string{"Delete", "GC"} {
		for _, method := range []string{"Copy", "Remove", "Unlist"} {
			t.Run(finish+" after "+method, func(t *testing.T) {
				over(t, func(r *rig) {
					r.versions(3)
					r.On(method, 0, faultstore.Throttle)
					_, err := in(r.Store).Delete(r.seconds(2), name, nil)
					if method != "Copy" {
						require.Error(r, err)
						assert.Equal(r, []string{name}, r.listed())
					}
					r.Clear()
					_, err = r.read(nil)
					require.ErrorIs(r, err, store.ErrNotFound)
					if finish == "Delete" && method != "Copy" {
						_, err = in(r.Store).Delete(r.Context(), name, nil)
					} else {
						_, err = in(r.Store).GC(r.Context(), name, nil)
					}
					require.NoError(r, err)
					assert.Empty(r, r.listed())
					_, err = r.inner.Version(r.Context(), key, 1)
					require.ErrorIs(r, err, store.ErrNotFound)
				})
			})
		}
	}
}

func TestADamagedVersionDoesNotHoldUpADelete(t *testing.T) {
	over(t, func(r *rig) {
		r.versions(4)
		record := store.CopyRecord(3)
		r.inner.Damage(key, record, errors.New("processed is a string"))
		_, err := in(r.Store).Delete(r.Context(), name, nil)
		require.ErrorIs(r, err, store.ErrBadRecord)
		require.ErrorContains(r, err, "delete version 3 of orders/eu: record "+record)
		assert.Empty(r, r.listed())
		_, err = r.read(nil)
		require.ErrorIs(r, err, store.ErrNotFound)
		for _, v := range []int64{1, 2, 4} {
			_, err := r.inner.Version(r.Context(), key, v)
			require.ErrorIs(r, err, store.ErrNotFound, "version %d", v)
		}
		_, err = in(r.Store).GC(r.Context(), name, nil)
		require.ErrorIs(r, err, store.ErrBadRecord)

		r.inner.Damage(key, record, nil)
		_, err = in(r.Store).GC(r.Context(), name, nil)
		require.NoError(r, err)
		_, err = r.inner.Version(r.Context(), key, 3)
		require.ErrorIs(r, err, store.ErrNotFound)
	})
}

func TestADamagedVersionWithABodyDoesNotHoldUpADelete(t *testing.T) {
	for _, purge := range []bool{false, true} {
		over(t, func(r *rig) {
			a := newMemory()
			r.large(a, 3, nil)
			record := store.CopyRecord(2)
			r.inner.Damage(key, record, errors.New("processed is a string"))
			_, err := both(r.Store, a).Delete(r.Context(), name, &checkpoint.EditOptions{Purge: purge})
			require.ErrorIs(r, err, store.ErrBadRecord)
			assert.Empty(r, r.listed())
			r.inner.Drop(key, record)
			r.inner.Damage(key, record, nil)
			_, err = both(r.Store, a).GC(r.Context(), name, nil)
			require.NoError(r, err)
			if purge {
				assert.Empty(r, a.keys(""))
			}
		})
	}
}

func TestALateVersionOfAFormerLifeIsNeverShownAndIsRemoved(t *testing.T) {
	over(t, func(r *rig) {
		r.versions(2)
		late := r.copy(2)
		_, err := in(r.Store).Delete(r.Context(), name, nil)
		require.NoError(r, err)
		r.versions(1)
		require.NoError(r, r.inner.Copy(r.Context(), key, late))
		r.assertHistory(6, 5)
		_, err = r.read(&checkpoint.ReadOptions{Version: 2})
		require.ErrorIs(r, err, store.ErrNotFound)
		removed, err := in(r.Store).GC(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Equal(r, int64(1), removed.Versions)
		removed, err = in(r.Store).GC(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Zero(r, removed.Versions)
		r.assertHistory(6, 5)
	})
}

func TestAnOldHolderCannotBringBackWhatWasDeleted(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		require.NoError(r, s.Save(r.Context(), "a", sum{1}))
		r.On("Commit", 1, func(ctx context.Context, c *faultstore.Call) error {
			err := faultstore.Hold(ctx, c)
			r.breakLease()
			_, deleteErr := in(r.inner).Delete(ctx, name, nil)
			require.NoError(r, deleteErr)
			return err
		})
		require.ErrorIs(r, s.Save(r.Context(), "b", sum{2}), lease.ErrLost)
		require.ErrorIs(r, r.Held()[0].Deliver(r.Context()), store.ErrNotApplied)
		require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrLost)
		_, err := r.read(nil)
		require.ErrorIs(r, err, store.ErrNotFound)
	})
}

func TestFinishingADeleteTellsTheNextLifeFromALostLine(t *testing.T) {
	over(t, func(r *rig) {
		r.versions(2)
		r.On("Unlist", 0, faultstore.Throttle)
		_, err := in(r.Store).Delete(r.seconds(2), name, nil)
		require.Error(r, err)
		r.Clear()
		tombstone := r.copy(4)
		next, lost := tombstone, tombstone
		next.Number, next.CommitID, next.CommitEpoch = 5, "next life", tombstone.CommitEpoch+1
		lost.Number, lost.CommitID, lost.CommitEpoch = 6, "lost line", tombstone.CommitEpoch-1
		require.NoError(r, r.inner.Copy(r.Context(), key, next))
		require.NoError(r, r.inner.Copy(r.Context(), key, lost))
		found, err := r.inner.Look(r.Context(), key)
		require.NoError(r, err)
		require.NoError(r, r.inner.Release(r.Context(), key, found.Lease.Fence(), 6))

		_, err = in(r.Store).GC(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Equal(r, "next life", r.copy(5).CommitID)
		_, err = r.inner.Version(r.Context(), key, 6)
		require.ErrorIs(r, err, store.ErrNotFound)
		assert.Equal(r, tombstone, r.copy(4), "what became of the delete is read from it")
	})
}

func TestADeleteAndTheNextLifeDoNotDisturbEachOther(t *testing.T) {
	over(t, func(r *rig) {
		r.versions(3)
		began := false
		r.On("Remove", 2, faultstore.Before(func() { // the lease is free by now
			s, err := checkpoint.Open[sum](r.Context(), in(r.inner), name, nil)
			require.NoError(r, err)
			for i := range 3 {
				require.NoError(r, s.Save(r.Context(), fmt.Sprint("new", i), sum{}))
			}
			require.NoError(r, s.Close(r.Context(), nil))
			began = true
		}))
		_, err := in(r.Store).Delete(r.Context(), name, nil)
		require.NoError(r, err)
		require.True(r, began)
		r.assertHistory(9, 8, 7, 6)
		assert.Equal(r, []string{name}, r.listed())
	})
}
