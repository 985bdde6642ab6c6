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

const year = 365 * 24 * time.Hour

func TestASavepointNeverExpiresUntilItIsUnpinned(t *testing.T) {
	over(t, func(r *rig) {
		r.versions(3)
		cp, err := in(r.Store).Pin(r.Context(), name, 2, "before the migration", nil)
		require.NoError(r, err)
		assert.Equal(r, "before the migration", cp.Label)
		time.Sleep(year)
		r.inner.Sweep()
		r.assertHistory(4, 2)
		cp, err = r.read(&checkpoint.ReadOptions{Version: 2})
		require.NoError(r, err)
		assert.Equal(r, "before the migration", cp.Label)
		_, err = in(r.Store).Unpin(r.Context(), name, 2, nil)
		require.NoError(r, err)
		r.assertHistory(4, 2)
		time.Sleep(checkpoint.MinRetainAge)
		r.assertHistory(4)
	})
}

func TestTheNewestVersionIsPinnedBeforeItsCopyIsThere(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		r.On("Copy", 1, faultstore.Delay(5*time.Second))
		require.NoError(r, s.Save(r.Context(), "a", sum{1}))
		_, err := in(r.Store).Pin(r.Context(), name, 0, "mine", nil)
		require.NoError(r, err)
		require.NoError(r, s.Save(r.Context(), "b", sum{2}))
		r.done(s)
		assert.Equal(r, "mine", r.copy(1).Label)
		assert.True(r, r.copy(1).ExpiresAt.IsZero())
	})
}

func TestAPinThatTheJobsCopyOvertakesStillTakesHold(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		r.On("Copy", 1, faultstore.Delay(5*time.Second))
		require.NoError(r, s.Save(r.Context(), "a", sum{1}))
		synctest.Wait()
		r.On("Copy", 1, faultstore.Delay(10*time.Second)) // the pin's
		_, err := in(r.Store).Pin(r.Context(), name, 1, "mine", nil)
		require.NoError(r, err)
		assert.Equal(r, "mine", r.copy(1).Label)
		assert.True(r, r.copy(1).ExpiresAt.IsZero())
		r.done(s)
	})
}

func TestAVersionThatIsGoneIsNotPinned(t *testing.T) {
	over(t, func(r *rig) {
		r.versions(3)
		for what, version := range map[string]int64{"never was": 9, "removed": 2} {
			r.inner.Drop(key, store.CopyRecord(2))
			_, err := in(r.Store).Pin(r.Context(), name, version, "x", nil)
			require.ErrorIs(r, err, store.ErrNotFound, what)
		}
		r.On("Amend", 1, faultstore.Before(func() { r.inner.Drop(key, store.CopyRecord(3)) }))
		_, err := in(r.Store).Pin(r.Context(), name, 3, "x", nil)
		require.ErrorIs(r, err, store.ErrNotFound, "removed at the last moment")
		_, err = r.inner.Version(r.Context(), key, 3)
		require.ErrorIs(r, err, store.ErrNotFound, "and not brought back empty")
		_, err = in(r.Store).Pin(r.Context(), name, 1, "", nil)
		require.ErrorContains(r, err, "label")
	})
}

func TestTheNewestSessionStartsStayWhateverTheirAge(t *testing.T) {
	over(t, func(r *rig) {
		for run := range 5 { // versions 1–2, 3–4, …, one a year
			s := r.retaining(2).open(nil)
			require.NoError(r, s.Save(r.Context(), fmt.Sprint(run), sum{}))
			synctest.Wait()
			r.done(s)
			time.Sleep(year)
			r.inner.Sweep()
		}
		r.assertHistory(10, 8, 6)
		assert.Equal(r, []int64{6, 8}, r.head().Starts)
	})
}

func TestASessionThatCommitsNothingEvictsNothing(t *testing.T) {
	over(t, func(r *rig) {
		r.versions(1)
		r.versions(1)
		before := r.head().Version
		for range 20 {
			s := r.open(nil)
			r.breakLease()
			time.Sleep(time.Minute)
			require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrLost)
		}
		assert.Equal(r, before, r.head().Version)
	})
}

func TestASavepointAmongTheStartsKeepsItsLabelAndItsLife(t *testing.T) {
	over(t, func(r *rig) {
		r.versions(1)
		r.versions(1)
		_, err := in(r.Store).Pin(r.Context(), name, 2, "mine", nil)
		require.NoError(r, err)
		for range 8 {
			r.versions(1)
		}
		assert.Len(r, r.Calls("Amend"), 1+4, "the pin, and the starts that fell out")
		time.Sleep(year)
		r.inner.Sweep()
		c := r.copy(2)
		assert.Equal(r, "mine", c.Label)
		assert.True(r, c.ExpiresAt.IsZero())
	})
}

func TestALabelSetWhileTheExpiryComesBackWins(t *testing.T) {
	over(t, func(r *rig) {
		for range 2 {
			s := r.retaining(1).open(nil)
			require.NoError(r, s.Save(r.Context(), "a", sum{}))
			r.done(s)
		}
		s := r.retaining(1).open(nil) // version 2 falls out with its first commit
		r.On("Amend", 1, faultstore.Before(func() {
			_, err := in(r.inner).Pin(r.Context(), name, 2, "mine", nil)
			require.NoError(r, err)
		}))
		require.NoError(r, s.Save(r.Context(), "b", sum{}))
		synctest.Wait()
		assert.Equal(r, "mine", r.copy(2).Label)
		assert.True(r, r.copy(2).ExpiresAt.IsZero())
		r.done(s)
		assert.Equal(r, []int64{4}, r.head().Starts)
	})
}

func TestTheBaseIsRepairedBeforeTheFirstCommit(t *testing.T) {
	over(t, func(r *rig) {
		r.versions(2)
		r.inner.Drop(key, store.CopyRecord(3)) // the last holder could not write it
		s := r.open(nil)
		_, err := r.inner.Version(r.Context(), key, 3)
		require.ErrorIs(r, err, store.ErrNotFound, "opening writes nothing")
		before := len(r.Calls(""))
		require.NoError(r, s.Save(r.Context(), "x", sum{}))
		synctest.Wait()
		assert.Equal(r, []string{"KeepBase", "Commit", "Copy"}, r.methods(before))
		assert.True(r, r.copy(3).ExpiresAt.IsZero())
		assert.Equal(r, []int64{3}, r.head().Starts)
		r.done(s)
		r.assertHistory(5, 4, 3, 2, 1)
	})
}
