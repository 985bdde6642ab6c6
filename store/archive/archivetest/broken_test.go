package archivetest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/archive/archivetest"
	"github.com/milepost-dev/milepost/store/archive/dirarchive"
)

// broken are engines with one fault each, and the part of the suite that must
// find it.
var broken = []struct {
	fault string
	group string
	finds string
	wrap  func(archive.Archive) archive.Archive
}{
	{"create overwrites", "Create", "what exists stays", func(a archive.Archive) archive.Archive { return overwrites{a} }},
	{"create looks and then writes", "Create", "of many at once one creates", func(a archive.Archive) archive.Archive { return looksFirst{a} }},
	{"a broken source is stored as far as it came", "Create", "a source that fails", func(a archive.Archive) archive.Archive { return storesHalf{a} }},
	{"an end of ctx is not heeded", "Create", "a context that has ended", func(a archive.Archive) archive.Archive { return deaf{a} }},
	{"replace ignores what is there", "Replace", "only what the caller has seen", func(a archive.Archive) archive.Archive { return ignoresETag{a} }},
	{"replace brings back", "Replace", "a deleted object is not brought back", func(a archive.Archive) archive.Archive { return bringsBack{a} }},
	{"deleting nothing is an error", "Delete", "once more is no error", func(a archive.Archive) archive.Archive { return deletesOnce{a} }},
	{"a listing ends after a page", "List", "more than a page", func(a archive.Archive) archive.Archive { return onePage{a} }},
	{"a listing is in no order", "List", "in the order of its bytes", func(a archive.Archive) archive.Archive { return unordered{a} }},
	{"a listing shows all levels", "Bodies", "no body of a checkpoint below", func(a archive.Archive) archive.Archive { return noDelimiter{a} }},
	{"a short read ends as a whole one", "Bodies", "a state is loaded as it was saved", func(a archive.Archive) archive.Archive { return short{a} }},
	{"a missing object is an empty one", "Bodies", "a missing body is an error", func(a archive.Archive) archive.Archive { return neverMissing{a} }},
}

func TestBrokenEnginesFailTheSuite(t *testing.T) {
	if fault := os.Getenv("ARCHIVE_BROKEN"); fault != "" {
		for _, b := range broken {
			if b.fault == fault {
				archivetest.Run(t, func(t *testing.T) archive.Archive { return b.wrap(whole(t)) }, nil)
			}
		}
		return
	}
	for _, b := range broken {
		t.Run(b.fault, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestBrokenEnginesFailTheSuite$/^"+b.group+"$")
			cmd.Env = append(os.Environ(), "ARCHIVE_BROKEN="+b.fault)
			out, err := cmd.CombinedOutput()
			var failed *exec.ExitError
			require.ErrorAs(t, err, &failed, "the suite passes it: %s", out)
			found := slices.ContainsFunc(strings.Split(string(out), "\n"), func(line string) bool {
				return strings.Contains(line, "--- FAIL") && strings.Contains(strings.ReplaceAll(line, "_", " "), b.finds)
			})
			assert.True(t, found, "no part of the suite named %q found it: %s", b.finds, out)
		})
	}
}

func whole(t *testing.T) archive.Archive {
	a, err := dirarchive.Open(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { _ = a.Close() })
	return a
}

type overwrites struct{ archive.Archive }

func (a overwrites) Create(ctx context.Context, key string, body io.Reader) (archive.Object, error) {
	if archive.ValidateKey(key) == nil {
		_ = a.Delete(ctx, key)
	}
	return a.Archive.Create(ctx, key, body)
}

type looksFirst struct{ archive.Archive }

func (a looksFirst) Create(ctx context.Context, key string, body io.Reader) (archive.Object, error) {
	r, there, err := a.Open(ctx, key)
	if err == nil {
		_ = r.Close()
		return archive.Object{}, &archive.ExistsError{Object: there}
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return archive.Object{}, err
	}
	for { // what is there by now is written over
		object, err := a.Archive.Create(ctx, key, bytes.NewReader(data))
		if !errors.Is(err, archive.ErrExists) {
			return object, err
		}
		_ = a.Delete(ctx, key)
	}
}

type storesHalf struct{ archive.Archive }

func (a storesHalf) Create(ctx context.Context, key string, body io.Reader) (archive.Object, error) {
	data, readErr := io.ReadAll(body)
	object, err := a.Archive.Create(ctx, key, bytes.NewReader(data))
	return object, errors.Join(readErr, err)
}

type deaf struct{ archive.Archive }

func (a deaf) Create(ctx context.Context, key string, body io.Reader) (archive.Object, error) {
	return a.Archive.Create(context.WithoutCancel(ctx), key, body)
}

type ignoresETag struct{ archive.Archive }

func (a ignoresETag) Replace(ctx context.Context, key, etag string, data []byte) (archive.Object, error) {
	_, there, err := archive.ReadAll(ctx, a, key, archive.MaxReplace)
	if err == nil {
		etag = there.ETag
	}
	return a.Archive.Replace(ctx, key, etag, data)
}

type bringsBack struct{ archive.Archive }

func (a bringsBack) Replace(ctx context.Context, key, etag string, data []byte) (archive.Object, error) {
	if _, _, err := a.Open(ctx, key); errors.Is(err, store.ErrNotFound) {
		etag = ""
	}
	return a.Archive.Replace(ctx, key, etag, data)
}

type deletesOnce struct{ archive.Archive }

func (a deletesOnce) Delete(ctx context.Context, key string) error {
	r, _, err := a.Open(ctx, key)
	if err != nil {
		return err
	}
	_ = r.Close()
	return a.Archive.Delete(ctx, key)
}

type onePage struct{ archive.Archive }

func (a onePage) List(ctx context.Context, prefix string, opts *archive.ListOptions) iter.Seq2[archive.Object, error] {
	return func(yield func(archive.Object, error) bool) {
		n := 0
		for object, err := range a.Archive.List(ctx, prefix, opts) {
			if n++; n > 1000 || !yield(object, err) {
				return
			}
		}
	}
}

type unordered struct{ archive.Archive }

func (a unordered) List(ctx context.Context, prefix string, opts *archive.ListOptions) iter.Seq2[archive.Object, error] {
	return func(yield func(archive.Object, error) bool) {
		var all []archive.Object
		for object, err := range a.Archive.List(ctx, prefix, opts) {
			if err != nil {
				yield(object, err)
				return
			}
			all = append(all, object)
		}
		for _, object := range slices.Backward(all) {
			if !yield(object, nil) {
				return
			}
		}
	}
}

type noDelimiter struct{ archive.Archive }

func (a noDelimiter) List(ctx context.Context, prefix string, opts *archive.ListOptions) iter.Seq2[archive.Object, error] {
	if opts != nil {
		opts = &archive.ListOptions{After: opts.After}
	}
	return a.Archive.List(ctx, prefix, opts)
}

type short struct{ archive.Archive }

func (a short) Open(ctx context.Context, key string) (io.ReadCloser, archive.Object, error) {
	r, object, err := a.Archive.Open(ctx, key)
	if err != nil {
		return nil, object, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(r, object.Size-1), r}, object, nil
}

type neverMissing struct{ archive.Archive }

func (a neverMissing) Open(ctx context.Context, key string) (io.ReadCloser, archive.Object, error) {
	r, object, err := a.Archive.Open(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return io.NopCloser(bytes.NewReader(nil)), archive.Object{Key: key}, nil
	}
	return r, object, err
}
