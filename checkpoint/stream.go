package checkpoint

import (
	"bytes"
	"context"
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
// damaged is a [*archive.BodyError] there. No state was saved: [store.ErrNotFound].
func (s *Session[T]) OpenState(ctx context.Context) (io.ReadCloser, error) {
	s.mu.Lock()
	v := s.kept
	s.mu.Unlock()
	return openState(ctx, s.c.archive.Archive, s.c.key, &v)
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
