package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// Stream is the T of a session whose state does not fit in memory: it is written by [SaveStream] and read
// by [Session.OpenState], and never held whole. Its content type is that of [Bytes], so that a []byte can be made
// of it and it of a []byte.
//
// Every save of such a session that brings no state of its own, one of marks and the closing one among them,
// takes the state over from the version before, and where that lies in the archive copies it there.
type Stream struct{}

// SaveStream saves cursor, with the counts as they are, and with the state that write writes. The state goes to the
// archive while it is written, compressed and hashed, and needs some tens of MiB of memory whatever its size; one
// that is below the inline limit, or any where the session has no archive, is held in memory.
//
// write is called once. Its error aborts the save and is returned: nothing is left then. Until the outcome is known,
// marks wait. The errors are those of [Session.SaveStep].
func SaveStream(ctx context.Context, s *Session[Stream], cursor string, write func(io.Writer) error) error {
	if err := s.begin(ctx, writesSave); err != nil {
		return err
	}
	defer s.c.end()
	snap, undo, err := s.take(Step[Stream]{Cursor: cursor})
	if err != nil {
		return err
	}
	return s.commitStep(ctx, snap, undo, write, nil)
}

// OpenState reads the state of the newest save that has landed, as it was encoded; at first that of the version that the
// session resumed from. It must be closed, and ends with ctx. What was read is the state only once io.EOF was returned: a body that is
// damaged is a [*BodyError] there. No state was saved: [store.ErrNotFound].
func (s *Session[T]) OpenState(ctx context.Context) (io.ReadCloser, error) {
	s.mu.Lock()
	v := s.kept
	s.mu.Unlock()
	return openState(ctx, s.opts.Archive, s.c.key, &v)
}

// OpenState reads the state of cp, as it was encoded, from the archive where it lies there. It needs little memory whatever
// the size. Otherwise as [Session.OpenState]. A nil a where the state lies in an archive is a [*RefusedError].
func (cp *Checkpoint) OpenState(ctx context.Context, a archive.Archive) (io.ReadCloser, error) {
	if cp.State != nil {
		return io.NopCloser(bytes.NewReader(cp.State)), nil
	}
	return openState(ctx, a, cp.key(), &store.Version{Number: cp.Version, Content: store.Content{State: cp.stored}})
}

func openState(ctx context.Context, a archive.Archive, key store.Key, v *store.Version) (io.ReadCloser, error) {
	switch s := v.State; {
	case s == nil:
		return nil, fmt.Errorf("the state of version %d of checkpoint %s: %w: none was saved", v.Number, key, store.ErrNotFound)
	case s.Body == "":
		data, err := unpacked(s)
		if err != nil {
			return nil, &store.BadRecordError{Key: key, Record: store.CopyRecord(v.Number), Err: err}
		}
		return io.NopCloser(bytes.NewReader(data)), nil
	case a == nil:
		return nil, noArchive(key, s.Body)
	}
	r, err := archive.OpenBody(ctx, a, key, v)
	if err != nil {
		return nil, bodyError(key, v.Number, v.State.Body, err)
	}
	return &stateReader{ReadCloser: r, key: key, version: v.Number, body: v.State.Body}, nil
}

// stateReader reads a body, and says of what is wrong with it what this package says.
type stateReader struct {
	io.ReadCloser
	key     store.Key
	version int64
	body    string
}

func (r *stateReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = bodyError(r.key, r.version, r.body, err)
	}
	return n, err
}

// streamState makes the state of v of what write writes: a body, unless it is small.
func (c *committer) streamState(ctx context.Context, v *store.Version, id archive.BodyID, write func(io.Writer) error, contentType string) error {
	w := &spill{create: func() (*archive.BodyWriter, error) { return archive.CreateBody(ctx, c.archive, c.key, id) }}
	if c.archive != nil {
		w.most = c.inline
	}
	defer w.abort()
	if err := write(w); err != nil {
		return fmt.Errorf("write the state: %w", err)
	}
	if w.err != nil { // which write did not tell of
		return w.err
	}
	if w.body == nil {
		v.State = packed(w.buffer.Bytes(), contentType)
		return nil
	}
	state, err := w.body.Finish()
	if err != nil {
		return err
	}
	if contentType != jsonType {
		state.ContentType = contentType
	}
	v.State = &state
	return nil
}

// spill holds what is written in memory, and once it is more than most, if that is set, writes it to a body.
type spill struct {
	most   int
	buffer bytes.Buffer
	create func() (*archive.BodyWriter, error)
	body   *archive.BodyWriter // nil: all is in buffer
	err    error
}

func (w *spill) Write(p []byte) (n int, err error) {
	if w.err != nil {
		return 0, w.err
	}
	defer func() { w.err = err }()
	switch {
	case w.body != nil:
		return w.body.Write(p)
	case w.most == 0 || w.buffer.Len()+len(p) <= w.most:
		return w.buffer.Write(p)
	}
	if w.body, err = w.create(); err != nil {
		w.body = nil
		return 0, err
	}
	if _, err = w.body.Write(w.buffer.Bytes()); err != nil {
		return 0, err
	}
	w.buffer = bytes.Buffer{}
	return w.body.Write(p)
}

func (w *spill) abort() {
	if w.body != nil {
		w.body.Abort()
	}
	if w.err == nil {
		w.err = errors.New("the save is over")
	}
}
