package checkpoint_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/archive/archivetest"
)

// memory is an archive in memory, which fails on purpose, and works in a bubble of virtual time.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
	made    map[string]time.Time
	calls   []string // method and key
	fault   func(ctx context.Context, call string) error
	after   func(call string) // is called when the call has been answered, with nothing locked
}

func newMemory() *memory {
	return &memory{objects: map[string][]byte{}, made: map[string]time.Time{}}
}

func TestTheArchiveOfTheseTestsHoldsTheContract(t *testing.T) {
	archivetest.Run(t, func(*testing.T) archive.Archive { return newMemory() }, nil)
}

// on has every call go through fault from now on; nil ends that.
func (a *memory) on(fault func(ctx context.Context, call string) error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fault = fault
}

// blocked never answers.
func blocked(ctx context.Context, call string) error {
	<-ctx.Done()
	return fmt.Errorf("%s: %w: %w", call, store.ErrUnavailable, ctx.Err())
}

func down(_ context.Context, call string) error {
	return fmt.Errorf("%s: %w", call, store.ErrUnavailable)
}

func (a *memory) call(ctx context.Context, method, key string) (answered func(), err error) {
	call := method + " " + key
	a.mu.Lock()
	a.calls = append(a.calls, call)
	fault, after := a.fault, a.after
	a.mu.Unlock()
	answered = func() {
		if after != nil {
			after(call)
		}
	}
	if fault != nil {
		if err := fault(ctx, call); err != nil {
			return answered, err
		}
	}
	if err := ctx.Err(); err != nil {
		return answered, fmt.Errorf("%s: %w", call, err)
	}
	if method != "List" {
		return answered, archive.ValidateKey(key)
	}
	return answered, nil
}

func etag(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func (a *memory) put(key string, data []byte) archive.Object {
	a.objects[key], a.made[key] = data, time.Now()
	return a.object(key)
}

func (a *memory) object(key string) archive.Object {
	data := a.objects[key]
	return archive.Object{Key: key, Size: int64(len(data)), ETag: etag(data), ModifiedAt: a.made[key]}
}

func (a *memory) Create(ctx context.Context, key string, body io.Reader) (archive.Object, error) {
	answered, err := a.call(ctx, "Create", key)
	defer answered()
	if err != nil {
		return archive.Object{}, err
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return archive.Object{}, err
	}
	if err := ctx.Err(); err != nil {
		return archive.Object{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, exists := a.objects[key]; exists {
		return archive.Object{}, &archive.ExistsError{Object: a.object(key)}
	}
	return a.put(key, data), nil
}

type bound struct {
	io.Reader
	ctx context.Context
}

func (b bound) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.Reader.Read(p)
}

func (a *memory) Open(ctx context.Context, key string) (io.ReadCloser, archive.Object, error) {
	answered, err := a.call(ctx, "Open", key)
	defer answered()
	if err != nil {
		return nil, archive.Object{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	data, exists := a.objects[key]
	if !exists {
		return nil, archive.Object{}, fmt.Errorf("open %s: %w", key, store.ErrNotFound)
	}
	return io.NopCloser(bound{bytes.NewReader(data), ctx}), a.object(key), nil
}

func (a *memory) Replace(ctx context.Context, key, tag string, data []byte) (archive.Object, error) {
	answered, err := a.call(ctx, "Replace", key)
	defer answered()
	if err != nil {
		return archive.Object{}, err
	}
	if len(data) > archive.MaxReplace {
		return archive.Object{}, fmt.Errorf("replace %s: %w", key, store.ErrTooLarge)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	there, exists := a.objects[key]
	if !exists && tag != "" || exists && tag != etag(there) {
		return archive.Object{}, fmt.Errorf("replace %s: %w", key, archive.ErrPrecondition)
	}
	return a.put(key, bytes.Clone(data)), nil
}

func (a *memory) List(ctx context.Context, prefix string, opts *archive.ListOptions) iter.Seq2[archive.Object, error] {
	return func(yield func(archive.Object, error) bool) {
		answered, err := a.call(ctx, "List", prefix)
		defer answered()
		if err != nil {
			yield(archive.Object{}, err)
			return
		}
		var o archive.ListOptions
		if opts != nil {
			o = *opts
		}
		folded := ""
		for _, key := range a.keys(prefix) {
			object := a.listed(key)
			if rest, more := strings.CutPrefix(key, prefix); o.Delimiter && more && strings.Contains(rest, "/") {
				below, _, _ := strings.Cut(rest, "/")
				object = archive.Object{Key: prefix + below + "/", Prefix: true}
			}
			if object.Prefix && (object.Key == folded || strings.HasPrefix(o.After, object.Key)) || key <= o.After {
				continue
			}
			folded = object.Key
			if err := ctx.Err(); err != nil {
				yield(archive.Object{}, err)
				return
			}
			if !yield(object, nil) {
				return
			}
		}
	}
}

func (a *memory) listed(key string) archive.Object {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.object(key)
}

// keys are those that begin with prefix, in order.
func (a *memory) keys(prefix string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := slices.Sorted(maps.Keys(a.objects))
	return slices.DeleteFunc(all, func(key string) bool { return !strings.HasPrefix(key, prefix) })
}

func (a *memory) Delete(ctx context.Context, key string) error {
	answered, err := a.call(ctx, "Delete", key)
	defer answered()
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.objects, key)
	return nil
}

func (a *memory) Check(ctx context.Context) error {
	err := archive.CheckConditions(ctx, a, nil)
	return errors.Join(err, a.Delete(ctx, "scratch"))
}

// change changes an object behind the contract's back; a nil result removes it.
func (a *memory) change(t testing.TB, key string, how func([]byte) []byte) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	data, there := a.objects[key]
	require.True(t, there, "there is no object %s", key)
	if data = how(bytes.Clone(data)); data == nil {
		delete(a.objects, key)
		return
	}
	a.objects[key] = data
}

func gone([]byte) []byte { return nil }

// flipped has one bit changed, in the middle.
func flipped(data []byte) []byte {
	data[len(data)/2] ^= 1
	return data
}

// called are the calls of a method since the number of calls that is given.
func (a *memory) called(method string, since int) (keys []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, call := range a.calls[since:] {
		if key, is := strings.CutPrefix(call, method+" "); is {
			keys = append(keys, key)
		}
	}
	return keys
}

func (a *memory) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.calls)
}

// What the tests of the archive's part have in common.

const (
	mirrorOf = "v/default/" + name + "/"
	bodiesOf = "body/default/" + name + "/"
)

// noise is a text that hardly compresses, of so many bytes, at most 4 MiB.
func noise(n int) string { return allNoise[:n] }

var allNoise = func() string {
	random := make([]byte, 2<<20)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(random)
	return hex.EncodeToString(random)
}()

// big is a state that may be large.
type big struct {
	N    int
	Text string
}

// bigger opens a session with large states.
func (r *rig) bigger(a archive.Archive, opts *checkpoint.Options) *checkpoint.Session[big] {
	r.Helper()
	s, err := checkpoint.Open[big](r.Context(), r.in(r.Store, a), name, opts)
	require.NoError(r, err)
	return s
}

func (r *rig) closed(s interface {
	Close(context.Context, error) error
}) {
	r.Helper()
	require.NoError(r, s.Close(r.Context(), nil))
}

// saves makes so many versions with an archive in one session, the closing one among them.
func (r *rig) saves(a archive.Archive, n int, opts *checkpoint.Options) {
	r.Helper()
	s := r.bigger(a, opts)
	for i := range n - 1 {
		require.NoError(r, s.Save(r.Context(), fmt.Sprint(i+1), big{N: i + 1}))
	}
	r.closed(s)
}

// mirrored are the versions in the mirror, without epoch and commit id.
func mirrored(t testing.TB, a archive.Archive) (versions []int64) {
	t.Helper()
	for listed, err := range archive.Versions(t.Context(), a, key) {
		require.NoError(t, err)
		require.False(t, listed.Foreign)
		versions = append(versions, listed.ID.Version)
	}
	return versions
}

func latest(t testing.TB, a archive.Archive) int64 {
	t.Helper()
	m, err := archive.ReadLatest(t.Context(), a, key)
	require.NoError(t, err)
	return m.Number
}

func upTo(n int64) (all []int64) {
	for v := int64(1); v <= n; v++ {
		all = append(all, v)
	}
	return all
}

// expire lets the service remove the copies from first to last.
func (r *rig) expire(first, last int64) {
	r.Helper()
	for v := first; v <= last; v++ {
		r.inner.Drop(key, store.CopyRecord(v))
	}
}

func sameCheckpoint(t testing.TB, want, got *checkpoint.Checkpoint) {
	t.Helper()
	a, b := *want, *got
	a.Epoch, b.Epoch = 0, 0
	a.ExpiresAt, b.ExpiresAt = time.Time{}, time.Time{}
	a.Archived, b.Archived, a.ArchivedThrough, b.ArchivedThrough = false, false, 0, 0
	assert.Equal(t, a, b)
}
