package checkpoint_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
)

// These tests are about decisions that are read from one record and written to another. Each write
// has a condition on what the decision was read from.

func TestAnUnpinBesideASessionsStartLeavesTheStart(t *testing.T) {
	// The unpin has read HEAD and the version when the session, or a part of it, comes in between.
	between := map[string]func(r *rig, unpin func()){
		"the whole session": func(r *rig, unpin func()) {
			r.On("Amend", 1, faultstore.Before(func() {
				s, err := checkpoint.Open[sum](r.Context(), in(r.inner), name, nil)
				require.NoError(r, err)
				require.NoError(r, s.Save(r.Context(), "next", sum{}))
				require.NoError(r, s.Close(r.Context(), nil))
			}))
			unpin()
		},
		"the keeping of its base, and not yet its commit": func(r *rig, unpin func()) {
			other := faultstore.New(r.inner)
			s, err := checkpoint.Open[sum](r.Context(), in(other), name, nil)
			require.NoError(r, err)
			other.On("KeepBase", 1, faultstore.Before(func() {
				kept := make(chan struct{})
				r.On("Amend", 1, faultstore.Before(func() { <-kept }))
				go func() { unpin(); kept <- struct{}{} }()
				synctest.Wait() // the unpin is about to write
				other.On("Commit", 1, faultstore.Before(func() { kept <- struct{}{}; <-kept }))
			}))
			require.NoError(r, s.Save(r.Context(), "next", sum{}))
			require.NoError(r, s.Close(r.Context(), nil))
		},
		"the opening, and the rest after the unpin": func(r *rig, unpin func()) {
			s := r.open(nil)
			unpin()
			require.NoError(r, s.Save(r.Context(), "next", sum{}))
			r.done(s)
		},
	}
	for what, session := range between {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				r.versions(3)
				_, err := in(r.inner).Pin(r.Context(), name, 4, "savepoint", nil)
				require.NoError(r, err)
				session(r, func() {
					_, err := in(r.Store).Unpin(r.Context(), name, 4, nil)
					assert.NoError(r, err)
				})
				assert.Empty(r, r.copy(4).Label)
				assert.Contains(r, r.head().Starts, int64(4))
				time.Sleep(31 * 24 * time.Hour)
				r.inner.Sweep()
				_, err = in(r.inner).Rollback(r.Context(), name, 4, nil)
				require.NoError(r, err, "the newest starts stay, whatever their age")
			})
		})
	}
}

func TestAnUnpinOfAStartThatLeavesTheListLetsItExpire(t *testing.T) {
	over(t, func(r *rig) {
		r.versions(1)
		r.versions(1) // it started from version 2
		_, err := in(r.inner).Pin(r.Context(), name, 2, "savepoint", nil)
		require.NoError(r, err)
		r.On("Amend", 1, faultstore.Before(func() { // version 2 leaves the list, with its label
			for run := range 3 {
				s, err := checkpoint.Open[sum](r.Context(), r.retaining(1).in(r.inner, nil), name, nil)
				require.NoError(r, err)
				require.NoError(r, s.Save(r.Context(), fmt.Sprint(run), sum{}))
				require.NoError(r, s.Close(r.Context(), nil))
			}
			require.NotContains(r, r.head().Starts, int64(2))
		}))
		_, err = in(r.Store).Unpin(r.Context(), name, 2, nil)
		require.NoError(r, err)
		assert.Empty(r, r.copy(2).Label)
		assert.False(r, r.copy(2).ExpiresAt.IsZero(), "nothing keeps it any more")
	})
}

func TestARestoredStartDoesNotExpire(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.minutes(a, 6)
		old, newest := r.copy(4).Version, r.head().Version
		r.lose()
		r.put(old) // a table from a backup, with a copy that a late request has put there
		require.NoError(r, r.inner.Copy(r.Context(), key, store.Copy{Version: newest, ExpiresAt: newest.SavedAt.Add(30 * 24 * time.Hour)}))
		_, err := both(r.inner, a).Restore(r.Context(), name, &checkpoint.RestoreOptions{Behind: true})
		require.NoError(r, err)
		assert.Contains(r, r.head().Starts, newest.Number)
		assert.True(r, r.copy(newest.Number).ExpiresAt.IsZero())
	})
}

// nextLife opens a session of the next life, which declares what is expected of it.
func (r *rig) nextLife() {
	s, err := checkpoint.Open[sum](r.Context(), in(r.inner), name, &checkpoint.Options{
		Expect: checkpoint.Expectation{Every: time.Hour}, Lease: lease.Options{Holder: store.Holder{ID: "nightly@etl-7"}},
	})
	require.NoError(r, err)
	require.NoError(r, s.Save(r.Context(), "next life", sum{}))
	require.NoError(r, s.Close(r.Context(), nil))
}

func TestADeleteLeavesWhatTheNextLifeExpects(t *testing.T) {
	for what, when := range map[string]func(r *rig){
		"after the tombstone, before the delete reads again": func(r *rig) { r.On("Release", 1, faultstore.After(r.nextLife)) },
		"while the versions are removed":                     func(r *rig) { r.On("Remove", 1, faultstore.Before(r.nextLife)) },
		"before the expectation goes":                        func(r *rig) { r.On("Expect", 1, faultstore.Before(r.nextLife)) },
		"before the name leaves the listings":                func(r *rig) { r.On("Unlist", 1, faultstore.Before(r.nextLife)) },
	} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				r.declares(checkpoint.Expectation{Every: time.Hour})
				time.Sleep(time.Second) // the next life sets it at another time
				r.versions(2)
				when(r)
				_, err := in(r.Store).Delete(r.Context(), name, nil)
				require.NoError(r, err)
				require.NotNil(r, r.expected())
				assert.Equal(r, []string{name}, r.listed())
			})
		})
	}
}

func TestALateRemovalLeavesWhatTheNextLifeExpects(t *testing.T) {
	over(t, func(r *rig) {
		r.declares(checkpoint.Expectation{Every: time.Hour})
		time.Sleep(time.Second)
		r.On("Expect", 1, faultstore.Duplicate)
		_, err := in(r.Store).Delete(r.Context(), name, nil)
		require.NoError(r, err)
		r.nextLife()
		require.Len(r, r.Held(), 1)
		_ = r.Held()[0].Deliver(r.Context())
		assert.NotNil(r, r.expected())
	})
}

func TestWhatAPersonSetsWhileAJobOpensStays(t *testing.T) {
	over(t, func(r *rig) {
		theirs := &store.Expectation{Every: time.Hour, SetBy: "maria@laptop", SetAt: time.Now()}
		r.On("Expect", 1, faultstore.Before(func() { require.NoError(r, r.inner.Expect(r.Context(), key, nil, theirs)) }))
		logged, _ := r.declares(checkpoint.Expectation{Every: 24 * time.Hour})
		assert.Equal(r, theirs.Every, r.expected().Every)
		assert.Contains(r, logged, "maria@laptop")
	})
}
