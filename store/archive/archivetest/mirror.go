package archivetest

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// mirrored returns a version with a state of its own.
func mirrored(key store.Key, id archive.ID) *archive.Mirrored {
	data := fmt.Appendf(nil, `{"sum": %d}`, id.Version)
	sum := sha256.Sum256(data)
	return &archive.Mirrored{Key: key, Version: store.Version{
		Number: id.Version, CommitEpoch: id.Epoch, CommitID: id.CommitID, Born: 1,
		By: store.Holder{ID: "nightly", Host: "etl-7", PID: 4121}, SavedAt: time.Date(2026, 11, 24, 2, 0, 1, 5000, time.UTC),
		Content: store.Content{
			Cursor:    fmt.Sprint("ord-", id.Version),
			Processed: 1000 * id.Version,
			State:     &store.State{Data: data, Size: int64(len(data)), SHA256: sum[:]},
		},
	}}
}

func put(t *testing.T, a archive.Archive, key store.Key, id archive.ID) []byte {
	t.Helper()
	data, err := archive.PutVersion(t.Context(), a, mirrored(key, id))
	require.NoError(t, err, "mirror %v", id)
	return data
}

func id(version, epoch int64) archive.ID {
	return archive.ID{Version: version, Epoch: epoch, CommitID: fmt.Sprintf("c%d-%d", version, epoch)}
}

func runMirror(t *testing.T, factory Factory, _ *Options) {
	t.Run("a version is read as it was put, and putting it again changes nothing", func(t *testing.T) {
		a := factory(t)
		first := put(t, a, checkpoint, id(7, 3))
		assert.Equal(t, first, put(t, a, checkpoint, id(7, 3)))
		read, err := archive.ReadVersion(t.Context(), a, checkpoint, id(7, 3))
		require.NoError(t, err)
		assert.Equal(t, mirrored(checkpoint, id(7, 3)), read)
		assert.Equal(t, []string{"v/default/orders/eu/00000000000000000007-3-c7-3.json"}, keys(t, a, "", nil))
		_, err = archive.ReadVersion(t.Context(), a, checkpoint, id(8, 3))
		assert.ErrorIs(t, err, store.ErrNotFound)
	})
	t.Run("another content under the same commit is an error and stays out", func(t *testing.T) {
		a := factory(t)
		put(t, a, checkpoint, id(7, 3))
		other := mirrored(checkpoint, id(7, 3))
		other.Cursor = "another"
		_, err := archive.PutVersion(t.Context(), a, other)
		assert.ErrorIs(t, err, store.ErrBadRecord)
		read, err := archive.ReadVersion(t.Context(), a, checkpoint, id(7, 3))
		require.NoError(t, err)
		assert.Equal(t, "ord-7", read.Cursor)
	})
	t.Run("an object in another's place is an error", func(t *testing.T) {
		a := factory(t)
		data := put(t, a, checkpoint, id(7, 3))
		require.NoError(t, a.Delete(t.Context(), archive.VersionKey(checkpoint, id(7, 3))))
		create(t, a, archive.VersionKey(checkpoint, id(8, 3)), data)
		_, err := archive.ReadVersion(t.Context(), a, checkpoint, id(8, 3))
		assert.ErrorIs(t, err, store.ErrBadRecord)
		elsewhere := store.Key{Namespace: "default", Name: "orders/us"}
		create(t, a, archive.VersionKey(elsewhere, id(7, 3)), data)
		_, err = archive.ReadVersion(t.Context(), a, elsewhere, id(7, 3))
		assert.ErrorIs(t, err, store.ErrBadRecord)
		assert.Error(t, archive.MoveLatest(t.Context(), a, elsewhere, data))
	})
	t.Run("latest.json moves forward only, by epoch and then by version", func(t *testing.T) {
		a := factory(t)
		_, err := archive.ReadLatest(t.Context(), a, checkpoint)
		require.ErrorIs(t, err, store.ErrNotFound)
		for _, step := range []struct{ move, want archive.ID }{
			{id(5, 1), id(5, 1)},
			{id(6, 1), id(6, 1)},
			{id(5, 1), id(6, 1)},
			{id(6, 1), id(6, 1)},
			{id(2, 1_000_003), id(2, 1_000_003)}, // restored at version 2
			{id(9, 1), id(2, 1_000_003)},         // a dead line's late write
			{id(3, 1_000_003), id(3, 1_000_003)},
		} {
			require.NoError(t, archive.MoveLatest(t.Context(), a, checkpoint, put(t, a, checkpoint, step.move)))
			read, err := archive.ReadLatest(t.Context(), a, checkpoint)
			require.NoError(t, err)
			assert.Equal(t, step.want, read.ID(), "after a move to %v", step.move)
		}
	})
	t.Run("latest.json ends at the newest of many that move it at once", func(t *testing.T) {
		a := factory(t)
		var wg sync.WaitGroup
		for i := range 8 {
			data := put(t, a, checkpoint, id(int64(1+i%4), int64(1+i/4)))
			wg.Go(func() { assert.NoError(t, archive.MoveLatest(t.Context(), a, checkpoint, data)) })
		}
		wg.Wait()
		read, err := archive.ReadLatest(t.Context(), a, checkpoint)
		require.NoError(t, err)
		assert.Equal(t, id(4, 2), read.ID())
	})
	t.Run("a latest.json that cannot be read is an error and stays", func(t *testing.T) {
		a := factory(t)
		create(t, a, archive.LatestKey(checkpoint), []byte(`{"fmt": 2}`))
		err := archive.MoveLatest(t.Context(), a, checkpoint, put(t, a, checkpoint, id(1, 1)))
		assert.ErrorIs(t, err, store.ErrNewerFormat)
		assert.Equal(t, `{"fmt": 2}`, string(content(t, a, archive.LatestKey(checkpoint))))
	})
	t.Run("versions are listed by number, foreign objects among them, and none of a checkpoint below", func(t *testing.T) { listVersions(t, factory(t)) })
	t.Run("names are those that have anything in the archive", func(t *testing.T) { listNames(t, factory(t)) })
}

func listVersions(t *testing.T, a archive.Archive) {
	below := store.Key{Namespace: "default", Name: "orders/eu/body"}
	ids := []archive.ID{id(9, 1), id(9, 2), id(10, 1), id(100, 12)}
	for _, v := range []int{2, 0, 3, 1} {
		put(t, a, checkpoint, ids[v])
	}
	put(t, a, below, id(4, 4))
	create(t, a, archive.LatestKey(checkpoint), []byte("whatever"))
	create(t, a, archive.VersionPrefix(checkpoint)+"notes.json", nil)
	var listed []archive.ID
	var foreign []string
	for v, err := range archive.Versions(t.Context(), a, checkpoint) {
		require.NoError(t, err)
		if v.Foreign {
			foreign = append(foreign, v.Object.Key)
			continue
		}
		listed = append(listed, v.ID)
	}
	assert.Equal(t, ids, listed)
	assert.Equal(t, []string{"v/default/orders/eu/notes.json"}, foreign)
}

func listNames(t *testing.T, a archive.Archive) {
	for _, name := range []string{"a", "a/body", "a-b", "ab", "orders/eu/1", "orders/eu/2"} {
		put(t, a, store.Key{Namespace: "default", Name: name}, id(1, 1))
		put(t, a, store.Key{Namespace: "default", Name: name}, id(2, 1))
	}
	put(t, a, store.Key{Namespace: "other", Name: "x"}, id(1, 1))
	saveBody(t, a, store.Key{Namespace: "default", Name: "a/only-a-body"}, bodyID, []byte("1"))
	saveBody(t, a, store.Key{Namespace: "default", Name: "ab"}, bodyID, []byte("1"))
	for _, test := range []struct {
		prefix string
		want   []string
	}{
		{"", []string{"a", "a-b", "a/body", "a/only-a-body", "ab", "orders/eu/1", "orders/eu/2"}},
		{"a/", []string{"a/body", "a/only-a-body"}},
		{"orders/e", []string{"orders/eu/1", "orders/eu/2"}},
		{"orders/eu/0", nil},
	} {
		var found []string
		for name, err := range archive.Names(t.Context(), a, "default", test.prefix) {
			require.NoError(t, err)
			found = append(found, name)
		}
		assert.ElementsMatch(t, test.want, found, "prefix %q", test.prefix)
	}
}
