package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/milepost-dev/milepost/internal/retries"
	"github.com/milepost-dev/milepost/store"
)

// zstdWindow is how far back the compression of a body looks. It decides how much memory it takes
// to write or read one.
const zstdWindow = 4 << 20

// ErrBodyMissing says that the body of a state is missing or damaged. See [BodyError].
var ErrBodyMissing = errors.New("the state's body is missing or damaged")

// BodyError names a body that a version points at and that is missing or damaged. No older state
// replaces it. It matches [ErrBodyMissing], and store.ErrBadRecord if the body is there and
// damaged. It never matches store.ErrNotFound: the checkpoint is there.
type BodyError struct {
	Key     store.Key
	Version int64
	Body    string // the body's key in the archive
	Err     error  // what is wrong, as text
	Damaged bool   // the body is there, and is not what was saved
}

func (e *BodyError) Error() string {
	what := "is missing"
	if e.Damaged {
		what = "is damaged"
	}
	return fmt.Sprintf("the state of version %d of checkpoint %s: its body %s %s: %v",
		e.Version, e.Key, e.Body, what, e.Err)
}

// Is makes a BodyError match [ErrBodyMissing].
func (e *BodyError) Is(target error) bool {
	return target == ErrBodyMissing || e.Damaged && target == store.ErrBadRecord
}

// bodyError says whose body err is about: by a [*BodyError] if the body is missing or damaged.
func bodyError(key store.Key, version int64, body string, err error) error {
	missing, damaged := errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrBadRecord)
	if missing || damaged {
		return &BodyError{Key: key, Version: version, Body: body, Err: err, Damaged: damaged}
	}
	return fmt.Errorf("the state of version %d of checkpoint %s: its body %s: %w", version, key, body, err)
}

// BodyWriter writes the state of one version into a body, and compresses and hashes it on the way.
// It is an io.Writer for one goroutine. The caller must end it, by [BodyWriter.Finish] or
// [BodyWriter.Abort].
type BodyWriter struct {
	archive Archive
	ctx     context.Context
	key     store.Key
	id      BodyID
	body    string

	pipe    *io.PipeWriter
	sum     hash.Hash // of what goes into pipe
	encoder *zstd.Encoder
	size    int64 // before compression

	done     chan struct{} // closed when Create has returned and err is set
	err      error
	stop     func() bool
	finished bool
}

// CreateBody begins the body of the version that a commit is about to make. Nothing is there under
// the body's key until [BodyWriter.Finish] has returned, and HEAD must not point at it before. When
// ctx ends, the writer fails and nothing is stored.
func CreateBody(ctx context.Context, a Archive, key store.Key, id BodyID) (*BodyWriter, error) {
	w := &BodyWriter{
		archive: a, ctx: ctx, key: key, id: id, body: BodyKey(key, id), sum: sha256.New(), done: make(chan struct{}),
	}
	if err := errors.Join(key.Validate(), id.validate()); err != nil {
		return nil, w.failed(err)
	}
	source, pipe := io.Pipe()
	w.pipe = pipe
	encoder, err := zstd.NewWriter(io.MultiWriter(pipe, w.sum),
		zstd.WithEncoderConcurrency(1), // no goroutines, less memory; the network is slower
		zstd.WithWindowSize(zstdWindow))
	if err != nil {
		return nil, w.failed(err)
	}
	w.encoder = encoder
	w.stop = context.AfterFunc(ctx, func() { _ = pipe.CloseWithError(context.Cause(ctx)) })
	go func() {
		defer close(w.done)
		_, w.err = a.Create(ctx, w.body, source)
		if errors.Is(w.err, ErrExists) { // Finish needs the whole hash to compare them
			_, _ = io.Copy(io.Discard, source)
		}
		reason := w.err
		if reason == nil {
			reason = io.ErrClosedPipe
		}
		_ = source.CloseWithError(reason)
	}()
	return w, nil
}

// Write adds to the state. It blocks while the archive is slower than the writer.
func (w *BodyWriter) Write(p []byte) (int, error) {
	n, err := w.encoder.Write(p)
	w.size += int64(n)
	if err != nil {
		err = w.failed(err)
	}
	return n, err
}

// Finish stores the body and returns the state as HEAD has it, without its content type. A body
// that an earlier attempt of the same commit has left is a success if its content is the same.
// After an error nothing is stored; after one that matches [ErrWriteUnknown] the body may be
// stored, and nothing may point at it.
func (w *BodyWriter) Finish() (store.State, error) {
	defer w.Abort()
	if w.finished {
		return store.State{}, w.failed(errors.New("it has ended already"))
	}
	if err := w.encoder.Close(); err != nil {
		return store.State{}, w.failed(err)
	}
	_ = w.pipe.Close()
	<-w.done
	state := store.State{Body: w.body, Encoding: zstdEncoding, Size: w.size, SHA256: w.sum.Sum(nil)}
	err := w.err
	if errors.Is(err, ErrExists) {
		err = sameBody(w.ctx, w.archive, w.body, state.SHA256)
	}
	if err != nil {
		return store.State{}, w.failed(err)
	}
	return state, nil
}

// Abort ends the writer, and waits until what was stored so far is removed. After
// [BodyWriter.Finish] it does nothing, so that it can be deferred.
func (w *BodyWriter) Abort() {
	if w.finished {
		return
	}
	w.finished = true
	_ = w.pipe.CloseWithError(errors.New("aborted"))
	w.stop()
	<-w.done
	_ = w.encoder.Close() // fails, and releases its memory
}

func (w *BodyWriter) failed(err error) error {
	if cause := context.Cause(w.ctx); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return fmt.Errorf("write the state of version %d of checkpoint %s into the body %s: %w",
		w.id.Version, w.key, w.body, err)
}

// OpenBody returns a reader of the state of v, which lies in a body. What was read is the state
// only once the reader has returned io.EOF: then the whole body has the sha256 and the size of
// v.State. A body that is missing or damaged is a [*BodyError]. The reader must be closed, and ends
// with ctx.
func OpenBody(ctx context.Context, a Archive, key store.Key, v *store.Version) (io.ReadCloser, error) {
	r := &bodyReader{key: key, version: v.Number, sum: sha256.New()}
	if v.State == nil {
		return nil, r.failed(fmt.Errorf("%w: the version has no state", store.ErrBadRecord))
	}
	r.want = *v.State
	source, _, err := a.Open(ctx, r.want.Body)
	if err != nil {
		return nil, r.failed(err)
	}
	r.source = source
	r.stored = io.TeeReader(&sourceReader{r}, r.sum)
	r.plain = r.stored
	switch v.State.Encoding {
	case "":
	case zstdEncoding:
		r.decoder, err = zstd.NewReader(r.stored,
			zstd.WithDecoderConcurrency(1), // no goroutines, less memory
			zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(4*zstdWindow))
		if err != nil {
			return nil, errors.Join(r.failed(err), source.Close())
		}
		r.plain = r.decoder
	default:
		err := fmt.Errorf("%w: unknown encoding %q", store.ErrBadRecord, v.State.Encoding)
		return nil, errors.Join(r.failed(err), source.Close())
	}
	return r, nil
}

type bodyReader struct {
	key     store.Key
	version int64
	want    store.State

	source    io.ReadCloser
	sourceErr error     // other than io.EOF
	stored    io.Reader // source, hashed into sum
	sum       hash.Hash
	decoder   *zstd.Decoder // nil: not compressed
	plain     io.Reader
	size      int64 // read from plain
	err       error // what every Read returns from now on
}

// sourceReader keeps an error of the source, which the decoder would take for the end of a frame.
type sourceReader struct{ body *bodyReader }

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.body.source.Read(p)
	if err != nil && err != io.EOF {
		s.body.sourceErr = err
	}
	return n, err
}

func (r *bodyReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.plain.Read(p)
	r.size += int64(n)
	switch {
	case err == io.EOF:
		err = r.verify()
	case err != nil && r.sourceErr == nil:
		err = fmt.Errorf("%w: %w", store.ErrBadRecord, err)
	}
	switch {
	case r.sourceErr != nil:
		err = r.sourceErr
	case err == nil && r.size > r.want.Size:
		err = fmt.Errorf("%w: it is longer than the %d bytes that were saved", store.ErrBadRecord, r.want.Size)
	}
	if err != nil && err != io.EOF {
		err = r.failed(err)
	}
	r.err = err
	return n, err
}

// verify returns io.EOF if all of the body was read and is what was saved.
func (r *bodyReader) verify() error {
	if _, err := io.Copy(io.Discard, r.stored); err != nil { // what follows the last frame
		return err
	}
	if err := checkSum(r.sum, r.want.SHA256); err != nil {
		return err
	}
	if r.size != r.want.Size {
		return fmt.Errorf("%w: it has %d bytes, and %d were saved", store.ErrBadRecord, r.size, r.want.Size)
	}
	return io.EOF
}

func (r *bodyReader) failed(err error) error {
	return bodyError(r.key, r.version, r.want.Body, err)
}

// Close ends the reader, read to its end or not.
func (r *bodyReader) Close() error {
	if r.decoder != nil {
		r.decoder.Close()
	}
	if r.err == nil {
		r.err = r.failed(errors.New("the reader is closed"))
	}
	return r.source.Close()
}

// LoadBody reads the state of v, which lies in a body, into memory. For ten seconds it retries what
// may pass.
func LoadBody(ctx context.Context, a Archive, key store.Key, v *store.Version) (data []byte, err error) {
	const patience = 10 * time.Second
	began := time.Now()
	err = retry(ctx, retries.Pace(), func() (again bool, err error) {
		r, err := OpenBody(ctx, a, key, v)
		if err == nil {
			data, err = io.ReadAll(r)
			_ = r.Close()
		}
		passes := errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrThrottled) || errors.Is(err, store.ErrCredentials)
		return passes && time.Since(began) < patience, err
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

// putBody creates a body, or finds the same body there: an earlier attempt may have written it.
func putBody(ctx context.Context, a Archive, body string, data []byte) error {
	_, err := a.Create(ctx, body, bytes.NewReader(data))
	if errors.Is(err, ErrExists) {
		sum := sha256.Sum256(data)
		return sameBody(ctx, a, body, sum[:])
	}
	return err
}

// copyBody creates a body with the content of another one, or finds the same body there.
func copyBody(ctx context.Context, a Archive, from, body string, want []byte) error {
	source, _, err := a.Open(ctx, from)
	if err != nil {
		return err
	}
	defer source.Close()
	_, err = a.Create(ctx, body, &checked{source: source, want: want, sum: sha256.New()})
	if errors.Is(err, ErrExists) {
		return sameBody(ctx, a, body, want)
	}
	return err
}

// sameBody returns nil if the body that is there has the sha256 want. Another content matches
// [ErrExists] and store.ErrBadRecord.
func sameBody(ctx context.Context, a Archive, body string, want []byte) error {
	source, _, err := a.Open(ctx, body)
	if err != nil {
		return contradicted(err)
	}
	defer source.Close()
	_, err = io.Copy(io.Discard, &checked{source: source, want: want, sum: sha256.New()})
	if errors.Is(err, store.ErrBadRecord) {
		err = fmt.Errorf("%w with another content: %w", ErrExists, err)
	}
	return err
}

// contradicted returns the error of a read of what an archive refused to write because it is there.
// If the archive now says that nothing is there, one of its answers is wrong, and another attempt
// may help.
func contradicted(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%w: it was refused because it is there, and it is not there: %s", store.ErrUnavailable, err.Error())
	}
	return err
}

// checked is a reader that fails at its end unless what it has read has the sha256 want.
type checked struct {
	source io.Reader
	want   []byte
	sum    hash.Hash
}

func (r *checked) Read(p []byte) (int, error) {
	n, err := r.source.Read(p)
	_, _ = r.sum.Write(p[:n])
	if err == io.EOF {
		if bad := checkSum(r.sum, r.want); bad != nil {
			err = bad
		}
	}
	return n, err
}

func checkSum(sum hash.Hash, want []byte) error {
	if got := sum.Sum(nil); !bytes.Equal(got, want) {
		return fmt.Errorf("%w: its sha256 is %x, and %x was saved", store.ErrBadRecord, got, want)
	}
	return nil
}
