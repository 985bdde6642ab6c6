package archivetest

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

func runReplace(t *testing.T, factory Factory, _ *Options) {
	replace := func(t *testing.T, a archive.Archive, etag, data string) (archive.Object, error) {
		return a.Replace(t.Context(), "dir/key.json", etag, []byte(data))
	}
	t.Run("only what the caller has seen is replaced", func(t *testing.T) {
		a := factory(t)
		first, err := replace(t, a, "", "first")
		require.NoError(t, err)
		_, err = replace(t, a, "", "other")
		assert.ErrorIs(t, err, archive.ErrPrecondition, "it exists")
		second, err := replace(t, a, first.ETag, "second, longer")
		require.NoError(t, err)
		assert.Equal(t, int64(len("second, longer")), second.Size)
		_, err = replace(t, a, first.ETag, "third")
		assert.ErrorIs(t, err, archive.ErrPrecondition, "it is the second by now")
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
		assert.ErrorIs(t, err, archive.ErrPrecondition)
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
		for range writers {
			wg.Go(func() {
				for range each {
					if err := increment(t, a); err != nil {
						t.Errorf("increment: %v", err)
						return
					}
				}
			})
		}
		wg.Wait()
		assert.Equal(t, strconv.Itoa(writers*each), string(content(t, a, "counter.json")))
	})
}

func increment(t *testing.T, a archive.Archive) error {
	for {
		n, etag := 0, ""
		data, object, err := archive.ReadAll(t.Context(), a, "counter.json", archive.MaxReplace)
		switch {
		case err == nil:
			etag = object.ETag
			if n, err = strconv.Atoi(string(data)); err != nil {
				return err
			}
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		_, err = a.Replace(t.Context(), "counter.json", etag, []byte(strconv.Itoa(n+1)))
		if !errors.Is(err, archive.ErrPrecondition) {
			return err
		}
	}
}

func runDelete(t *testing.T, factory Factory, _ *Options) {
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
	t.Run("creating and deleting beside one another disturb neither", func(t *testing.T) {
		a := factory(t)
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
		assert.Empty(t, keys(t, a, "", nil))
	})
}
