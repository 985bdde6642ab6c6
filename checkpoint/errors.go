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

	// ErrVersionConflict: the checkpoint is not at the version that was asked for. See
	// [VersionConflictError].
	ErrVersionConflict = errors.New("version conflict")

	// ErrYielded: the session handed the checkpoint over. The job's function returns ErrYielded to
	// say that it did, and Run then returns it. If the session does not hand over in time, its
	// context is cancelled with this cause.
	ErrYielded = errors.New("handed over")

	// ErrNotLoaded: a checkpoint has a state that was not loaded. That is not the same as no state.
	ErrNotLoaded = errors.New("the state was not loaded")

	// ErrUnfinished: a session was closed without an error, and records that [Session.Start] began
	// were neither Done nor Failed. Everything before the first of them is saved, and so is what was
	// finished after it. The next session works on the others again.
	ErrUnfinished = errors.New("records were started and not finished")

	// ErrClosed: the session was closed before.
	ErrClosed = errors.New("session is closed")
)

// OutcomeUnknownError says that the outcome of a save was not known when its context ended. The
// save may have landed, may still land, or may never land. The session settles the outcome before
// it saves anything else. If the session ends first, the next session settles it. The error matches
// [ErrOutcomeUnknown].
type OutcomeUnknownError struct {
	Key      store.Key
	Version  int64  // the version that the save would make
	CommitID string // that version carries this id if and only if the save landed
	Err      error  // why the outcome is unknown

	// Earlier says that Version, CommitID and Err are those of an earlier save, which could not be
	// settled yet. The call that returned this error has begun nothing, and saved nothing.
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

// Unwrap returns why the outcome is unknown.
func (e *OutcomeUnknownError) Unwrap() error { return e.Err }

// SettledError gives the outcome of an earlier save whose outcome was unknown. The call that
// returns it has saved nothing: the caller decides what to do next. A call returns it only if the
// earlier save or this save carries the caller's own writes. Otherwise the session continues
// without an error, and saves the newest state. If Err is the loss of the lease, the SettledError
// matches [lease.ErrLost], too.
type SettledError struct {
	Key      store.Key
	Version  int64
	CommitID string
	Landed   bool  // true: the save and its writes are durable; false: they never will be
	Err      error // another error that was found, such as the loss of the lease; may be nil
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

// Unwrap returns Err.
func (e *SettledError) Unwrap() error { return e.Err }

// RefusedError says which part of the resume contract does not hold. It names both sides, and
// matches [ErrRefused].
type RefusedError struct {
	Key  store.Key
	What string // "identity", "schema", "content type", "cursor order", "mirror", …
	Have string // what the checkpoint carries
	Want string // what the job declares; "": the refusal is not about what the job declares
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

// VersionConflictError says that a checkpoint is not at the version that EditOptions.IfVersion asks
// for. It matches [ErrVersionConflict].
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

// permanent reports whether the same request would fail again.
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

// unlessAny returns err, or nil if err matches one of these errors.
func unlessAny(err error, these ...error) error {
	for _, target := range these {
		if errors.Is(err, target) {
			return nil
		}
	}
	return err
}
