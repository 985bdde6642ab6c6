package checkpoint_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
)

func TestARollbackIsANewVersionWithTheOldContent(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(&checkpoint.Options{Identity: "one", Schema: 2})
		s.Mark("a", add(1))
		require.NoError(r, s.Flush(r.Context()))
		s.Mark("b", add(10))
		r.done(s)
		e, err := in(r.Store).Rollback(r.Context(), name, 1, &checkpoint.EditOptions{Reason: "bad input"})
		require.NoError(r, err)
		assert.Equal(r, "b", e.Before.Cursor)
		cp := r.get()
		assert.Equal(r, cp, e.After)
		assert.Equal(r, int64(3), cp.Number)
		assert.Equal(r, "a", cp.Cursor)
		assert.Equal(r, int64(1), cp.Processed)
		assert.Equal(r, int64(1), cp.RestoredFrom)
		assert.Equal(r, "bad input", cp.Reason)
		assert.Equal(r, "one", cp.Identity)
		assert.Equal(r, int64(2), cp.Schema)
		assert.Equal(r, int64(1), r.sum())
		r.assertHistory(3, 2, 1)
		r.done(r.open(&checkpoint.Options{Schema: 2}))
	})
}

func TestALiveJobCannotBePulledBack(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		require.NoError(r, s.Save(r.Context(), "a", sum{1}))
		for what, edit := range map[string]func() error{
			"rollback": func() error { _, err := in(r.Store).Rollback(r.Context(), name, 1, nil); return err },
			"reset":    func() error { _, err := in(r.Store).Reset(r.Context(), name, nil); return err },
			"set": func() error {
				_, err := in(r.Store).Set(r.Context(), name, checkpoint.Content{}, nil)
				return err
			},
			"delete": func() error { _, err := in(r.Store).Delete(r.Context(), name, nil); return err },
		} {
			require.ErrorIs(r, edit(), lease.ErrHeld, what)
		}
		r.done(s)
		r.assertHistory(2, 1)
	})
}

func TestADryRunChangesNothingAndTakesNoLease(t *testing.T) {
	over(t, func(r *rig) {
		r.versions(2)
		before := len(r.Calls(""))
		dry := &checkpoint.EditOptions{DryRun: true}
		e, err := in(r.Store).Rollback(r.Context(), name, 1, dry)
		require.NoError(r, err)
		assert.Equal(r, int64(4), e.After.Number)
		assert.Equal(r, "1", e.After.Cursor)
		assert.Equal(r, "2", e.Before.Cursor)
		_, err = in(r.Store).Reset(r.Context(), name, dry)
		require.NoError(r, err)
		e, err = in(r.Store).Delete(r.Context(), name, dry)
		require.NoError(r, err)
		assert.Nil(r, e.After)
		cp, err := in(r.Store).Pin(r.Context(), name, 1, "release", dry)
		require.NoError(r, err)
		assert.Equal(r, "release", cp.Label)
		for _, method := range r.methods(before) {
			assert.Contains(r, []string{"Look", "Version"}, method)
		}
	})
}

func TestAChangeIsHeldToTheVersionItWasPlannedFor(t *testing.T) {
	over(t, func(r *rig) {
		r.versions(2)
		for what, edit := range map[string]func(*checkpoint.EditOptions) error{
			"rollback": func(o *checkpoint.EditOptions) error {
				_, err := in(r.Store).Rollback(r.Context(), name, 1, o)
				return err
			},
			"reset": func(o *checkpoint.EditOptions) error {
				_, err := in(r.Store).Reset(r.Context(), name, o)
				return err
			},
			"delete": func(o *checkpoint.EditOptions) error {
				_, err := in(r.Store).Delete(r.Context(), name, o)
				return err
			},
			"pin": func(o *checkpoint.EditOptions) error {
				_, err := in(r.Store).Pin(r.Context(), name, 1, "x", o)
				return err
			},
		} {
			var conflict *checkpoint.VersionConflictError
			require.ErrorAs(r, edit(&checkpoint.EditOptions{IfVersion: 2}), &conflict, what)
			assert.Equal(r, int64(3), conflict.Have)
		}
		r.On("Raise", 1, faultstore.Before(func() { // a job saved between plan and lease
			h := r.head()
			h.Number, h.CommitID = 4, "another's"
			_, err := r.inner.Commit(r.Context(), key, store.Commit{Fence: h.Fence, Base: 3, Next: h.Version})
			require.NoError(r, err)
		}))
		_, err := in(r.Store).Reset(r.Context(), name, &checkpoint.EditOptions{IfVersion: 3})
		require.ErrorIs(r, err, checkpoint.ErrVersionConflict)
		r.done(r.open(nil)) // and the lease is free
	})
}

func TestAResetBeginsAfreshAndKeepsTheHistory(t *testing.T) {
	over(t, func(r *rig) {
		r.saved(&checkpoint.Options{Identity: "one", Schema: 3})
		_, err := in(r.Store).Reset(r.Context(), name, nil)
		require.NoError(r, err)
		s := r.open(&checkpoint.Options{Identity: "two"})
		assert.Empty(r, s.Cursor())
		assert.Zero(r, s.State())
		assert.Zero(r, s.Processed())
		r.done(s)
		r.assertHistory(3, 2, 1)
		_, err = in(r.Store).Reset(r.Context(), "another", nil)
		require.ErrorIs(r, err, store.ErrNotFound)
	})
}

func TestSetChangesWhatItNamesAndKeepsTheRest(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		start(r, s, "a")
		start(r, s, "b").Done(add(5))
		require.NoError(r, s.Close(r.Context(), context.Canceled))
		cursor, processed := "z", int64(9)
		e, err := in(r.Store).Set(r.Context(), name, checkpoint.Content{Processed: &processed}, nil)
		require.NoError(r, err)
		assert.NotEmpty(r, e.After.Finished)
		e, err = in(r.Store).Set(r.Context(), name, checkpoint.Content{Cursor: &cursor, State: []byte(`{"Sum":7}`)}, nil)
		require.NoError(r, err)
		assert.Empty(r, e.After.Finished)
		s = r.open(nil)
		assert.Equal(r, "z", s.Cursor())
		assert.Equal(r, sum{7}, s.State())
		assert.Equal(r, int64(9), s.Processed())
		r.done(s)
		_, err = in(r.Store).Set(r.Context(), name, checkpoint.Content{State: []byte(`{`)}, nil)
		require.ErrorContains(r, err, "not valid JSON")
	})
}

func TestSetTakesOverWhatGetHasRead(t *testing.T) {
	over(t, func(r *rig) {
		r.saved(&checkpoint.Options{Identity: "one"})
		_, err := in(r.Store).Set(r.Context(), "copy", checkpoint.ContentOf(r.get()), nil)
		require.NoError(r, err)
		cp, err := in(r.Store).Get(r.Context(), "copy", nil)
		require.NoError(r, err)
		assert.Equal(r, int64(1), cp.Number)
		assert.Equal(r, r.get().State, cp.State)
		assert.Equal(r, "one", cp.Identity)
	})
}

func TestAnEditSurvivesAnyLostReply(t *testing.T) {
	over(t, func(r *rig) {
		for call := 1; call <= 10; call++ {
			_, err := in(r.inner).Delete(r.Context(), name, nil)
			if call > 1 {
				require.NoError(r, err)
			}
			born := int64(1)
			if call > 1 {
				born = r.head().Number + 1
			}
			r.versions(2)
			r.Clear()
			r.On("", call, faultstore.LoseReply)
			_, err = in(r.Store).Rollback(r.Context(), name, born, nil)
			if call == 1 || call == 2 || call == 6 { // the plan, and its second reading of the target
				require.ErrorIs(r, err, store.ErrUnavailable)
				continue
			}
			require.NoError(r, err, "call %d", call)
			assert.Equal(r, "1", r.get().Cursor)
			assert.Equal(r, born, r.get().RestoredFrom)
			r.assertHistory(born+3, born+2, born+1, born)
			r.done(r.open(nil))
		}
	})
}

func TestDeleteAndResetLeadOnFromAStoreThatWentBackward(t *testing.T) {
	for what, edit := range map[string]func(*rig) error{
		"reset":  func(r *rig) error { _, err := in(r.Store).Reset(r.Context(), name, nil); return err },
		"delete": func(r *rig) error { _, err := in(r.Store).Delete(r.Context(), name, nil); return err },
	} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				r.versions(4)
				r.inner.Drop(key, "HEAD")
				_, err := checkpoint.Open[sum](r.Context(), in(r.Store), name, nil)
				require.ErrorIs(r, err, lease.ErrStoreRegressed)
				_, err = in(r.Store).Set(r.Context(), name, checkpoint.Content{}, nil)
				require.ErrorIs(r, err, lease.ErrStoreRegressed)
				require.NoError(r, edit(r))
				s := r.open(nil)
				assert.Empty(r, s.Cursor())
				s.Mark("new", add(1))
				time.Sleep(time.Minute)
				r.done(s)
				assert.Equal(r, "new", r.get().Cursor)
				for cp, err := range in(r.Store).History(r.Context(), name, nil) {
					require.NoError(r, err)
					assert.NotEqual(r, "2", cp.Cursor, "the lost line is not shown")
				}
			})
		})
	}
}
