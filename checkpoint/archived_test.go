package checkpoint_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/faultstore"
)

func (r *rig) history(a archive.Archive) (all []*checkpoint.Checkpoint) {
	r.Helper()
	for cp, err := range both(r.inner, a).History(r.Context(), name, nil) {
		require.NoError(r, err)
		all = append(all, cp)
	}
	return all
}

func versions(all []*checkpoint.Checkpoint) (versions []int64) {
	for _, cp := range all {
		versions = append(versions, cp.Number)
	}
	return versions
}

// minutes makes versions, one a minute, with small states and large ones.
func (r *rig) minutes(a archive.Archive, n int) {
	r.Helper()
	s := r.bigger(a, nil)
	for i := range n - 1 {
		require.NoError(r, s.Save(r.Context(), noise(i+1), big{N: i + 1, Text: noise(i % 2 * 10_000)}))
		time.Sleep(time.Minute)
	}
	r.closed(s)
}

func TestHistoryGoesOnInTheArchiveWhereTheStoreHasHoles(t *testing.T) {
	for what, holes := range map[string][2]int64{"at the end": {1, 7}, "in the middle": {4, 6}, "all but HEAD": {1, 9}} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				a := newMemory()
				r.minutes(a, 10)
				before := r.history(a)
				require.Len(r, before, 10)
				calls := a.count()
				r.history(a)
				assert.Equal(r, calls, a.count(), "with no hole the archive is not asked")

				r.expire(holes[0], holes[1])
				after := r.history(a)
				require.Equal(r, versions(before), versions(after))
				for i, cp := range after {
					sameCheckpoint(r, before[i], cp)
					assert.Equal(r, holes[0] <= cp.Number && cp.Number <= holes[1], cp.Archived, "version %d", cp.Number)
				}
				assert.Len(r, r.history(nil), int(9-holes[1]+holes[0]))

				for v := int64(1); v <= 10; v++ {
					cp, err := both(r.inner, a).Get(r.Context(), name, &checkpoint.ReadOptions{Version: v})
					require.NoError(r, err)
					state, err := checkpoint.Decode[big](cp)
					require.NoError(r, err)
					assert.Equal(r, int(min(v, 9)), state.N)
					at, err := both(r.inner, a).Get(r.Context(), name, &checkpoint.ReadOptions{At: cp.SavedAt.Add(time.Second)})
					require.NoError(r, err)
					if v < 9 { // the last two were saved at one time
						assert.Equal(r, v, at.Number)
					}
				}
				_, err := both(r.inner, a).Get(r.Context(), name, &checkpoint.ReadOptions{At: before[9].SavedAt.Add(-time.Second)})
				require.ErrorIs(r, err, store.ErrNotFound)
				runs, err := both(r.inner, a).Runs(r.Context(), name, nil)
				require.NoError(r, err)
				require.Len(r, runs, 1)
				assert.Equal(r, int64(1), runs[0].First.Number)

				e, err := both(r.inner, a).Rollback(r.Context(), name, 2, nil)
				require.NoError(r, err)
				assert.Equal(r, noise(2), e.After.Cursor)
				s := r.bigger(a, nil)
				assert.Equal(r, big{N: 2, Text: noise(10_000)}, s.State())
				r.closed(s)
			})
		})
	}
}

func TestAVersionThatIsDamagedInTheArchiveIsYieldedAsItsErrorAndTheNextFollows(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.minutes(a, 6)
		r.expire(1, 5)
		a.change(r, a.keys(mirrorOf)[2], flipped)
		var seen []int64
		failed := 0
		for cp, err := range both(r.inner, a).History(r.Context(), name, nil) {
			if err != nil {
				require.ErrorIs(r, err, store.ErrBadRecord)
				failed++
				continue
			}
			seen = append(seen, cp.Number)
		}
		assert.Equal(r, []int64{6, 5, 4, 2, 1}, seen)
		assert.Equal(r, 1, failed)
		a.on(down)
		for _, err := range both(r.inner, a).History(r.Context(), name, nil) {
			if err != nil {
				require.ErrorIs(r, err, store.ErrUnavailable)
				failed++
			}
		}
		assert.Equal(r, 2, failed)
	})
}

func TestVersionsThatAreDamagedInTheStoreAreYieldedAsTheirErrorsAndTheNextFollow(t *testing.T) {
	for what, archived := range map[string]bool{"with an archive": true, "without": false} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				a := newMemory()
				r.minutes(a, 9)
				r.expire(4, 5)
				for _, version := range []int64{1, 3, 6, 8} {
					r.inner.Damage(key, store.CopyRecord(version), store.ErrBadRecord)
				}
				orders, want := in(r.inner), []int64{9, -8, 7, -6, -3, 2, -1}
				if archived {
					orders.Archive, want = a, []int64{9, -8, 7, -6, 5, 4, -3, 2, -1}
				}
				var seen []int64
				for cp, err := range orders.History(r.Context(), name, nil) {
					if err == nil {
						seen = append(seen, cp.Number)
						continue
					}
					require.ErrorIs(r, err, store.ErrBadRecord)
					var version int64
					_, scanErr := fmt.Sscanf(err.Error(), "read version %d of", &version)
					require.NoErrorf(r, scanErr, "of %v", err)
					seen = append(seen, -version)
				}
				assert.Equal(r, want, seen)

				// An error that names no copy ends it, and so does one that names a copy which was not asked for.
				for _, why := range []error{store.ErrBadRecord, &store.BadRecordError{Key: key, Record: store.CopyRecord(99), Err: store.ErrBadRecord}} {
					r.Clear()
					r.On("Versions", 0, faultstore.Fail(why))
					failed := 0
					for _, err := range both(r.Store, orders.Archive).History(r.Context(), name, nil) {
						if err != nil {
							failed++
						}
						require.LessOrEqual(r, failed, 1)
					}
					assert.Equal(r, 1, failed)
				}
			})
		})
	}
}

func TestFormerLivesStayHiddenInTheArchiveToo(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.minutes(a, 3)
		_, err := both(r.inner, a).Delete(r.Context(), name, nil)
		require.NoError(r, err)
		_, err = both(r.inner, a).Get(r.Context(), name, &checkpoint.ReadOptions{Version: 2})
		require.ErrorIs(r, err, store.ErrNotFound)
		r.minutes(a, 3) // 5 to 7
		r.expire(4, 6)
		assert.Equal(r, []int64{7, 6, 5}, versions(r.history(a)))
		_, err = both(r.inner, a).Get(r.Context(), name, &checkpoint.ReadOptions{Version: 2})
		require.ErrorIs(r, err, store.ErrNotFound)
	})
}
