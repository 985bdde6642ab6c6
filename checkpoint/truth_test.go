package checkpoint_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive/dirarchive"
)

// written is a state that is large enough for the archive.
type written struct{ Text string }

func TestAStateThatWasNotLoadedDecodesToAnError(t *testing.T) {
	over(t, func(r *rig) {
		a, err := dirarchive.Open(r.TempDir())
		require.NoError(r, err)
		ns := both(r.Store, a)
		ns.InlineLimit = 10
		s, err := checkpoint.Open[written](r.Context(), ns, name, nil)
		require.NoError(r, err)
		want := written{strings.Repeat("state", 100)}
		require.NoError(r, s.Save(r.Context(), "a", want))
		require.NoError(r, s.Close(r.Context(), nil))

		notLoaded := func(how string, cp *checkpoint.Checkpoint) {
			require.NotEmpty(r, cp.Body, how)
			_, err := checkpoint.Decode[written](cp)
			require.ErrorIs(r, err, checkpoint.ErrNotLoaded, how)
			assert.ErrorContains(r, err, cp.Body, how)
			assert.ErrorContains(r, err, "OpenState", how)
		}
		for cp, err := range ns.History(r.Context(), name, nil) {
			require.NoError(r, err)
			notLoaded("a history loads no state", cp)
		}
		cp, err := in(r.Store).Get(r.Context(), name, nil)
		require.NoError(r, err)
		notLoaded("a read without the archive", cp)
		_, err = in(r.Store).Set(r.Context(), name, checkpoint.ContentOf(cp), nil)
		require.ErrorIs(r, err, checkpoint.ErrNotLoaded)

		data, err := json.Marshal(cp)
		require.NoError(r, err)
		var read checkpoint.Checkpoint
		require.NoError(r, json.Unmarshal(data, &read))
		notLoaded("the same, through JSON", &read)
		_, err = read.OpenState(r.Context(), a)
		require.ErrorIs(r, err, checkpoint.ErrNotLoaded, "not \"none was saved\": its JSON does not say where the state lies")

		loaded, err := ns.Get(r.Context(), name, nil)
		require.NoError(r, err)
		got, err := checkpoint.Decode[written](loaded)
		require.NoError(r, err)
		assert.Equal(r, want, got)
	})
}

func TestANameThatIsExpectedAndWasNeverSavedIsNoCheckpoint(t *testing.T) {
	over(t, func(r *rig) {
		a, err := dirarchive.Open(r.TempDir())
		require.NoError(r, err)
		ns := both(r.Store, a)
		for _, saved := range []string{"a", "z"} {
			s, err := checkpoint.Open[sum](r.Context(), ns, saved, nil)
			require.NoError(r, err)
			require.NoError(r, s.Save(r.Context(), "1", sum{}))
			require.NoError(r, s.Close(r.Context(), nil))
		}
		expected := store.Key{Namespace: store.DefaultNamespace, Name: "m"}
		every := &store.Expectation{Every: time.Hour, SetBy: "ops", SetAt: time.Now().Truncate(time.Millisecond)}
		require.NoError(r, r.inner.Expect(r.Context(), expected, nil, every))

		var names []string
		for name, err := range ns.Names(r.Context(), "") {
			require.NoError(r, err)
			names = append(names, name)
		}
		assert.Equal(r, []string{"a", "z"}, names)
		listed := 0
		for l, err := range ns.List(r.Context(), "") {
			require.NoError(r, err)
			assert.Equal(r, l.Name == "m", l.Checkpoint == nil)
			listed++
		}
		assert.Equal(r, 3, listed, "a list has it, since it is overdue one day")
	})
}

func TestAnExportLeavesOutWhatIsGone(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		require.NoError(r, s.Save(r.Context(), "1", sum{}))
		r.done(s)
		var out bytes.Buffer
		x := checkpoint.NewExporter(&out)
		_, err := x.Add(r.Context(), in(r.Store), "gone", nil)
		require.ErrorIs(r, err, store.ErrNotFound)
		_, err = x.Add(r.Context(), in(r.Store), name, nil)
		require.NoError(r, err)
		require.NoError(r, x.Close(), "nothing of the other was written, so the export is whole")
		assert.Contains(r, out.String(), `"end":{"checkpoints":1`)
	})
}

func TestANamespaceWithoutAStoreIsAnError(t *testing.T) {
	_, err := checkpoint.Open[sum](t.Context(), checkpoint.Namespace{}, name, nil)
	require.ErrorContains(t, err, "Store")
	_, err = checkpoint.Namespace{}.Get(context.Background(), name, nil)
	require.ErrorContains(t, err, "Store")
}
