package checkpoint

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// StreamedState is the T of a session whose state does not fit in memory. [SaveStream] writes the
// state and [Session.OpenState] reads it; it is never held whole. Its content type is that of
// [Bytes], so a session of []byte can read it, and the other way round.
//
// A save of such a session that brings no state, such as one of marks or the closing save, takes
// the state over from the version before. If that state lies in the archive, the save copies it
// there.
type StreamedState struct{}

// SaveStream saves cursor, with the counts as they are and the state that write writes. The state
// goes to the archive while it is written, compressed and hashed, and needs some tens of MiB of
// memory whatever its size. A state below the inline limit is held in memory, and so is any state
// if the session has no archive.
//
// write is called once, and must not mark or save: it would wait for itself. If it fails, SaveStream aborts the save, leaves nothing, and returns the
// error. Until the outcome is known, marks wait. The errors are those of [Session.SaveStep].
func SaveStream(ctx context.Context, s *Session[StreamedState], cursor string, write func(io.Writer) error) error {
	s.lock()
	s.mu.Unlock()
	if err := s.begin(ctx, writesSave); err != nil {
		return err
	}
	defer s.c.end()
	sv, err := s.takeStep(Step[StreamedState]{Cursor: cursor})
	if err != nil {
		return err
	}
	sv.write = write
	return s.commitStep(ctx, sv)
}

// OpenState returns a reader of the state of the newest save that has landed, as it was encoded.
// Before the first save it is the state of the version that the session resumed from. The reader
// must be closed, and ends with ctx. What was read is the state only once the reader has returned
// io.EOF: there a damaged body is a [*archive.BodyError]. If no state was saved, the error is
// [store.ErrNotFound].
func (s *Session[T]) OpenState(ctx context.Context) (io.ReadCloser, error) {
	s.view.Lock()
	v := s.kept
	s.view.Unlock()
	return openState(ctx, s.c.archive.Archive, s.c.key, &v)
}

// OpenState returns a reader of the state of cp, as it was encoded. It reads from a if the state
// lies in the archive; then a nil a is a [*RefusedError]. It needs little memory whatever the size.
// A Checkpoint that was read from JSON does not say where its state lies: if it has no State, the
// error matches [ErrNotLoaded].
// In all else it is like [Session.OpenState].
func (cp *Checkpoint) OpenState(ctx context.Context, a archive.Archive) (io.ReadCloser, error) {
	if cp.State != nil {
		return io.NopCloser(bytes.NewReader(cp.State)), nil
	}
	if cp.Version.State == nil {
		if err := cp.notLoaded("open the state of"); err != nil {
			return nil, err
		}
	}
	return openState(ctx, a, cp.Key, &cp.Version)
}

func openState(ctx context.Context, a archive.Archive, key store.Key, v *store.Version) (io.ReadCloser, error) {
	switch s := v.State; {
	case s == nil:
		return nil, fmt.Errorf("the state of version %d of checkpoint %s: %w: none was saved", v.Number, key, store.ErrNotFound)
	case s.Body == "":
		data, err := archive.Unpack(s)
		if err != nil {
			return nil, &store.BadRecordError{Key: key, Record: store.CopyRecord(v.Number), Err: err}
		}
		return io.NopCloser(bytes.NewReader(data)), nil
	case a == nil:
		return nil, noArchive(key, s.Body)
	}
	return archive.OpenBody(ctx, a, key, v)
}
