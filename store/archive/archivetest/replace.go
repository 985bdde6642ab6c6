package archivetest

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

func runReplace(t *testing.T, factory Factory, opts *Options) {
	replace := func(t *testing.T, a archive.Archive, etag, data string) (archive.Object, error) {
		return a.Replace(t.Context(), "dir/key.json", etag, []byte(data))
	}
	t.Run("only what the caller has seen is replaced", func(t *testing.T) {
		a := factory(t)
		first, err := replace(t, a, "", "first")
		require.NoError(t, err)
		_, err = replace(t, a, "", "other")
		assert.True(t, opts.refused(err), "error: %v", err)
		second, err := replace(t, a, first.ETag, "second, longer")
		require.NoError(t, err)
		assert.Equal(t, int64(len("second, longer")), second.Size)
		_, err = replace(t, a, first.ETag, "third")
		assert.True(t, opts.refused(err), "error: %v", err)
		_, err = a.Create(t.Context(), "dir/key.json", strings.NewReader("x"))
		assert.ErrorIs(t, err, archive.ErrExists)

		data, object, err := archive.ReadAll(t.Context(), a, "dir/key.json", archive.MaxReplace)
		require.NoError(t, err)
		assert.Equal(t, "second, longer", string(data))
		assert.Equal(t, second.ETag, object.ETag, "what is read names what is there")
	})
	t.Run("a deleted object is not brought back", func(t *testing.T) {
		a := factory(t)
		first, err := replace(t, a, "", "first")
		require.NoError(t, err)
		require.NoError(t, a.Delete(t.Context(), "dir/key.json"))
		_, err = replace(t, a, first.ETag, "second")
		assert.True(t, opts.refused(err), "error: %v", err)
		assert.Empty(t, keys(t, a, "", nil))
	})
	t.Run("a created object is replaced like any other", func(t *testing.T) {
		a := factory(t)
		made := create(t, a, "dir/key.json", []byte("created"))
		_, err := replace(t, a, made.ETag, "replaced")
		require.NoError(t, err)
		assert.Equal(t, "replaced", string(content(t, a, "dir/key.json")))
	})
	t.Run("the limit holds", func(t *testing.T) {
		a := factory(t)
		_, err := replace(t, a, "", string(noise(1, archive.MaxReplace+1)))
		assert.ErrorIs(t, err, store.ErrTooLarge)
		made, err := replace(t, a, "", string(noise(1, archive.MaxReplace)))
		require.NoError(t, err)
		_, err = replace(t, a, made.ETag, "less")
		assert.NoError(t, err)
	})
	t.Run("no change of many at once is lost", func(t *testing.T) {
		a := factory(t)
		const writers, each = 6, 8
		var wg sync.WaitGroup
		for writer := range writers {
			wg.Go(func() {
				for i := range each {
					if err := appendLine(t, a, fmt.Sprintf("line %d of writer %d\n", i, writer)); err != nil {
						t.Errorf("append: %v", err)
						return
					}
				}
			})
		}
		wg.Wait()
		lines := strings.SplitAfter(string(content(t, a, "log.json")), "\n")
		assert.Len(t, lines, writers*each+1)
		for writer := range writers {
			next := 0
			for _, line := range lines {
				if line == fmt.Sprintf("line %d of writer %d\n", next, writer) {
					next++
				}
			}
			assert.Equal(t, each, next, "lines of writer %d, in order, each once", writer)
		}
	})
}

// appendLine replaces an object by itself and a line that no other has.
func appendLine(t *testing.T, a archive.Archive, line string) error {
	for {
		data, object, err := archive.ReadAll(t.Context(), a, "log.json", archive.MaxReplace)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return err
		case bytes.Contains(data, []byte(line)): // its outcome was unknown
			return nil
		}
		_, err = a.Replace(t.Context(), "log.json", object.ETag, append(data, line...))
		if !errors.Is(err, archive.ErrPrecondition) && !errors.Is(err, archive.ErrWriteUnknown) {
			return err
		}
	}
}

func runDelete(t *testing.T, factory Factory, opts *Options) {
	t.Run("what is deleted is gone, and once more is no error", func(t *testing.T) {
		a := factory(t)
		for _, key := range []string{"a/b/1", "a/b/2", "a/c/1"} {
			create(t, a, key, []byte(key))
		}
		require.NoError(t, a.Delete(t.Context(), "a/b/1"))
		require.NoError(t, a.Delete(t.Context(), "a/b/1"))
		require.NoError(t, a.Delete(t.Context(), "never/was"))
		_, _, err := a.Open(t.Context(), "a/b/1")
		assert.ErrorIs(t, err, store.ErrNotFound)
		assert.Equal(t, []string{"a/b/2", "a/c/1"}, keys(t, a, "", nil))
		require.NoError(t, a.Delete(t.Context(), "a/b/2"))
		assert.Equal(t, []string{"a/c/"}, keys(t, a, "a/", &archive.ListOptions{Delimiter: true}), "no trace of a/b/")
	})
	t.Run("creating and deleting next to each other disturb neither", func(t *testing.T) {
		a := factory(t)
		if opts.NotEveryKey { // a server whose objects are files removes and makes directories here, not always in time
			create(t, a, "dir/below/stays", nil)
		}
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				key := "dir/below/" + strconv.Itoa(i)
				for range 15 {
					if _, err := a.Create(t.Context(), key, strings.NewReader("x")); err != nil {
						t.Errorf("create %s: %v", key, err)
					}
					if err := a.Delete(t.Context(), key); err != nil {
						t.Errorf("delete %s: %v", key, err)
					}
				}
			})
		}
		wg.Wait()
		for _, key := range keys(t, a, "", nil) {
			assert.Equal(t, "dir/below/stays", key)
		}
	})
}
