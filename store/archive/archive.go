// Package archive keeps, next to a store, what a table is not made for: the bodies of large states,
// and a mirror of committed versions that any tool can read.
//
// [Archive] is the contract of an engine: objects under keys, and nothing more. What the objects
// mean is the same on every engine and is decided in this package: the keys (layout.go), how a
// state is packed (state.go), bodies (body.go), the objects of the mirror (mirror.go, versions.go),
// latest.json (latest.go), which version is the newest (newest.go), what a mirror does not hold yet
// (missing.go), and whether a state lies in the record or in a body ([Writer]).
//
// Keys are relative to the archive's root, which is a prefix in a bucket or a
// directory:
//
//	body/<namespace>/<name>/<home>-<version>-<commit id>
//	v/<namespace>/<name>/<20-digit version>-<commit epoch>-<commit id>.json
//	v/<namespace>/<name>/latest.json
package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/milepost-dev/milepost/store"
)

// Archive keeps objects under keys.
//
// Consistency. Every read and every listing sees each write that was acknowledged before the read
// began. An object appears whole or not at all, whatever dies when.
//
// Conditions. Of any number of callers that create one key at once, one succeeds. [Archive.Replace]
// succeeds only over the object that the caller has seen.
//
// Durability. A write that returned nil survives the crash of any process and of the machine.
//
// Errors. They match store.ErrNotFound, store.ErrUnavailable, store.ErrThrottled,
// store.ErrCredentials, [ErrExists], [ErrPrecondition], [ErrNoArchive] and [ErrKey] by errors.Is,
// where one of these is the reason. A Create or Replace whose error matches [ErrWriteUnknown] may
// have been applied, may be applied later, or never. After any other error it was not applied and
// never will be. An engine settles what it can: if its own retry finds what an earlier attempt has
// written, that is a success and not [ErrExists].
//
// Cancellation. When ctx ends, a method returns soon, with an error that wraps the context's error.
// An engine has no time limits of its own: if ctx does not end, it waits for a service that never
// answers.
//
// Memory. Objects stream: a method needs the same memory, at most some tens of MiB, for an object
// of any size.
//
// Concurrency. All methods may be called from any number of goroutines and processes. No goroutine
// outlives the call, reader or loop that it serves.
type Archive interface {
	// Create stores all that body yields under key if nothing is there. Otherwise the error is an
	// [*ExistsError], which says what is there. If body fails, nothing is stored and Create returns
	// that error. Create may read body ahead, and does not close it. It waits for a Read that is
	// under way, even when ctx has ended.
	Create(ctx context.Context, key string, body io.Reader) (Object, error)

	// Open returns the object under key and what is known of it. The reader fails if the object
	// ends early or the connection is cut: io.EOF says that as many bytes came as the object has.
	// The reader must be closed, and ends with ctx. If nothing is there, the error matches
	// store.ErrNotFound.
	Open(ctx context.Context, key string) (io.ReadCloser, Object, error)

	// Replace stores data, at most [MaxReplace] bytes, under key if the object there has that ETag,
	// or, for the empty ETag, if nothing is there. Otherwise the error matches [ErrPrecondition].
	Replace(ctx context.Context, key, etag string, data []byte) (Object, error)

	// List yields the objects whose keys begin with prefix, which may end within a segment, in the
	// byte order of the keys, over all pages. It ends after the first error.
	List(ctx context.Context, prefix string, opts *ListOptions) iter.Seq2[Object, error]

	// Delete removes the object under key. It is not an error if nothing is there.
	Delete(ctx context.Context, key string) error

	// Check proves with a scratch object, which it removes, that the archive can be written to and
	// read, and that it keeps the conditions of Create and Replace. Its error says what does not
	// hold, and what would help.
	Check(ctx context.Context) error
}

// Limits.
const (
	MaxKey     = 1024    // bytes of a key, including the root's prefix if there is one
	MaxReplace = 1 << 20 // bytes of an object that Archive.Replace makes
)

// Object is what is known of an object without reading it.
type Object struct {
	Key  string
	Size int64 // bytes

	// ETag changes when the content does. It is empty where the engine does not know it: in a
	// listing, and for an object too large for [Archive.Replace].
	ETag string

	ModifiedAt time.Time // by the archive's clock; for people

	// Prefix says that this is not an object, but stands for all objects whose keys begin with Key,
	// which ends with the delimiter.
	Prefix bool
}

// ListOptions narrow a listing. Nil is the zero value.
type ListOptions struct {
	// Delimiter folds all keys that have a '/' after the prefix into one [Object], whose Key is
	// what they have in common, up to that '/'.
	Delimiter bool

	// After leaves out all keys up to this one, this one, and the prefix that it lies in.
	After string
}

// Sentinels, tested with errors.Is, next to those of package store.
var (
	// ErrExists: there is an object under that key already. See [ExistsError].
	ErrExists = errors.New("exists already")

	// ErrPrecondition: the object is not the one that the caller has seen.
	ErrPrecondition = errors.New("has changed meanwhile")

	// ErrWriteUnknown: the write may have been applied, or may be applied later. Only a
	// read can tell, and its answer may still change.
	ErrWriteUnknown = errors.New("it is unknown whether the object was written")

	// ErrNoArchive: there is no such bucket or directory.
	ErrNoArchive = errors.New("no such archive")

	// ErrKey: no object can have that key.
	ErrKey = errors.New("not a valid key")
)

// ExistsError says that there is an object under a key already. It matches [ErrExists].
type ExistsError struct {
	Object Object // the object; only Key is certain to be set
}

func (e *ExistsError) Error() string { return fmt.Sprintf("create %s: %v", e.Object.Key, ErrExists) }

// Is makes an ExistsError match [ErrExists].
func (e *ExistsError) Is(target error) bool { return target == ErrExists }

// ValidateKey returns an error that wraps [ErrKey] and says what is wrong with a key. A key is a
// path of segments that are neither empty nor "." nor "..", in valid UTF-8 without control
// characters, U+FFFE or U+FFFF, of at most [MaxKey] bytes.
func ValidateKey(key string) error {
	bad := func(why string) error { return fmt.Errorf("object key %.80q: %w: %s", key, ErrKey, why) }
	switch {
	case key == "":
		return bad("it is empty")
	case len(key) > MaxKey:
		return bad(fmt.Sprintf("it has %d bytes, and %d are the limit", len(key), MaxKey))
	case !utf8.ValidString(key):
		return bad("it is not valid UTF-8")
	case strings.ContainsFunc(key, unicode.IsControl):
		return bad("it holds a control character")
	case strings.ContainsFunc(key, store.NotInXML):
		return bad("it holds U+FFFE or U+FFFF, which a listing of S3 cannot hold")
	}
	for segment := range strings.SplitSeq(key, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return bad(fmt.Sprintf("%q cannot be a segment", segment))
		}
	}
	return nil
}

// ValidateReplace returns an error that matches store.ErrTooLarge if [Archive.Replace] cannot take
// so much data.
func ValidateReplace(data []byte) error {
	if len(data) > MaxReplace {
		return fmt.Errorf("%w: %d bytes, and %d are the limit", store.ErrTooLarge, len(data), MaxReplace)
	}
	return nil
}

// Source returns a reader of body that fails with the context's cause once ctx has ended.
func Source(ctx context.Context, body io.Reader) io.Reader { return &source{ctx, body} }

type source struct {
	ctx  context.Context
	body io.Reader
}

func (s *source) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.body.Read(p)
}

// ReadAll returns the whole object under key, if it has at most limit bytes. Otherwise the error
// matches store.ErrTooLarge.
func ReadAll(ctx context.Context, a Archive, key string, limit int64) ([]byte, Object, error) {
	r, object, err := a.Open(ctx, key)
	if err != nil {
		return nil, object, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, object, fmt.Errorf("read %s: %w", key, err)
	case int64(len(data)) > limit:
		return nil, object, fmt.Errorf("read %s: %w: it has more than %d bytes",
			key, store.ErrTooLarge, limit)
	}
	return data, object, nil
}
