package archivetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

func runCreate(t *testing.T, factory Factory, opts *Options) {
	for _, size := range []int{0, 1, 4096, Large} {
		t.Run(fmt.Sprintf("what is read is what was created, of %d bytes", size), func(t *testing.T) {
			a, data := factory(t), noise(1, size)
			before := time.Now().Add(-time.Minute)
			made := create(t, a, "some/key-1", data)
			assert.Equal(t, "some/key-1", made.Key)
			assert.Equal(t, int64(size), made.Size)
			same(t, data, content(t, a, "some/key-1"), "content")
			r, object, err := a.Open(t.Context(), "some/key-1")
			require.NoError(t, err)
			require.NoError(t, r.Close(), "closed unread")
			assert.Equal(t, made.ETag, object.ETag)
			assert.WithinRange(t, object.ModifiedAt, before, time.Now().Add(time.Minute))
		})
		t.Run(fmt.Sprintf("what exists stays, against one of %d bytes", size), func(t *testing.T) {
			a := factory(t)
			create(t, a, "key", []byte("first"))
			_, err := a.Create(t.Context(), "key", bytes.NewReader(noise(2, size)))
			require.ErrorIs(t, err, archive.ErrExists)
			var exists *archive.ExistsError
			require.ErrorAs(t, err, &exists)
			assert.Equal(t, "key", exists.Object.Key)
			assert.Equal(t, "first", string(content(t, a, "key")))
		})
		t.Run(fmt.Sprintf("of many at once one creates, %d bytes", size), func(t *testing.T) {
			race(t, factory(t), size)
		})
		t.Run(fmt.Sprintf("a source that fails after %d bytes leaves nothing", size), func(t *testing.T) {
			a, broken := factory(t), errors.New("the source broke")
			_, err := a.Create(t.Context(), "key", failing(noise(3, size), broken))
			require.ErrorIs(t, err, broken)
			assert.Empty(t, keys(t, a, "", nil))
		})
		t.Run(fmt.Sprintf("a context that ends after %d bytes leaves nothing", size), func(t *testing.T) {
			a := factory(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			stopped := errors.New("stopped by the test")
			source := failing(noise(4, size), nil)
			_, err := a.Create(ctx, "key", readerFunc(func(p []byte) (int, error) {
				n, err := source.Read(p)
				if n == 0 && err == nil {
					cancel(stopped)
					return 0, ctx.Err()
				}
				return n, err
			}))
			require.Error(t, err)
			assert.True(t, errors.Is(err, context.Canceled) || errors.Is(err, stopped), "error: %v", err)
			assert.Empty(t, keys(t, a, "", nil))
		})
	}
	t.Run("after a delete it creates again", func(t *testing.T) {
		a := factory(t)
		create(t, a, "key", []byte("first"))
		require.NoError(t, a.Delete(t.Context(), "key"))
		create(t, a, "key", []byte("second"))
		assert.Equal(t, "second", string(content(t, a, "key")))
	})
	t.Run("nothing there is not found", func(t *testing.T) {
		a := factory(t)
		create(t, a, "dir/key", []byte("x"))
		for _, key := range []string{"other", "dir/other", "dir", "dir/key/below"} {
			_, _, err := a.Open(t.Context(), key)
			assert.ErrorIs(t, err, store.ErrNotFound, "key %q", key)
		}
	})
	t.Run("a key that none can have is refused", func(t *testing.T) {
		a := factory(t)
		for _, key := range []string{"", "/", "/a", "a/", "a//b", ".", "a/../b", "..", "a\nb", "a\xff", "a/\uFFFEb", "a\uFFFF", strings.Repeat("k", 1025)} {
			_, err := a.Create(t.Context(), key, strings.NewReader("x"))
			assert.ErrorIs(t, err, archive.ErrKey, "create %.20q", key)
			_, err = a.Replace(t.Context(), key, "", []byte("x"))
			assert.ErrorIs(t, err, archive.ErrKey, "replace %.20q", key)
			_, _, err = a.Open(t.Context(), key)
			assert.ErrorIs(t, err, archive.ErrKey, "open %.20q", key)
			assert.ErrorIs(t, a.Delete(t.Context(), key), archive.ErrKey, "delete %.20q", key)
		}
		assert.Empty(t, keys(t, a, "", nil))
	})
	t.Run("a context that has ended is the error", func(t *testing.T) {
		a, ctx := factory(t), canceled(t)
		_, err := a.Create(ctx, "key", strings.NewReader("x"))
		assert.ErrorIs(t, err, context.Canceled)
		_, err = a.Replace(ctx, "key", "", []byte("x"))
		assert.ErrorIs(t, err, context.Canceled)
		_, _, err = a.Open(ctx, "key")
		assert.ErrorIs(t, err, context.Canceled)
		for _, err = range a.List(ctx, "", nil) {
			break
		}
		assert.ErrorIs(t, err, context.Canceled)
	})
	t.Run("keys of every kind are told apart", func(t *testing.T) { tellApart(t, factory(t), opts) })
}

// race has many create one key at once: one succeeds, and its content is there whole.
func race(t *testing.T, a archive.Archive, size int) {
	n := 20
	if size > 1<<20 {
		n = 4
	}
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			_, errs[i] = a.Create(t.Context(), "key", bytes.NewReader(noise(uint64(10+i), size)))
		})
	}
	wg.Wait()
	winner := -1
	for i, err := range errs {
		if err == nil {
			assert.Equal(t, -1, winner, "two have created the key")
			winner = i
			continue
		}
		assert.ErrorIs(t, err, archive.ErrExists)
	}
	require.NotEqual(t, -1, winner, "none has created the key")
	same(t, noise(uint64(10+winner), size), content(t, a, "key"), "the winner's content")
}

func tellApart(t *testing.T, a archive.Archive, opts *Options) {
	all := []string{"a/k", "a-b/k", "a.b/k", "a b/k", "a+b/k", "a%20b/k", "a%b/k", "é/k", "e\u0301/k", "日本/k", "a&b=c?d#e/k", "con/k", "nul.txt/k",
		"a\\b/k", "a:b/k", "a*b/k", "\"q\"/k", "<x>/k", "~/k", "!a/k", "'/k", "a~/k", "a%+/k"}
	if !opts.NotEveryKey {
		long := strings.Repeat("long", 120)
		all = append(all, "A/k", "a", "a/k/k", "a/k/", "latest.json/latest.json", "latest.json", "É/k", "CON/k", "a./k", " a /k", ".a/k",
			long, long+"/k", long+"x/k", strings.ToUpper(long)+"/k", strings.Repeat("é", 250)+"/k", strings.Repeat("a/", 511)+"a")
	}
	held := map[string]string{}
	for i, key := range all {
		if archive.ValidateKey(key) != nil {
			continue
		}
		held[key] = fmt.Sprint("content ", i)
		create(t, a, key, []byte(held[key]))
	}
	for key, want := range held {
		assert.Equal(t, want, string(content(t, a, key)), "key %.40q", key)
	}
	assert.Len(t, keys(t, a, "", nil), len(held))
}
