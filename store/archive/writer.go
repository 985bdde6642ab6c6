package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/milepost-dev/milepost/internal/retries"
	"github.com/milepost-dev/milepost/store"
)

// Writer writes what an archive holds of one checkpoint: the bodies of its states (this file) and
// its mirror (mirroring.go). Its methods may be called from any number of goroutines.
type Writer struct {
	Archive Archive // nil: there is none, and each state stays in the record
	Key     store.Key
	Home    string        // of the store, see [Home]
	Inline  int           // a state of more bytes, as stored, lies in a body
	Timeout time.Duration // of one request

	// Patience is how long an archive that does not answer is asked again. 0: until the context of
	// the write ends, as for a session, which has nothing better to do.
	Patience time.Duration
}

// bodyID names the body of v.
func (w *Writer) bodyID(v *store.Version) BodyID {
	return BodyID{Home: w.Home, Version: v.Number, CommitID: v.CommitID}
}

// inBody decides where a state of size bytes, as stored, lies: in a body, or in the record.
func (w *Writer) inBody(size int) bool { return w.Archive != nil && size > w.Inline }

// send repeats a write of about size bytes until it is done, cannot be done, or ctx ends.
func (w *Writer) send(ctx context.Context, size int64, write func(context.Context) error) error {
	const slow = 256 << 10 // bytes a second: below that a connection counts as dead
	limit := w.Timeout + time.Duration(size/slow)*time.Second
	began := time.Now()
	var tries retries.Tries
	return retry(ctx, retries.Pace(), func() (again bool, err error) {
		bounded, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		err = write(bounded)
		again = tries.Again(err) || errors.Is(err, ErrWriteUnknown)
		return again && (w.Patience == 0 || time.Since(began) < w.Patience), err
	})
}

// Delete removes an object. It tries again until the object is gone, cannot be removed, or ctx
// ends.
func (w *Writer) Delete(ctx context.Context, object string) error {
	return w.send(ctx, 0, func(ctx context.Context) error { return w.Archive.Delete(ctx, object) })
}

// PlaceState puts the state of v, a version that is about to be committed, where it belongs: it
// stays in the record, or goes into a body of v's own. A state that lies in the body of another
// version is copied. The result is the key of v's body, "" for none; after an error the body may be
// there. A body of the other version that is missing or damaged is a [*BodyError].
func (w *Writer) PlaceState(ctx context.Context, v *store.Version) (body string, err error) {
	from := *v.State
	own := BodyKey(w.Key, w.bodyID(v))
	switch {
	case from.Body != "":
		err = w.send(ctx, from.Size, func(ctx context.Context) error {
			return copyBody(ctx, w.Archive, from.Body, own, from.SHA256)
		})
		if err != nil {
			_, id, _ := ParseBodyKey(from.Body)
			return own, bodyError(w.Key, id.Version, from.Body, err)
		}
	case w.inBody(len(from.Data)):
		err = w.send(ctx, int64(len(from.Data)), func(ctx context.Context) error {
			return putBody(ctx, w.Archive, own, from.Data)
		})
		if err != nil {
			return own, err
		}
	default:
		return "", nil
	}
	to := from
	to.Body, to.Data = own, nil
	v.State = &to
	return own, nil
}

// WriteState makes what write writes the state of v, a version that is about to be committed: in
// the record if it is small, else in a body. It sets no content type. The result is as that of
// [Writer.PlaceState].
func (w *Writer) WriteState(ctx context.Context, v *store.Version, write func(io.Writer) error) (body string, err error) {
	id := w.bodyID(v)
	s := &spill{writer: w, create: func() (*BodyWriter, error) { return CreateBody(ctx, w.Archive, w.Key, id) }}
	defer s.abort()
	if err := write(s); err != nil {
		return s.key(), fmt.Errorf("write the state: %w", err)
	}
	if s.err != nil { // write did not return it
		return s.key(), s.err
	}
	if s.body == nil {
		v.State = Pack(s.buffer.Bytes())
		return "", nil
	}
	state, err := s.body.Finish()
	if err == nil {
		v.State = &state
	}
	return s.key(), err
}

// spill holds what is written in memory, and moves it to a body once it is too much for the record.
type spill struct {
	writer *Writer
	buffer bytes.Buffer
	create func() (*BodyWriter, error)
	body   *BodyWriter // nil: all is in buffer
	err    error
}

func (s *spill) Write(p []byte) (n int, err error) {
	if s.err != nil {
		return 0, s.err
	}
	defer func() { s.err = err }()
	switch {
	case s.body != nil:
		return s.body.Write(p)
	case !s.writer.inBody(s.buffer.Len() + len(p)):
		return s.buffer.Write(p)
	}
	if s.body, err = s.create(); err != nil {
		s.body = nil
		return 0, err
	}
	if _, err = s.body.Write(s.buffer.Bytes()); err != nil {
		return 0, err
	}
	s.buffer = bytes.Buffer{}
	return s.body.Write(p)
}

// key is that of the body, "" if there is none.
func (s *spill) key() string {
	if s.body == nil {
		return ""
	}
	return s.body.body
}

func (s *spill) abort() {
	if s.body != nil {
		s.body.Abort()
	}
	if s.err == nil {
		s.err = errors.New("the save is over")
	}
}
