package checkpoint

import (
	"errors"
	"fmt"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// Sentinels, tested with errors.Is.
var (
	// ErrOutcomeUnknown: a save may have landed or may not. See [OutcomeUnknownError].
	ErrOutcomeUnknown = errors.New("outcome unknown")

	// ErrRefused: the checkpoint and the job do not go together. See [RefusedError].
	ErrRefused = errors.New("refused")

	// ErrVersionConflict: the checkpoint is not at the version that was asked
	// for. See [VersionConflictError].
	ErrVersionConflict = errors.New("version conflict")

	// ErrYielded is the cause with which a session's context is cancelled when it is to hand over,
	// what a function returns to say that it did, and what Run then returns.
	ErrYielded = errors.New("handed over")

	// ErrClosed: the session was closed before.
	ErrClosed = errors.New("session is closed")
)

// OutcomeUnknownError says that nothing could be learned of a save before its context
// ended: it may have landed, may still do so, or never. The session settles the question
// before it does anything else; so does the next session. It matches [ErrOutcomeUnknown].
type OutcomeUnknownError struct {
	Key      store.Key
	Version  int64  // the version it would be
	CommitID string // version Version carries this id if and only if the save landed
	Err      error  // why nothing is known

	// Earlier says that all this is of a save before, which could not be settled yet: the
	// call that returned this has begun nothing, and saved nothing.
	Earlier bool
}

func (e *OutcomeUnknownError) Error() string {
	if e.Earlier {
		return fmt.Sprintf("nothing was saved of %s: an earlier save (version %d, commit %s): %v: %v",
			e.Key, e.Version, e.CommitID, ErrOutcomeUnknown, e.Err)
	}
	return fmt.Sprintf("save version %d of %s (commit %s): %v: %v", e.Version, e.Key, e.CommitID, ErrOutcomeUnknown, e.Err)
}

// Is makes an OutcomeUnknownError match [ErrOutcomeUnknown].
func (e *OutcomeUnknownError) Is(target error) bool { return target == ErrOutcomeUnknown }

// Unwrap returns why nothing is known.
func (e *OutcomeUnknownError) Unwrap() error { return e.Err }

// SettledError says what became of an earlier save whose outcome was unknown. The call that
// returns it has saved nothing: the caller decides what follows. It comes where that save or this
// one carries the caller's own writes; plain saves go on in silence, the newest wins.
// It matches the loss of the lease where that came with it.
type SettledError struct {
	Key      store.Key
	Version  int64
	CommitID string
	Landed   bool  // true: it and its writes are durable; false: they are not, and never will be
	Err      error // what else was found, such as that the lease is lost; may be nil
}

func (e *SettledError) Error() string {
	what := "did not land"
	if e.Landed {
		what = "landed"
	}
	s := fmt.Sprintf("the save of version %d of %s (commit %s) %s; this call has saved nothing", e.Version, e.Key, e.CommitID, what)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns what else was found.
func (e *SettledError) Unwrap() error { return e.Err }

// RefusedError says which part of the resume contract does not hold, naming both
// sides. It matches [ErrRefused].
type RefusedError struct {
	Key  store.Key
	What string // "identity", "schema", "content type", "cursor order", "mirror", …
	Have string // what the checkpoint carries
	Want string // what the job declares; "": it is not about what the job declares
	Hint string // what to do
}

func (e *RefusedError) Error() string {
	s := fmt.Sprintf("checkpoint %s: %v: its %s is %q", e.Key, ErrRefused, e.What, e.Have)
	if e.Want != "" {
		s += fmt.Sprintf(", and the job's is %q", e.Want)
	}
	if e.Hint != "" {
		s += ": " + e.Hint
	}
	return s
}

// Is makes a RefusedError match [ErrRefused].
func (e *RefusedError) Is(target error) bool { return target == ErrRefused }

// VersionConflictError says that a checkpoint is not at the version that
// EditOptions.IfVersion asked for. It matches [ErrVersionConflict].
type VersionConflictError struct {
	Key  store.Key
	Want int64
	Have int64 // 0: there is no checkpoint
}

func (e *VersionConflictError) Error() string {
	return fmt.Sprintf("checkpoint %s: %v: it is at version %d, not %d", e.Key, ErrVersionConflict, e.Have, e.Want)
}

// Is makes a VersionConflictError match [ErrVersionConflict].
func (e *VersionConflictError) Is(target error) bool { return target == ErrVersionConflict }

func wrap(doing string, key store.Key, err error) error {
	return fmt.Errorf("%s %s: %w", doing, key, err)
}

// permanent reports whether sending the same request again is of no use.
func permanent(err error) bool {
	for _, target := range []error{
		store.ErrTooLarge, store.ErrWrite, store.ErrBadRecord, store.ErrNewerFormat, store.ErrNoTable, store.ErrName, ErrRefused,
		archive.ErrBodyMissing, archive.ErrNoArchive, archive.ErrKey,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	_, write := errors.AsType[*store.WriteError](err)
	return write
}

// unlessAny returns err unless it matches one of these.
func unlessAny(err error, these ...error) error {
	for _, target := range these {
		if errors.Is(err, target) {
			return nil
		}
	}
	return err
}
