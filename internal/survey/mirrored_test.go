package survey_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/survey"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/archive/dirarchive"
	"github.com/milepost-dev/milepost/store/memstore"
)

// job saves versions in one session without an archive, so that HEAD says of none that it is
// mirrored.
func job(t *testing.T, st store.Store, versions int) {
	t.Helper()
	s, err := checkpoint.Open[struct{}](t.Context(), checkpoint.Namespace{Store: st}, "flights", nil)
	require.NoError(t, err)
	for n := range versions - 1 {
		require.NoError(t, s.Save(t.Context(), fmt.Sprint(n+1), struct{}{}))
	}
	require.NoError(t, s.Close(t.Context(), nil))
}

func TestMirroredAsksTheArchiveWhatHeadDoesNotKnowYet(t *testing.T) {
	key := store.Key{Namespace: "default", Name: "flights"}
	st := memstore.New(nil)
	a, err := dirarchive.Open(filepath.Join(t.TempDir(), "archive"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, a.Close()) })
	behind := func(in archive.Archive, sessions bool) survey.Mirroring {
		items, err := survey.Look(t.Context(), st, "default", "")
		require.NoError(t, err)
		for n := range items {
			items[n].Now = items[n].Now.Add(time.Hour)
		}
		all, err := survey.Mirrored(t.Context(), st, in, items, sessions)
		require.NoError(t, err)
		require.Len(t, all, 1)
		return all[0]
	}
	gone := func(version int64) { st.Drop(key, store.CopyRecord(version)) }
	unmirror := func(version int64) {
		for listed, err := range archive.VersionsFrom(t.Context(), a, key, version) {
			require.NoError(t, err)
			if listed.ID.Version > version {
				break
			}
			require.NoError(t, a.Delete(t.Context(), listed.Object.Key))
		}
	}

	job(t, st, 8)
	assert.InDelta(t, time.Hour, behind(a, false).Lag, float64(time.Minute), "nothing is mirrored yet")
	gone(1)
	gone(2)
	assert.InDelta(t, time.Hour, behind(a, false).Lag, float64(time.Minute))
	assert.False(t, behind(a, false).Gap, "these versions are older than the archive")

	_, err = checkpoint.Namespace{Store: st, Archive: a}.Sync(t.Context(), "flights", nil)
	require.NoError(t, err)
	assert.Zero(t, behind(a, false), "a sync has mirrored all; HEAD records it with the next save")
	assert.False(t, behind(nil, false).Gap)

	unmirror(5)
	assert.InDelta(t, time.Hour, behind(a, false).Lag, float64(time.Minute))
	assert.Zero(t, behind(a, true), "with sessionsOnly, only a session's last version must be mirrored")
	gone(5)
	assert.Equal(t, survey.Mirroring{Gap: true}, behind(a, false))

	unmirror(8) // the newest is not counted
	job(t, st, 1)
	assert.Equal(t, survey.Mirroring{Gap: true}, behind(a, false))
}
