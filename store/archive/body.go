package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/milepost-dev/milepost/store"
)

// zstdEncoding is the Encoding of a state that lies in a body.
const zstdEncoding = "zstd"

// window is how far back a body's compression looks, and with that what writing or
// reading one needs in memory.
const window = 4 << 20

// BodyError names a body that is missing, damaged, or could not be read to its end.
// It matches its cause: store.ErrNotFound where there is no such object,
// store.ErrBadRecord where it is not what was saved, store.ErrUnavailable where the
// connection was cut.
type BodyError struct {
	Key     store.Key
	Version int64
	Body    string // the key of the body
	Err     error
}

func (e *BodyError) Error() string {
	return fmt.Sprintf("the state of version %d of checkpoint %s, in the body %s: %v", e.Version, e.Key, e.Body, e.Err)
}

// Unwrap returns the cause.
func (e *BodyError) Unwrap() error { return e.Err }

// BodyWriter writes the state of one version into a body, compressed and hashed on its
// way. It is an io.Writer for one goroutine. It ends by [BodyWriter.Finish] or
// [BodyWriter.Abort], and must.
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

	done     chan struct{} // closed when Create has returned, with what follows
	err      error
	stop     func() bool
	finished bool
}

// CreateBody begins the body of the version that a commit is about to make. Nothing is
// there under its key until [BodyWriter.Finish] has returned; a HEAD must not
// point at it before. When ctx ends, the writer fails and nothing is stored.
func CreateBody(ctx context.Context, a Archive, key store.Key, id BodyID) (*BodyWriter, error) {
	w := &BodyWriter{archive: a, ctx: ctx, key: key, id: id, body: BodyKey(key, id), sum: sha256.New(), done: make(chan struct{})}
	if err := errors.Join(key.Validate(), ValidateCommitID(id.CommitID)); err != nil {
		return nil, w.failed(err)
	}
	source, pipe := io.Pipe()
	w.pipe = pipe
	encoder, err := zstd.NewWriter(io.MultiWriter(pipe, w.sum),
		zstd.WithEncoderConcurrency(1), // no goroutines, less memory; the network is slower
		zstd.WithWindowSize(window))
	if err != nil {
		return nil, w.failed(err)
	}
	w.encoder = encoder
	w.stop = context.AfterFunc(ctx, func() { _ = pipe.CloseWithError(context.Cause(ctx)) })
	go func() {
		defer close(w.done)
		_, w.err = a.Create(ctx, w.body, source)
		if errors.Is(w.err, ErrExists) { // then Finish has to know whether it is the same
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

// Finish stores the body and returns the state as a HEAD has it, without its content type. A body that is there already, from an
// earlier try of the same commit, is a success if its content is the same. After an
// error nothing is stored, or, if it matches [ErrWriteUnknown], perhaps something
// at which nothing may point.
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
		err = w.sameIsThere(state.SHA256)
	}
	if err != nil {
		return store.State{}, w.failed(err)
	}
	return state, nil
}

// Abort ends the writer, and waits until what was stored so far is gone again. After
// [BodyWriter.Finish] it does nothing, so that it can be deferred.
func (w *BodyWriter) Abort() {
	if w.finished {
		return
	}
	w.finished = true
	_ = w.pipe.CloseWithError(errors.New("aborted"))
	w.stop()
	<-w.done
	_ = w.encoder.Close() // fails, and gives back what it holds
}

func (w *BodyWriter) sameIsThere(sum []byte) error {
	r, _, err := w.archive.Open(w.ctx, w.body)
	if err != nil {
		return err
	}
	defer r.Close()
	there := sha256.New()
	if _, err := io.Copy(there, r); err != nil {
		return err
	}
	if !bytes.Equal(there.Sum(nil), sum) {
		return fmt.Errorf("%w with another content", ErrExists)
	}
	return nil
}

func (w *BodyWriter) failed(err error) error {
	if cause := context.Cause(w.ctx); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return &BodyError{Key: w.key, Version: w.id.Version, Body: w.body, Err: err}
}

// OpenBody returns the reader of the state of v, which lies in a body. What was read is the state only once the
// reader has returned io.EOF: it does so when all of the body has the sha256 and the
// size of v.State. Every error but io.EOF is a [*BodyError]. The reader must be closed,
// and ends with ctx.
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
			zstd.WithDecoderMaxWindow(4*window))
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

// sourceReader keeps an error of the source's, which the decoder would take for the end of a frame.
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
	if _, err := io.Copy(io.Discard, r.stored); err != nil { // what lies behind the last frame
		return err
	}
	if !bytes.Equal(r.sum.Sum(nil), r.want.SHA256) {
		return fmt.Errorf("%w: its sha256 is %x, and %x was saved", store.ErrBadRecord, r.sum.Sum(nil), r.want.SHA256)
	}
	if r.size != r.want.Size {
		return fmt.Errorf("%w: it has %d bytes, and %d were saved", store.ErrBadRecord, r.size, r.want.Size)
	}
	return io.EOF
}

func (r *bodyReader) failed(err error) error {
	return &BodyError{Key: r.key, Version: r.version, Body: r.want.Body, Err: err}
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
