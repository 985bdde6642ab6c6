package protocoltest

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
)

func (f fixture) editing() *checkpoint.EditOptions {
	return &checkpoint.EditOptions{Reason: "because", Lease: *f.as("oncall")}
}

// edits are an operator's changes; each makes one version.
func (f fixture) edits() map[string]func(context.Context, store.Store) error {
	cursor, name, o := "set", f.key.Name, f.editing()
	return map[string]func(context.Context, store.Store) error{
		"rollback": func(ctx context.Context, st store.Store) error {
			_, err := f.in(st).Rollback(ctx, name, 1, o)
			return err
		},
		"reset": func(ctx context.Context, st store.Store) error {
			_, err := f.in(st).Reset(ctx, name, o)
			return err
		},
		"set": func(ctx context.Context, st store.Store) error {
			_, err := f.in(st).Set(ctx, name, checkpoint.Content{Cursor: &cursor}, o)
			return err
		},
		"delete": func(ctx context.Context, st store.Store) error {
			_, err := f.in(st).Delete(ctx, name, o)
			return err
		},
	}
}

// delete deletes the checkpoint over st.
func (f fixture) delete(t testing.TB, st store.Store) {
	t.Helper()
	_, err := f.in(st).Delete(t.Context(), f.key.Name, f.editing())
	require.NoError(t, err)
}

// ended runs a session that saves cursors 1 to n, and closes it: version n + 1.
func (f fixture) ended(t testing.TB, n int) session {
	t.Helper()
	s := f.session(t, f.as("a"))
	for i := 1; i <= n; i++ {
		require.NoError(t, s.put(t.Context(), i))
	}
	require.NoError(t, s.Close(t.Context(), nil))
	return s
}

var editRules = []rule{
	{"every edit is refused while a live job holds the lease", func(t *testing.T, f fixture) {
		s := f.session(t, f.as("a"))
		require.NoError(t, s.put(t.Context(), 1))
		for name, edit := range f.edits() {
			require.ErrorIs(t, edit(t.Context(), f.Store), lease.ErrHeld, name)
		}
		require.NoError(t, s.put(t.Context(), 2))
		f.saw(t, "1", "2")
	}},
	{"every edit is a commit: the next version, under a higher epoch", func(t *testing.T, f fixture) {
		for name := range f.edits() {
			at := f
			at.key.Name += " " + name
			at.ended(t, 1)
			before := at.head(t)
			require.NoError(t, at.edits()[name](t.Context(), f.Store), name)
			after := at.head(t)
			assert.Equal(t, before.Number+1, after.Number, name)
			assert.Greater(t, after.CommitEpoch, before.CommitEpoch, name)
			assert.Equal(t, "because", after.Reason, name)
		}
	}},
	{"every edit whose replies are lost is one version", func(t *testing.T, f fixture) {
		for name := range f.edits() {
			at := f
			at.key.Name += " " + name
			at.ended(t, 1)
			line := f.line()
			line.On("Commit", 1, faultstore.LoseReply)
			line.On("Commit", 1, faultstore.Duplicate)
			require.NoError(t, at.edits()[name](t.Context(), line), name)
			deliverLate(t, line)
			assert.Equal(t, int64(3), at.head(t).Number, name)
		}
	}},
	{"a job that was overtaken by an edit cannot undo it", func(t *testing.T, f fixture) {
		s := f.session(t, f.as("a"))
		require.NoError(t, s.put(t.Context(), 1))
		require.NoError(t, s.put(t.Context(), 2))
		_, err := lease.Break(t.Context(), f.Store, f.key, &lease.BreakOptions{Reason: "r", Now: true})
		require.NoError(t, err)
		_, err = f.in(f.Store).Rollback(t.Context(), f.key.Name, 1, f.editing())
		require.NoError(t, err)
		require.ErrorIs(t, s.put(t.Context(), 3), lease.ErrLost)
		f.saw(t, "1", "2", "1")
		assert.Equal(t, int64(1), f.head(t).RestoredFrom)
	}},
	{"versions and epochs go on after a delete, and the new life shows nothing of the old", func(t *testing.T, f fixture) {
		old := f.ended(t, 2) // version 3
		f.delete(t, f.Store) // version 4
		_, err := f.in(f.Store).Get(t.Context(), f.key.Name, f.reading(0))
		require.ErrorIs(t, err, store.ErrNotFound)
		f.names(t)
		for n := int64(1); n <= 3; n++ {
			f.notCopied(t, n)
		}
		s := f.session(t, f.as("b"))
		assert.Nil(t, s.Resumed())
		assert.Empty(t, s.Cursor())
		assert.Greater(t, s.Epoch(), old.Epoch()+1)
		require.NoError(t, s.put(t.Context(), 7))
		assert.Equal(t, int64(5), f.head(t).Number)
		assert.Equal(t, int64(5), f.head(t).Born)
		assert.Empty(t, f.head(t).Starts)
		assert.Equal(t, []int64{5}, f.shown(t))
		f.names(t, f.key.Name)
	}},
	{"nothing of a deleted life that comes late is ever shown, and finishing removes it", func(t *testing.T, f fixture) {
		s := f.session(t, f.as("a"))
		s.line.On("Commit", 1, faultstore.Duplicate)
		s.line.On("Copy", 2, faultstore.Duplicate)
		for n := 1; n <= 3; n++ {
			require.NoError(t, s.put(t.Context(), n))
		}
		require.NoError(t, s.Close(t.Context(), nil))
		require.Len(t, s.line.Held(), 2)
		f.delete(t, f.Store)
		deliverLate(t, s.line)
		require.True(t, f.head(t).Deleted)
		next := f.session(t, f.as("b"))
		require.NoError(t, next.put(t.Context(), 1))
		assert.Equal(t, []int64{6}, f.shown(t))
		_, err := f.in(f.Store).Get(t.Context(), f.key.Name, f.reading(2))
		require.ErrorIs(t, err, store.ErrNotFound)
		require.NotEmpty(t, f.copied(t, 2), "the copy exists, and is not shown")
		_, err = f.in(f.Store).GC(t.Context(), f.key.Name, nil)
		require.NoError(t, err)
		f.notCopied(t, 2)
	}},
	{"a commit on its way when the checkpoint is deleted never lands", func(t *testing.T, f fixture) {
		s := f.session(t, f.as("a"))
		require.NoError(t, s.put(t.Context(), 1))
		s.line.On("Commit", 0, faultstore.Hold)
		require.ErrorIs(t, s.put(f.soon(t), 2), checkpoint.ErrOutcomeUnknown)
		_, err := lease.Break(t.Context(), f.Store, f.key, &lease.BreakOptions{Reason: "r", Now: true})
		require.NoError(t, err)
		f.delete(t, f.Store)
		deliverLate(t, s.line)
		assert.True(t, f.head(t).Deleted)
		next := f.session(t, f.as("b"))
		require.NoError(t, next.put(t.Context(), 1))
		deliverLate(t, s.line)
		assert.Equal(t, "1", f.newest(t).Cursor)
	}},
	{"HEAD leaves the index only when all that was older is gone", func(t *testing.T, f fixture) {
		f.ended(t, 3)
		line := f.line()
		f.delete(t, line)
		var methods []string
		for _, c := range line.Calls("") {
			methods = append(methods, c.Method)
		}
		assert.GreaterOrEqual(t, len(line.Calls("Remove")), 3)
		assert.Greater(t, slices.Index(methods, "Unlist"), slices.Index(methods, "Remove"))
		assert.NotContains(t, methods[slices.Index(methods, "Unlist"):], "Remove")
	}},
	{"an interrupted delete says so in the list until it is finished", func(t *testing.T, f fixture) {
		f.ended(t, 2)
		line := f.line()
		ctx, interrupt := context.WithCancel(t.Context())
		line.On("Remove", 0, func(ctx context.Context, c *faultstore.Call) error {
			interrupt()
			return faultstore.Throttle(ctx, c)
		})
		_, err := f.in(line).Delete(ctx, f.key.Name, f.editing())
		require.Error(t, err)
		assert.Equal(t, []string{f.key.Name}, f.deleting(t))
		_, err = f.in(f.Store).GC(t.Context(), f.key.Name, nil)
		require.NoError(t, err)
		assert.Empty(t, f.deleting(t))
		f.notCopied(t, 1)
	}},
	{"finishing a delete removes nothing of a new life", func(t *testing.T, f fixture) {
		f.ended(t, 2)
		line := f.line()
		ctx, interrupt := context.WithCancel(t.Context())
		line.On("Unlist", 1, func(ctx context.Context, c *faultstore.Call) error {
			interrupt()
			return faultstore.Hold(ctx, c)
		})
		line.On("Unlist", 0, faultstore.LoseRequest)
		_, err := f.in(line).Delete(ctx, f.key.Name, f.editing())
		require.Error(t, err)
		s := f.session(t, f.as("b"))
		require.NoError(t, s.put(t.Context(), 1))
		require.NoError(t, s.put(t.Context(), 2))
		deliverLate(t, line) // the unlisting of the tombstone
		_, err = f.in(f.Store).GC(t.Context(), f.key.Name, nil)
		require.NoError(t, err)
		assert.True(t, f.head(t).Listed)
		f.saw(t, "1", "2")
	}},
	{"a store that went backward is led on by delete and reset, and by nothing else", func(t *testing.T, f fixture) {
		for _, leads := range []string{"delete", "reset"} {
			at := f
			at.key.Name += " " + leads
			at.acquire(t, idleLease(3, 9))
			edits := at.edits()
			for _, name := range []string{"set", "rollback"} {
				require.Error(t, edits[name](t.Context(), f.Store), name)
			}
			_, err := checkpoint.Open[tally](t.Context(), f.in(f.Store), at.key.Name, at.options(f.as("a")))
			require.ErrorIs(t, err, lease.ErrStoreRegressed)
			require.NoError(t, edits[leads](t.Context(), f.Store))
			s := at.session(t, f.as("a"))
			require.NoError(t, s.put(t.Context(), 1))
			assert.Greater(t, s.Epoch(), int64(4))
		}
	}},
	{"a pin of a version that is gone makes it from HEAD if HEAD is there, and else refuses", func(t *testing.T, f fixture) {
		s := f.ended(t, 2) // version 3
		require.NoError(t, f.Remove(t.Context(), f.key, f.copied(t, 3)))
		_, err := f.in(f.Store).Pin(t.Context(), f.key.Name, 3, "kept", f.editing())
		require.NoError(t, err)
		pinned := f.copied(t, 3)
		assert.Equal(t, "kept", pinned.Label)
		assert.True(t, pinned.ExpiresAt.IsZero())
		assert.Equal(t, f.head(t).Version, pinned.Version)
		assert.Equal(t, s.Epoch(), pinned.CommitEpoch)

		line := f.line()
		line.On("Amend", 1, faultstore.Before(func() { // the copy expires at the last moment
			assert.NoError(t, f.Remove(t.Context(), f.key, f.copied(t, 1)))
		}))
		_, err = f.in(line).Pin(t.Context(), f.key.Name, 1, "late", f.editing())
		require.ErrorIs(t, err, store.ErrNotFound)
		f.notCopied(t, 1)
	}},
}

// deleting returns the names that the list says are being deleted.
func (f fixture) deleting(t testing.TB) []string {
	t.Helper()
	var names []string
	for l, err := range f.in(f.Store).List(t.Context(), "") {
		require.NoError(t, err)
		if l.Deleting {
			names = append(names, l.Name)
		}
	}
	return names
}
