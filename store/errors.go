package store

import (
	"errors"
	"fmt"
)

// Sentinels, tested with errors.Is. An error may match several.
var (
	// ErrNotApplied says that this one request changed nothing and never will. It is about one
	// attempt only: an earlier attempt of the same write may still land. A write's error that does
	// not match it is ambiguous.
	ErrNotApplied = errors.New("not applied")

	// ErrThrottled says that the request was refused for now: it was throttled, it was in conflict
	// with another transaction, or another process had locked the file.
	ErrThrottled = errors.New("throttled")

	// ErrUnavailable says that the service could not be reached or did not answer.
	ErrUnavailable = errors.New("store unavailable")

	// ErrReplaced says that this store's place has another file now, or none. A lease in this store is
	// lost: the next run finds no trace of it.
	ErrReplaced = errors.New("the store was replaced")

	// ErrNotFound says that there is no such version, or no such checkpoint.
	ErrNotFound = errors.New("not found")

	// ErrBadRecord says that a record exists and cannot be trusted: it has wrong types, unknown
	// fields, missing fields, or a hash that does not match. Such a record is never read as "no
	// checkpoint" and never overwritten. See [BadRecordError].
	ErrBadRecord = errors.New("bad record")

	// ErrNewerFormat says that a newer release wrote the record, or the file.
	ErrNewerFormat = errors.New("written by a newer release")

	// ErrNoTable says that the table, or the file, does not exist.
	ErrNoTable = errors.New("no such table")

	// ErrCredentials says that the service rejected the credentials, or that none were found.
	ErrCredentials = errors.New("credentials")

	// ErrTooLarge says that the record would be above the engine's limit. See [SizeError].
	ErrTooLarge = errors.New("too large")

	// ErrName says that no checkpoint can have that namespace or name.
	ErrName = errors.New("not a valid name")

	// ErrWrite says that the engine cannot take one of the caller's writes into its transaction:
	// another engine made it, or it goes into Milepost's own table.
	ErrWrite = errors.New("write not accepted")
)

// ConflictError says that a condition did not hold, so the request was not applied. It has the
// records as the store found them at that moment. A record that was absent, or that the method does
// not use, is nil. ConflictError matches [ErrNotApplied].
type ConflictError struct {
	Op     string // the method of [Store]
	Key    Key
	Head   *Head
	Lease  *Lease
	Copy   *Copy
	Expect *Expectation
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
	case e.Expect != nil:
		what = fmt.Sprintf("EXPECT is every %v, set by %s", e.Expect.Every, e.Expect.SetBy)
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

// SizeError says that a record would be above the engine's limit. Nothing was changed. It matches
// [ErrTooLarge] and [ErrNotApplied].
type SizeError struct {
	Key         Key
	Size, Limit int64 // bytes, of the whole record
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("checkpoint %s would take %d bytes, and the store's limit is %d", e.Key, e.Size, e.Limit)
}

// Is makes a SizeError match [ErrTooLarge] and [ErrNotApplied].
func (e *SizeError) Is(target error) bool { return target == ErrTooLarge || target == ErrNotApplied }

// WriteError says that one of the caller's writes was refused. This attempt wrote neither that
// write, nor the others, nor the checkpoint. WriteError matches [ErrNotApplied] and its cause.
type WriteError struct {
	Key   Key
	Index int   // of the write, in the order given, from 0
	Item  any   // the item that the condition found, in the engine's form; may be nil
	Err   error // the engine's reason
}

func (e *WriteError) Error() string {
	return fmt.Sprintf("the caller's write %d with checkpoint %s: %v", e.Index, e.Key, e.Err)
}

// Is makes a WriteError match [ErrNotApplied].
func (e *WriteError) Is(target error) bool { return target == ErrNotApplied }

// Unwrap returns the engine's reason.
func (e *WriteError) Unwrap() error { return e.Err }
