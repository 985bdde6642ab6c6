package store

import (
	"errors"
	"fmt"
)

// Sentinels, tested with errors.Is. An error may match several.
var (
	// ErrNotApplied says that this one request changed nothing and never will.
	// It speaks of one attempt alone: an earlier attempt of the same write may
	// still land. A write's error without it is ambiguous.
	ErrNotApplied = errors.New("not applied")

	// ErrThrottled: the service turned the request away for now (throttled, in
	// conflict with another transaction, the file locked by another process).
	ErrThrottled = errors.New("throttled")

	// ErrUnavailable: the service could not be reached or did not answer.
	ErrUnavailable = errors.New("store unavailable")

	// ErrNotFound: no such version, or no such checkpoint.
	ErrNotFound = errors.New("not found")

	// ErrBadRecord: a record is there and cannot be trusted: wrong types,
	// unknown fields, missing fields, a hash that does not match. It is never
	// read as "no checkpoint" and never overwritten. See [BadRecordError].
	ErrBadRecord = errors.New("bad record")

	// ErrNewerFormat: the record, or the file, was written by a newer release.
	ErrNewerFormat = errors.New("written by a newer release")

	// ErrNoTable: the table (or the file) does not exist.
	ErrNoTable = errors.New("no such table")

	// ErrCredentials: the service refused who asks, or there is nobody to ask as.
	ErrCredentials = errors.New("credentials")

	// ErrTooLarge: the record would pass the engine's limit. See [SizeError].
	ErrTooLarge = errors.New("too large")

	// ErrName: a namespace or name that no checkpoint can have.
	ErrName = errors.New("not a valid name")

	// ErrWrite: a write of the caller's that this engine cannot take into its
	// transaction: another engine's, or one into Milepost's own table.
	ErrWrite = errors.New("write not accepted")
)

// ConflictError says that a condition did not hold: the request was not
// applied, and these are the records as the store found them at that moment
// (nil where there was none, or the operation does not concern it).
// It matches [ErrNotApplied].
type ConflictError struct {
	Op    string // the method of [Store]
	Key   Key
	Head  *Head
	Lease *Lease
	Copy  *Copy
}

func (e *ConflictError) Error() string {
	what := "nothing is there"
	switch {
	case e.Head != nil:
		what = fmt.Sprintf("HEAD is at version %d, epoch %d", e.Head.Number, e.Head.Fence.Epoch)
	case e.Lease != nil:
		what = fmt.Sprintf("LEASE is %s, epoch %d, beat %d", e.Lease.Status, e.Lease.Epoch, e.Lease.Beat)
	case e.Copy != nil:
		what = fmt.Sprintf("the copy of version %d carries commit %s of epoch %d",
			e.Copy.Number, e.Copy.CommitID, e.Copy.CommitEpoch)
	}
	return fmt.Sprintf("%s %s: condition not met: %s", e.Op, e.Key, what)
}

// Is makes a ConflictError match [ErrNotApplied].
func (e *ConflictError) Is(target error) bool { return target == ErrNotApplied }

// BadRecordError names a record that cannot be trusted. It matches [ErrBadRecord].
type BadRecordError struct {
	Key    Key
	Record string // [RecordHead], [RecordLease], [RecordExpect], a [CopyRecord], or a key in an archive
	Err    error  // what is wrong with it
}

func (e *BadRecordError) Error() string {
	return fmt.Sprintf("record %s of %s: %v", e.Record, e.Key, e.Err)
}

// Unwrap makes a BadRecordError match [ErrBadRecord] and its cause.
func (e *BadRecordError) Unwrap() []error { return []error{ErrBadRecord, e.Err} }

// SizeError says that a record would pass the engine's limit. Nothing was
// changed. It matches [ErrTooLarge] and [ErrNotApplied].
type SizeError struct {
	Key         Key
	Size, Limit int64 // bytes, of the whole record
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("checkpoint %s would take %d bytes, and the store's limit is %d", e.Key, e.Size, e.Limit)
}

// Is makes a SizeError match [ErrTooLarge] and [ErrNotApplied].
func (e *SizeError) Is(target error) bool { return target == ErrTooLarge || target == ErrNotApplied }

// WriteError says that one of the caller's own writes was refused, so that
// neither it, nor the others, nor the checkpoint was written by this attempt.
// It matches [ErrNotApplied] and its cause.
type WriteError struct {
	Key   Key
	Index int   // of the write, in the order given, from 0
	Item  any   // the item that the condition found, in the engine's own form; may be nil
	Err   error // the engine's reason
}

func (e *WriteError) Error() string {
	return fmt.Sprintf("the caller's write %d beside checkpoint %s: %v", e.Index, e.Key, e.Err)
}

// Is makes a WriteError match [ErrNotApplied].
func (e *WriteError) Is(target error) bool { return target == ErrNotApplied }

// Unwrap returns the engine's reason.
func (e *WriteError) Unwrap() error { return e.Err }
