package checkpoint

import (
	"context"
	"errors"
	"io"

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
	return errors.New("not built yet")
}

// OpenState reads the state of the newest save that has landed, as it was encoded; at first that of the version that the
// session resumed from. It must be closed, and ends with ctx. What was read is the state only once io.EOF was returned: a body that is
// damaged is a [*BodyError] there. No state was saved: [store.ErrNotFound].
func (s *Session[T]) OpenState(ctx context.Context) (io.ReadCloser, error) {
	return nil, errors.New("not built yet")
}

// OpenState reads the state of cp, as it was encoded, from the archive where it lies there. It needs little memory whatever
// the size. Otherwise as [Session.OpenState]. A nil a where the state lies in an archive is a [*RefusedError].
func (cp *Checkpoint) OpenState(ctx context.Context, a archive.Archive) (io.ReadCloser, error) {
	return nil, errors.New("not built yet")
}

// Mirror says how far the mirror of the session's archive has come.
func (s *Session[T]) Mirror() Mirroring { return Mirroring{} }
