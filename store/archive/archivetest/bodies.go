package archivetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

var (
	checkpoint = store.Key{Namespace: "default", Name: "orders/eu"}
	bodyID     = archive.BodyID{Home: "0a1b2c3d", Version: 12, CommitID: "7f3k2m"}
)

// saveBody writes a state into a body, and returns the version that has it.
func saveBody(t *testing.T, a archive.Archive, key store.Key, id archive.BodyID, state []byte) (*store.Version, string) {
	t.Helper()
	w, err := archive.CreateBody(t.Context(), a, key, id)
	require.NoError(t, err)
	defer w.Abort()
	_, err = io.Copy(w, bytes.NewReader(state))
	require.NoError(t, err)
	saved, err := w.Finish()
	require.NoError(t, err)
	return &store.Version{Number: id.Version, CommitID: id.CommitID, Content: store.Content{State: &saved}}, saved.Body
}

func loadBody(t *testing.T, a archive.Archive, key store.Key, v *store.Version) ([]byte, error) {
	t.Helper()
	r, err := archive.OpenBody(t.Context(), a, key, v)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func runBodies(t *testing.T, factory Factory, _ *Options) {
	for name, state := range map[string][]byte{
		"nothing":            nil,
		"a little JSON":      []byte(`{"sum": 9223372036854775807}`),
		"much that packs":    bytes.Repeat([]byte("0123456789abcdef"), 1<<18),
		"much that does not": noise(1, Large),
	} {
		t.Run("a state is loaded as it was saved: "+name, func(t *testing.T) {
			a := factory(t)
			v, body := saveBody(t, a, checkpoint, bodyID, state)
			assert.Equal(t, "body/default/orders/eu/0a1b2c3d-12-7f3k2m", body)
			assert.Equal(t, int64(len(state)), v.State.Size)
			loaded, err := loadBody(t, a, checkpoint, v)
			require.NoError(t, err)
			same(t, state, loaded, "state")
		})
	}
	t.Run("saved again under the same commit, the same is a success and another is not", func(t *testing.T) {
		a := factory(t)
		first, _ := saveBody(t, a, checkpoint, bodyID, []byte("the state"))
		again, _ := saveBody(t, a, checkpoint, bodyID, []byte("the state"))
		assert.Equal(t, first, again)

		w, err := archive.CreateBody(t.Context(), a, checkpoint, bodyID)
		require.NoError(t, err)
		_, err = w.Write([]byte("another state"))
		require.NoError(t, err)
		_, err = w.Finish()
		require.ErrorIs(t, err, archive.ErrExists)
		loaded, err := loadBody(t, a, checkpoint, first)
		require.NoError(t, err)
		assert.Equal(t, "the state", string(loaded))
	})
	t.Run("what is aborted, or whose context ends, leaves nothing", func(t *testing.T) {
		a := factory(t)
		for _, size := range []int{10, Large} {
			w, err := archive.CreateBody(t.Context(), a, checkpoint, bodyID)
			require.NoError(t, err)
			_, err = w.Write(noise(5, size))
			require.NoError(t, err)
			w.Abort()
			_, err = w.Finish()
			require.Error(t, err, "finished after it was aborted")

			ctx, cancel := context.WithCancelCause(t.Context())
			w, err = archive.CreateBody(ctx, a, checkpoint, bodyID)
			require.NoError(t, err)
			_, err = w.Write(noise(6, size))
			require.NoError(t, err)
			lost := errors.New("the lease is lost")
			cancel(lost)
			_, err = w.Write(noise(7, Large))
			require.Error(t, err)
			_, err = w.Finish()
			require.Error(t, err)
			assert.True(t, errors.Is(err, lost) || errors.Is(err, context.Canceled), "error: %v", err)
		}
		assert.Empty(t, keys(t, a, "", nil))
	})
	t.Run("a missing body is an error that names checkpoint, version and key", func(t *testing.T) {
		a := factory(t)
		v, body := saveBody(t, a, checkpoint, bodyID, []byte("the state"))
		require.NoError(t, a.Delete(t.Context(), body))
		_, err := loadBody(t, a, checkpoint, v)
		require.ErrorIs(t, err, archive.ErrBodyMissing)
		require.NotErrorIs(t, err, store.ErrNotFound, "the checkpoint is there")
		require.NotErrorIs(t, err, store.ErrBadRecord, "the body is not damaged")
		names(t, err, body)
	})
	t.Run("a body that is not what was saved is an error at its end at the latest", func(t *testing.T) {
		for _, state := range [][]byte{[]byte("a little state that is short"), noise(8, 3<<20)} {
			damage(t, factory(t), state)
		}
	})
	t.Run("a listing shows no body of a checkpoint below", func(t *testing.T) {
		a := factory(t)
		below := store.Key{Namespace: "default", Name: "orders/eu/body"}
		saveBody(t, a, checkpoint, bodyID, []byte("1"))
		saveBody(t, a, checkpoint, archive.BodyID{Home: "0a1b2c3d", Version: 3, CommitID: "x-y_Z"}, []byte("2"))
		saveBody(t, a, below, bodyID, []byte("3"))
		create(t, a, archive.BodyPrefix(checkpoint)+"README.txt", nil)
		var found []archive.ListedBody
		for body, err := range archive.Bodies(t.Context(), a, checkpoint) {
			require.NoError(t, err)
			body.Object = archive.Object{Key: body.Object.Key}
			found = append(found, body)
		}
		assert.ElementsMatch(t, []archive.ListedBody{
			{ID: bodyID, Object: archive.Object{Key: "body/default/orders/eu/0a1b2c3d-12-7f3k2m"}},
			{ID: archive.BodyID{Home: "0a1b2c3d", Version: 3, CommitID: "x-y_Z"}, Object: archive.Object{Key: "body/default/orders/eu/0a1b2c3d-3-x-y_Z"}},
			{Foreign: true, Object: archive.Object{Key: "body/default/orders/eu/README.txt"}},
		}, found)
	})
}

func names(t *testing.T, err error, body string) {
	t.Helper()
	var bad *archive.BodyError
	require.ErrorAs(t, err, &bad)
	assert.Equal(t, checkpoint, bad.Key)
	assert.Equal(t, int64(12), bad.Version)
	assert.Equal(t, body, bad.Body)
	assert.ErrorContains(t, err, "version 12 of checkpoint orders/eu: its body "+body)
}

// damage puts something else in a body's place, in every way in which bytes go bad.
func damage(t *testing.T, a archive.Archive, state []byte) {
	v, body := saveBody(t, a, checkpoint, bodyID, state)
	stored := content(t, a, body)
	flipped := func(at int) []byte {
		data := bytes.Clone(stored)
		data[at] ^= 0x10
		return data
	}
	other, otherBody := saveBody(t, a, checkpoint, archive.BodyID{Home: "0a1b2c3d", Version: 13, CommitID: "other"}, append([]byte("x"), state...))
	for name, data := range map[string][]byte{
		"first byte flipped":           flipped(0),
		"a byte in the middle flipped": flipped(len(stored) / 2),
		"last byte flipped":            flipped(len(stored) - 1),
		"half":                         stored[:len(stored)/2],
		"all but a byte":               stored[:len(stored)-1],
		"empty":                        {},
		"a byte more":                  append(bytes.Clone(stored), 0),
		"twice":                        append(bytes.Clone(stored), stored...),
		"another's":                    content(t, a, otherBody),
		"no zstd":                      []byte(strings.Repeat("text ", 100)),
	} {
		require.NoError(t, a.Delete(t.Context(), body))
		create(t, a, body, data)
		loaded, err := loadBody(t, a, checkpoint, v)
		if assert.ErrorIs(t, err, store.ErrBadRecord, "%s: %d bytes were loaded", name, len(loaded)) {
			assert.ErrorIs(t, err, archive.ErrBodyMissing)
			names(t, err, body)
		}
	}
	v.State.Encoding = "brotli"
	_, err := loadBody(t, a, checkpoint, v)
	require.ErrorIs(t, err, store.ErrBadRecord, "an unknown encoding")
	v.State = nil
	_, err = loadBody(t, a, checkpoint, v)
	require.ErrorIs(t, err, store.ErrBadRecord, "no state")
	_, err = loadBody(t, a, checkpoint, other)
	require.NoError(t, err, "the other body is whole still")
}
