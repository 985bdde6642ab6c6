// Package archivetest is the conformance suite of archives. It tests an engine against every
// sentence of the comments of [archive.Archive], and against what package archive builds on it.
package archivetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store/archive"
)

// Factory returns an empty archive that only this test uses until it ends.
type Factory func(t *testing.T) archive.Archive

// Options say which rules an engine, or the server behind it, cannot keep. Nil is none.
type Options struct {
	// NotEveryKey: the engine cannot hold both a/b and a/b/c, or a key with a segment of 500 bytes.
	// So it is with an S3 server whose objects are files.
	NotEveryKey bool

	// LostReplies: replies get lost, so that the outcome of a Replace that was refused may be
	// unknown.
	LostReplies bool
}

// refused reports whether err says that a Replace was refused and has changed nothing.
func (o *Options) refused(err error) bool {
	return errors.Is(err, archive.ErrPrecondition) || o.LostReplies && errors.Is(err, archive.ErrWriteUnknown)
}

// Run runs the suite.
func Run(t *testing.T, factory Factory, opts *Options) {
	if opts == nil {
		opts = &Options{}
	}
	for _, group := range []struct {
		name string
		run  func(*testing.T, Factory, *Options)
	}{
		{"Create", runCreate},
		{"Replace", runReplace},
		{"Delete", runDelete},
		{"List", runList},
		{"Bodies", runBodies},
		{"Mirror", runMirror},
		{"Model", runModel},
	} {
		t.Run(group.name, func(t *testing.T) { group.run(t, factory, opts) })
	}
	t.Run("Check finds nothing wrong and leaves nothing", func(t *testing.T) {
		a := factory(t)
		require.NoError(t, a.Check(t.Context()))
		assert.Empty(t, keys(t, a, "", nil))
	})
}

// Large is the size of an object that an engine must send in several pieces.
const Large = 12<<20 + 345

// noise returns n bytes that do not compress, the same for the same seed.
func noise(seed uint64, n int) []byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	data := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(data)
	return data
}

func create(t *testing.T, a archive.Archive, key string, data []byte) archive.Object {
	t.Helper()
	object, err := a.Create(t.Context(), key, bytes.NewReader(data))
	require.NoError(t, err, "create %s", key)
	return object
}

func content(t *testing.T, a archive.Archive, key string) []byte {
	t.Helper()
	r, object, err := a.Open(t.Context(), key)
	require.NoError(t, err, "open %s", key)
	defer r.Close()
	data, err := io.ReadAll(r)
	require.NoError(t, err, "read %s", key)
	require.Equal(t, object.Size, int64(len(data)), "size of %s", key)
	return data
}

// same compares large contents, which no failure message should print.
func same(t *testing.T, want, got []byte, what string) {
	t.Helper()
	require.True(t, bytes.Equal(want, got), "%s: got %d bytes, want %d others", what, len(got), len(want))
}

func keys(t *testing.T, a archive.Archive, prefix string, opts *archive.ListOptions) []string {
	t.Helper()
	var found []string
	for object, err := range a.List(t.Context(), prefix, opts) {
		require.NoError(t, err, "list %q", prefix)
		found = append(found, object.Key)
	}
	return found
}

// failing yields data and then fails with err.
func failing(data []byte, err error) io.Reader {
	return io.MultiReader(bytes.NewReader(data), readerFunc(func([]byte) (int, error) { return 0, err }))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
