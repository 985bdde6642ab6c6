package checkpoint_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/faultstore"
)

// daily makes a session a day of so many versions, each after the other.
func (r *rig) daily(days, versions int) {
	r.Helper()
	for range days {
		r.saves(nil, versions, nil)
		time.Sleep(24 * time.Hour)
	}
}

func TestADamagedVersionDoesNotHoldUpAPrune(t *testing.T) {
	over(t, func(r *rig) {
		r.daily(6, 2)
		record := store.CopyRecord(5)
		r.inner.Damage(key, record, errors.New("processed is a string"))
		done, err := checkpoint.Namespace{Store: r.inner, RetainAge: 36 * time.Hour, RetainStarts: -1}.Prune(r.Context(), name, nil)
		require.ErrorIs(r, err, store.ErrBadRecord)
		require.ErrorContains(r, err, record)
		var pruned []int64
		for _, v := range done.Versions {
			pruned = append(pruned, v.Number)
		}
		assert.Equal(r, []int64{10, 9, 8, 7, 6, 4, 3, 2, 1}, pruned)
	})
}

func TestPruneRemovesWhatNeitherAgeNorStartsKeep(t *testing.T) {
	over(t, func(r *rig) {
		r.daily(10, 3) // versions 1 to 30; sessions started from 3, 6, … 27
		_, err := in(r.inner).Pin(r.Context(), name, 2, "before the migration", nil)
		require.NoError(r, err)
		orders := checkpoint.Namespace{Store: r.inner, RetainAge: 60 * time.Hour, RetainStarts: 3}
		opts := &checkpoint.UpkeepOptions{DryRun: true}
		plan, err := orders.Prune(r.Context(), name, opts)
		require.NoError(r, err)
		var want []int64
		for v := int64(24); v > 0; v-- {
			if v != 24 && v != 21 && v != 2 {
				want = append(want, v)
			}
		}
		var got []int64
		for _, v := range plan.Versions {
			got = append(got, v.Number)
		}
		assert.Equal(r, want, got)
		assert.Equal(r, int64(9), plan.Kept)
		assert.Len(r, r.history(nil), 30, "a plan removes nothing")

		opts.DryRun = false
		done, err := orders.Prune(r.Context(), name, opts)
		require.NoError(r, err)
		assert.Equal(r, plan, done)
		assert.Equal(r, []int64{30, 29, 28, 27, 26, 25, 24, 21, 2}, versions(r.history(nil)))
		for v, err := range r.inner.Versions(r.Context(), key, 100, 1) {
			require.NoError(r, err)
			assert.NotContains(r, got, v.Number, "they are gone, not just hidden")
		}
		again, err := orders.Prune(r.Context(), name, opts)
		require.NoError(r, err)
		assert.Empty(r, again.Versions)
		assert.Equal(r, int64(9), again.Kept)

		orders.RetainStarts = -1
		done, err = orders.Prune(r.Context(), name, opts)
		require.NoError(r, err)
		assert.Len(r, done.Versions, 2)
		assert.Equal(r, []int64{30, 29, 28, 27, 26, 25, 2}, versions(r.history(nil)), "of the last 60 hours")
	})
}

func TestPruneKeepsTheNewestHoweverOldAndWhatIsLessThanAnHourOld(t *testing.T) {
	over(t, func(r *rig) {
		r.daily(1, 3)
		time.Sleep(400 * 24 * time.Hour)
		orders := checkpoint.Namespace{Store: r.inner, RetainAge: time.Hour, RetainStarts: -1}
		_, err := orders.Prune(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Equal(r, []int64{3}, versions(r.history(nil)))
		r.saves(nil, 2, nil)
		_, err = orders.Prune(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Equal(r, []int64{5, 4}, versions(r.history(nil))[:2])
		_, err = checkpoint.Namespace{Store: r.inner, RetainAge: time.Minute}.Prune(r.Context(), name, nil)
		require.ErrorContains(r, err, "at least 1h")
		_, err = in(r.inner).Prune(r.Context(), "none", nil)
		require.ErrorIs(r, err, store.ErrNotFound)
	})
}

func TestPruneKeepsWhatIsNotMirroredYet(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.minutes(a, 6)
		require.Equal(r, int64(5), r.head().ArchivedThrough)
		s := r.bigger(a, nil)
		a.on(down)
		for range 4 {
			require.NoError(r, s.Save(r.Context(), "x", big{}))
		}
		r.closed(s)
		a.on(nil)
		time.Sleep(100 * 24 * time.Hour)
		_, err := checkpoint.Namespace{Store: r.inner, RetainStarts: -1}.Prune(r.Context(), name, nil)
		require.NoError(r, err)
		kept := r.head().ArchivedThrough
		var left []int64
		for c, err := range r.inner.Versions(r.Context(), key, 10, 1) {
			require.NoError(r, err)
			left = append(left, c.Number)
		}
		for v := kept + 1; v <= 11; v++ {
			if v <= 10 {
				assert.Contains(r, left, v)
			}
		}
		assert.NotContains(r, left, int64(1))
	})
}

// HEAD says nothing of a mirror that no session has filled.
func TestPruneKeepsWhatAnArchiveThatWasNeverSyncedDoesNotHold(t *testing.T) {
	for what, policy := range map[string]checkpoint.MirrorPolicy{"every": checkpoint.MirrorEvery, "sessions": checkpoint.MirrorSessions} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				r.daily(5, 3)
				before := r.history(nil)
				time.Sleep(100 * 24 * time.Hour)
				r.saves(nil, 1, nil)
				a := newMemory()
				orders := checkpoint.Namespace{Store: r.inner, Archive: a, Mirror: policy, RetainStarts: -1}
				done, err := orders.Prune(r.Context(), name, nil)
				require.NoError(r, err)
				last := []int64{3, 6, 9, 12, 15}
				if policy == checkpoint.MirrorEvery {
					assert.Empty(r, done.Versions)
				} else {
					assert.Len(r, done.Versions, 10, "those within a session are not to be mirrored")
				}
				for _, v := range last {
					assert.Equal(r, v, r.copy(v).Number)
				}

				_, err = r.mirroring(policy).in(r.inner, a).Sync(r.Context(), name, nil)
				require.NoError(r, err)
				copied := r.copy(6)
				a.change(r, archive.VersionKey(key, archive.IDOf(&copied.Version)), gone) // whoever did so: the table has it still
				done, err = orders.Prune(r.Context(), name, nil)
				require.NoError(r, err)
				for _, v := range done.Versions {
					assert.NotEqual(r, int64(6), v.Number)
				}
				_, err = r.mirroring(policy).in(r.inner, a).Sync(r.Context(), name, nil)
				require.NoError(r, err)
				_, err = orders.Prune(r.Context(), name, nil)
				require.NoError(r, err)
				for v, err := range r.inner.Versions(r.Context(), key, 15, 1) {
					require.NoError(r, err)
					assert.Fail(r, "it is mirrored", "version %d", v.Number)
				}
				after := versions(r.history(a))
				if policy == checkpoint.MirrorEvery {
					assert.Equal(r, append([]int64{16}, versions(before)...), after)
				} else {
					assert.Equal(r, []int64{16, 15, 12, 9, 6, 3}, after)
				}

				a.on(down)
				_, err = orders.Prune(r.Context(), name, nil)
				require.ErrorIs(r, err, store.ErrUnavailable, "what it holds is not known")
			})
		})
	}
}

func TestAVersionThatIsPinnedWhilePruneRunsStays(t *testing.T) {
	over(t, func(r *rig) {
		r.daily(3, 3)
		r.On("Remove", 1, faultstore.Before(func() { // the copy has been read, without its label
			c := r.copy(8)
			label, forever := "pinned", time.Time{}
			assert.NoError(r, r.inner.Amend(r.Context(), key, c, store.Amendment{Label: &label, ExpiresAt: &forever}))
		}))
		done, err := checkpoint.Namespace{Store: r.Store, RetainAge: time.Hour, RetainStarts: -1}.Prune(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Len(r, done.Versions, 7)
		assert.Equal(r, []int64{9, 8}, versions(r.history(nil)))
	})
}

// A restore makes an older version the start of its session.
func TestAVersionThatIsKeptWhilePruneRunsStays(t *testing.T) {
	over(t, func(r *rig) {
		r.daily(3, 3)
		r.On("Remove", 1, faultstore.Before(func() { // the copy has been read, and was not kept
			c := r.copy(8)
			assert.NoError(r, r.inner.KeepBase(r.Context(), key, c.Version))
		}))
		done, err := checkpoint.Namespace{Store: r.Store, RetainAge: time.Hour, RetainStarts: -1}.Prune(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Len(r, done.Versions, 7)
		assert.Equal(r, []int64{9, 8}, versions(r.history(nil)))
	})
}
