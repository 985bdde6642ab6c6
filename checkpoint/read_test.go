package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
)

// versions makes a checkpoint of n versions, a minute apart, at cursors "1" to n.
func (r *rig) versions(n int) {
	r.Helper()
	s := r.open(nil)
	for i := range n {
		require.NoError(r, s.Save(r.Context(), fmt.Sprint(i+1), sum{int64(i + 1)}))
		time.Sleep(time.Minute)
	}
	r.done(s)
}

func (r *rig) read(opts *checkpoint.ReadOptions) (*checkpoint.Checkpoint, error) {
	return in(r.Store).Get(r.Context(), name, opts)
}

func TestAVersionIsReadByItsNumberOrByTime(t *testing.T) {
	over(t, func(r *rig) {
		began := time.Now()
		r.versions(4)
		for at := range 4 {
			cp, err := r.read(&checkpoint.ReadOptions{Version: int64(at + 1)})
			require.NoError(r, err)
			assert.Equal(r, fmt.Sprint(at+1), cp.Cursor)
			cp, err = r.read(&checkpoint.ReadOptions{At: began.Add(time.Duration(at)*time.Minute + 30*time.Second)})
			require.NoError(r, err)
			assert.Equal(r, int64(at+1), cp.Number)
		}
		for what, opts := range map[string]*checkpoint.ReadOptions{
			"a version that is not yet": {Version: 99}, "a time before the first": {At: began.Add(-time.Hour)},
		} {
			_, err := r.read(opts)
			require.ErrorIs(r, err, store.ErrNotFound, what)
		}
		_, err := r.read(&checkpoint.ReadOptions{Version: 1, At: began})
		require.Error(r, err)
		_, err = in(r.Store).Get(r.Context(), "another", nil)
		require.ErrorIs(r, err, store.ErrNotFound)
	})
}

func TestAVersionWhoseCopyIsStillOnItsWayIsReadFromHEAD(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		require.NoError(r, s.Save(r.Context(), "a", sum{1}))
		r.On("Copy", 1, faultstore.Delay(5*time.Second))
		r.On("Version", 1, func(ctx context.Context, c *faultstore.Call) error {
			require.NoError(r, s.Save(ctx, "b", sum{2})) // between the two reads
			return c.Deliver(ctx)
		})
		cp, err := r.read(&checkpoint.ReadOptions{Version: 2})
		require.NoError(r, err)
		assert.Equal(r, "b", cp.Cursor)
		r.done(s)
	})
}

func TestWhatHasExpiredIsNotShownThoughItIsStillThere(t *testing.T) {
	over(t, func(r *rig) {
		r.versions(3)
		time.Sleep(29 * 24 * time.Hour)
		r.versions(2) // keeps version 4, which it started from
		r.assertHistory(7, 6, 5, 4, 3, 2, 1)
		time.Sleep(2 * 24 * time.Hour)
		r.assertHistory(7, 6, 5, 4)
		_, err := r.read(&checkpoint.ReadOptions{Version: 2})
		require.ErrorIs(r, err, store.ErrNotFound)
		assert.Equal(r, "2", r.copy(2).Cursor, "the service may lag by days")
		time.Sleep(400 * 24 * time.Hour)
		r.inner.Sweep()
		r.assertHistory(7, 4)
	})
}

func TestOneBadVersionDoesNotHideTheOthers(t *testing.T) {
	over(t, func(r *rig) {
		r.versions(3)
		bad := r.copy(2)
		bad.CommitEpoch++
		bad.State.Data[0] ^= 1
		require.NoError(r, r.inner.Copy(r.Context(), key, bad))
		var read []int64
		var errs []error
		for cp, err := range in(r.Store).History(r.Context(), name, nil) {
			if err != nil {
				errs = append(errs, err)
				continue
			}
			read = append(read, cp.Number)
		}
		assert.Equal(r, []int64{4, 3, 1}, read)
		require.Len(r, errs, 1)
		var record *store.BadRecordError
		require.ErrorAs(r, errs[0], &record)
		assert.Equal(r, store.CopyRecord(2), record.Record)
	})
}

func TestHistoryBeginsWhereItIsAskedToAndStopsAtAnError(t *testing.T) {
	over(t, func(r *rig) {
		r.versions(4)
		var read []int64
		for cp, err := range in(r.Store).History(r.Context(), name, &checkpoint.ReadOptions{Version: 3}) {
			require.NoError(r, err)
			read = append(read, cp.Number)
			if cp.Number == 2 {
				break
			}
		}
		assert.Equal(r, []int64{3, 2}, read)
		r.On("Versions", 1, faultstore.Fail(store.ErrUnavailable))
		var last error
		for _, err := range in(r.Store).History(r.Context(), name, nil) {
			last = err
		}
		require.ErrorIs(r, last, store.ErrUnavailable)
	})
}

func TestRunsTellWhoRanHowFarItCameAndHowItEnded(t *testing.T) {
	over(t, func(r *rig) {
		by := func(id string) *checkpoint.Options {
			return &checkpoint.Options{Lease: lease.Options{Holder: store.Holder{ID: id}}}
		}
		s := r.open(by("monday"))
		s.Mark("a", nil)
		require.NoError(r, s.Flush(r.Context()))
		time.Sleep(time.Minute + time.Second) // not when the saver wakes
		s.Mark("b", nil)
		require.NoError(r, s.Close(r.Context(), errors.New("disk full")))

		s = r.open(by("tuesday"))
		require.NoError(r, s.Save(r.Context(), "c", sum{}))
		r.breakLease()
		require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrLost) // it died, as far as versions tell

		s = r.open(by("wednesday"))
		s.Mark("d", nil)
		require.NoError(r, s.Flush(r.Context()))

		runs, err := in(r.Store).Runs(r.Context(), name, nil)
		require.NoError(r, err)
		require.Len(r, runs, 3)
		assert.Equal(r, "wednesday", runs[0].By.ID)
		assert.True(r, runs[0].Live)
		assert.Equal(r, "tuesday", runs[1].By.ID)
		assert.Equal(r, store.Ended(""), runs[1].Ended)
		assert.False(r, runs[1].Live)
		monday := runs[2]
		assert.Equal(r, int64(1), monday.First.Number)
		assert.Equal(r, int64(2), monday.Number)
		assert.Equal(r, time.Minute+time.Second, monday.SavedAt.Sub(monday.First.SavedAt))
		assert.Equal(r, "b", monday.Cursor)
		assert.Equal(r, int64(2), monday.Processed)
		assert.Equal(r, store.EndedError, monday.Ended)
		assert.Equal(r, "disk full", monday.LastError)
		r.done(s)
		runs, err = in(r.Store).Runs(r.Context(), name, nil)
		require.NoError(r, err)
		assert.False(r, runs[0].Live)
	})
}

func TestAListShowsWhatIsSavedExpectedAndBeingDeleted(t *testing.T) {
	over(t, func(r *rig) {
		open := func(name string) *checkpoint.Session[sum] {
			s, err := checkpoint.Open[sum](r.Context(), in(r.Store), name, nil)
			require.NoError(r, err)
			require.NoError(r, s.Save(r.Context(), "a", sum{}))
			return s
		}
		for i := range 70 {
			r.done(open(fmt.Sprintf("orders/%02d", i)))
		}
		r.done(open("other"))
		held := open("orders/held")
		r.done(open("orders/half-deleted"))
		r.On("Remove", 0, faultstore.Throttle)
		_, err := in(r.Store).Delete(r.seconds(1), "orders/half-deleted", nil)
		require.Error(r, err)
		r.Clear()
		require.NoError(r, r.inner.Expect(r.Context(), store.Key{Namespace: "default", Name: "orders/never-ran"}, nil, &store.Expectation{Every: time.Hour}))

		byName := map[string]*checkpoint.Listing{}
		last := ""
		for l, err := range in(r.Store).List(r.Context(), "orders/") {
			require.NoError(r, err)
			assert.Greater(r, l.Name, last)
			last = l.Name
			byName[l.Name] = l
		}
		assert.Len(r, byName, 73)
		assert.Equal(r, "a", byName["orders/07"].Checkpoint.Cursor)
		assert.False(r, byName["orders/07"].Held)
		assert.True(r, byName["orders/held"].Held)
		assert.InDelta(r, 30*time.Second, byName["orders/held"].Left, float64(5*time.Second))
		assert.True(r, byName["orders/half-deleted"].Deleting)
		assert.Nil(r, byName["orders/half-deleted"].Checkpoint)
		assert.Equal(r, time.Hour, byName["orders/never-ran"].Expect.Every)
		r.done(held)
	})
}

func TestOneBadRecordDoesNotHideTheOthersInAList(t *testing.T) {
	over(t, func(r *rig) {
		for i := range 5 {
			s, err := checkpoint.Open[sum](r.Context(), in(r.Store), fmt.Sprint(i), nil)
			require.NoError(r, err)
			r.done(s)
		}
		r.inner.Damage(store.Key{Namespace: "default", Name: "3"}, "HEAD", errors.New("version is a string"))
		var good, bad []string
		for l, err := range in(r.Store).List(r.Context(), "") {
			if err != nil {
				require.ErrorIs(r, err, store.ErrBadRecord)
				bad = append(bad, l.Name)
				continue
			}
			good = append(good, l.Name)
		}
		assert.Equal(r, []string{"0", "1", "2", "4"}, good)
		assert.Equal(r, []string{"3"}, bad)
		r.On("Names", 1, faultstore.Fail(store.ErrCredentials))
		for l, err := range in(r.Store).List(r.Context(), "") {
			require.ErrorIs(r, err, store.ErrCredentials)
			assert.Nil(r, l)
		}
	})
}
