// Package archive keeps, beside a store, what a table is not made for: the bodies
// of large states, and a mirror of committed versions that any tool can read.
//
// [Archive] is what an engine gives: objects under keys, no more. What the
// objects mean is the same on every engine and lies in this package: the layout
// of the keys, the writing and checking of bodies ([CreateBody], [OpenBody]), the
// mirror's objects ([Encode], [PutVersion], [Versions], [MoveLatest]), and which
// of those is the newest ([Newest], [Counting]).
//
// Keys are relative to the archive's root, which is a prefix in a bucket or a
// directory:
//
//	body/<namespace>/<name>/<version>-<commit id>
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
// Consistency. Every read and every listing sees each write that was
// acknowledged before it began. An object appears whole or not at all: nobody
// ever sees a part of one, whatever dies when.
//
// Conditions. Of any number of callers that create one key at once, one succeeds.
// [Archive.Replace] succeeds only over what the caller has seen.
//
// Durability. A write that returned nil survives the crash of any process and of
// the machine.
//
// Errors. They match store.ErrNotFound, store.ErrUnavailable, store.ErrThrottled,
// store.ErrCredentials, [ErrExists], [ErrPrecondition], [ErrNoArchive] and [ErrKey]
// by errors.Is, where one of these is the reason. A Create or Replace whose error
// matches [ErrWriteUnknown] may have been applied, may be later, or never; after any
// other error it was not and never will be. An engine settles what it can by
// itself: its own retry that finds what it has written is a success, not [ErrExists].
//
// Cancellation. When ctx ends, a method returns soon, with an error that wraps
// the context's. No time limits are the engine's own: without an end of ctx a
// service that never answers is waited for.
//
// Memory. Objects stream: a method needs the same memory, some tens of MiB at the
// most, for an object of any size.
//
// Concurrency. All methods may be called from any number of goroutines and
// processes. No goroutine outlives the call, or the reader or loop, it serves.
type Archive interface {
	// Create stores what body yields, to its end, under key if nothing is there;
	// otherwise [ErrExists], with what is there in an [*ExistsError]. If body fails,
	// nothing is stored, and its error is returned. Body may be read ahead, and is not
	// closed. Create waits for a Read that is under way, even when ctx has ended.
	Create(ctx context.Context, key string, body io.Reader) (Object, error)

	// Open returns the object under key and what is known of it. Its reader fails
	// where the object ends early or the connection is cut: io.EOF says that as
	// many bytes came as the object has. It must be closed, and ends with ctx.
	// Nothing there: store.ErrNotFound.
	Open(ctx context.Context, key string) (io.ReadCloser, Object, error)

	// Replace stores data, at most [MaxReplace] bytes, under key if the object there
	// has that ETag, or, for the empty one, if nothing is there; otherwise
	// [ErrPrecondition].
	Replace(ctx context.Context, key, etag string, data []byte) (Object, error)

	// List yields what lies below prefix, which may end within a segment, in
	// the byte order of the keys, over all pages. It ends after the first error.
	List(ctx context.Context, prefix string, opts *ListOptions) iter.Seq2[Object, error]

	// Delete removes what is under key. Nothing there is no error.
	Delete(ctx context.Context, key string) error

	// Check proves with a scratch object, which it removes, that the archive can be
	// written to and read, and that it keeps the conditions of Create and Replace;
	// its error says what does not hold and what would help.
	Check(ctx context.Context) error
}

// Limits.
const (
	MaxKey     = 1024    // bytes of a key, with the root's prefix where it has one
	MaxReplace = 1 << 20 // bytes of an object that is made by Archive.Replace
)

// Object is what is known of an object without reading it.
type Object struct {
	Key  string
	Size int64 // bytes

	// ETag changes when the content does. It is empty where the engine does not
	// tell: in a listing, and for an object too large for [Archive.Replace].
	ETag string

	ModifiedAt time.Time // by the archive's clock; for people

	// Prefix says that this is no object but all whose keys begin with Key,
	// which ends with the delimiter.
	Prefix bool
}

// ListOptions narrow a listing. Nil stands for the zero value.
type ListOptions struct {
	// Delimiter folds all keys that have a '/' beyond the prefix into one
	// [Object] for what they have in common up to there.
	Delimiter bool

	// After leaves out all up to and with this key, and the prefix that it lies in.
	After string
}

// Sentinels, tested with errors.Is, beside those of package store.
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

	// ErrKey: a key that no object can have.
	ErrKey = errors.New("not a valid key")
)

// ExistsError says that a key is taken. It matches [ErrExists].
type ExistsError struct {
	Object Object // what is there; only Key is certain to be set
}

func (e *ExistsError) Error() string { return fmt.Sprintf("create %s: %v", e.Object.Key, ErrExists) }

// Is makes an ExistsError match [ErrExists].
func (e *ExistsError) Is(target error) bool { return target == ErrExists }

// ValidateKey reports an error that wraps [ErrKey] and says what is wrong with a
// key: it must be a path of segments that are neither empty nor "." nor "..", in
// valid UTF-8 without control characters, of at most [MaxKey] bytes.
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
	}
	for segment := range strings.SplitSeq(key, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return bad(fmt.Sprintf("%q is no segment", segment))
		}
	}
	return nil
}

// ReadAll returns the object under key whole, if it has at most limit bytes;
// otherwise store.ErrTooLarge.
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
		return nil, object, fmt.Errorf("read %s: %w: it has more than %d bytes", key, store.ErrTooLarge, limit)
	}
	return data, object, nil
}
