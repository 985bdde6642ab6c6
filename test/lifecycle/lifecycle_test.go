// Package lifecycle_test takes a checkpoint with an archive through its whole life on real engines:
// it is saved, mirrored, expired, verified, collected, lost, restored, moved to another store, and
// purged.
package lifecycle_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/archive/dirarchive"
	"github.com/milepost-dev/milepost/store/archive/s3archive"
	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/store/sqlitestore"
	"github.com/milepost-dev/milepost/test/dynamotest"
	"github.com/milepost-dev/milepost/test/s3test"
)

const name = "orders/eu"

var key = store.Key{Namespace: store.DefaultNamespace, Name: name}

type state struct {
	N    int
	Text string
}

func newSQLite(t *testing.T) store.Store {
	t.Helper()
	st, err := sqlitestore.Open(t.Context(), filepath.Join(t.TempDir(), "jobs.db"), nil)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, st.Close()) })
	return st
}

func newDynamo(t *testing.T) store.Store {
	t.Helper()
	client, table := dynamotest.Client(t), dynamotest.Table(t)
	require.NoError(t, dynamostore.CreateTable(t.Context(), client, table, nil))
	return dynamostore.New(client, table)
}

func newDirectory(t *testing.T) archive.Archive {
	t.Helper()
	a, err := dirarchive.Open(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, a.Close()) })
	return a
}

func newBucket(t *testing.T) archive.Archive {
	t.Helper()
	bucket, prefix := s3test.Place(t)
	a, err := s3archive.New(s3test.Client(t), bucket, prefix, nil)
	require.NoError(t, err)
	return a
}

// life is the life of one checkpoint.
type life struct {
	*testing.T
	checkpoint.Namespace
}

func TestTheLifeOfACheckpointWithAnArchive(t *testing.T) {
	for what, on := range map[string]struct {
		store   func(*testing.T) store.Store
		archive func(*testing.T) archive.Archive
	}{
		"SQLite and a directory": {newSQLite, newDirectory},
		"SQLite and a bucket":    {newSQLite, newBucket},
		"DynamoDB and a bucket":  {newDynamo, newBucket},
	} {
		t.Run(what, func(t *testing.T) {
			a := on.archive(t)
			l := &life{t, checkpoint.Namespace{Store: on.store(t), Archive: a}}
			l.saves("first", 6)
			l.sound(7)
			before := l.history()
			require.Len(t, before, 7)

			l.expires(1, 4)
			l.same(before, l.history())
			l.collects(0)
			e, err := l.Rollback(t.Context(), name, 2, nil)
			require.NoError(t, err)
			assert.Equal(t, "first 2", e.After.Cursor)
			l.sound(8)
			l.collects(0)

			// The table is lost and replaced, twice.
			for i := range 2 {
				before = l.history()
				l.Store = on.store(t)
				_, err = checkpoint.Open[state](t.Context(), l.Namespace, name, nil)
				require.ErrorIs(t, err, checkpoint.ErrRefused)
				restored, err := l.Restore(t.Context(), name, nil)
				require.NoError(t, err)
				assert.Equal(t, "first 2", restored.After.Cursor)
				assert.GreaterOrEqual(t, restored.After.Epoch, int64(i+1)*1_000_000)
				l.same(before, l.history()[1:])
				l.sound(int64(9 + i))
				l.collects(0)
			}
			l.saves("restored", 3)
			l.sound(14)

			var lines bytes.Buffer
			x := checkpoint.NewExporter(&lines)
			_, err = x.Add(t.Context(), l.Namespace, name, nil)
			require.NoError(t, err)
			require.NoError(t, x.Close())
			into := newSQLite(t)
			for done, err := range (checkpoint.Namespace{Store: into, Archive: newDirectory(t)}).Import(t.Context(), &lines, nil) {
				require.NoError(t, err)
				assert.Equal(t, int64(14), done.Versions)
			}
			cp, err := checkpoint.Namespace{Store: into}.Get(t.Context(), name, nil)
			require.NoError(t, err)
			assert.Equal(t, "restored 3", cp.Cursor)

			purged, err := l.Delete(t.Context(), name, &checkpoint.EditOptions{Purge: true})
			require.NoError(t, err)
			assert.Equal(t, int64(15), purged.Purged.Objects)
			for object, err := range a.List(t.Context(), "", nil) {
				require.NoError(t, err)
				assert.Fail(t, "left behind", object.Key)
			}
		})
	}
}

// saves makes n versions, with small and large states, and a closing version.
func (l *life) saves(about string, n int) {
	l.Helper()
	s, err := checkpoint.Open[state](l.Context(), l.Namespace, name, nil)
	require.NoError(l, err)
	random := make([]byte, 10_000)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(random)
	for i := range n {
		v := state{N: i + 1, Text: hex.EncodeToString(random[:i%2*len(random)])}
		require.NoError(l, s.Save(l.Context(), fmt.Sprintf("%s %d", about, i+1), v))
	}
	require.NoError(l, s.Close(l.Context(), nil))
}

// sound requires that verify finds that many versions and nothing wrong.
func (l *life) sound(versions int64) {
	l.Helper()
	found, err := l.Verify(l.Context(), name, nil)
	require.NoError(l, err)
	assert.Empty(l, found.Findings)
	assert.Zero(l, found.Waiting)
	assert.Equal(l, versions+1, found.Objects)
}

// collects requires that gc would remove n bodies.
func (l *life) collects(n int) {
	l.Helper()
	done, err := l.GC(l.Context(), name, nil)
	require.NoError(l, err)
	assert.Len(l, done.Bodies, n)
}

func (l *life) history() (all []*checkpoint.Checkpoint) {
	l.Helper()
	for cp, err := range l.History(l.Context(), name, nil) {
		require.NoError(l, err)
		all = append(all, cp)
	}
	return all
}

// same requires that the versions are the same, and that their states can be read.
func (l *life) same(want, got []*checkpoint.Checkpoint) {
	l.Helper()
	require.Len(l, got, len(want))
	for i := range want {
		a, b := *want[i], *got[i]
		a.Epoch, b.Epoch = 0, 0
		a.ExpiresAt, b.ExpiresAt = time.Time{}, time.Time{}
		a.Archived, b.Archived, a.ArchivedThrough, b.ArchivedThrough = false, false, 0, 0
		assert.Equal(l, a, b)
		cp, err := l.Get(l.Context(), name, &checkpoint.ReadOptions{Version: b.Number})
		require.NoError(l, err)
		_, err = checkpoint.Decode[state](cp)
		require.NoError(l, err)
	}
}

// expires removes copies, as the service does at some time after their expiry.
func (l *life) expires(first, last int64) {
	l.Helper()
	for v := first; v <= last; v++ {
		c, err := l.Store.Version(l.Context(), key, v)
		require.NoError(l, err)
		require.NoError(l, l.Store.Remove(l.Context(), key, c))
	}
}
