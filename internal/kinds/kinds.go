// Package kinds has the one table of how things end: the kinds of error, with their names, the
// command's exit codes, the statuses of HTTP, and an error as JSON. The command, the agent, the
// status page and the Python package use it.
package kinds

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"syscall"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// Sentinels of the kinds that the library does not have.
var (
	ErrUsage       = errors.New("wrong usage")
	ErrJobFailed   = errors.New("job failed")
	ErrStale       = errors.New("stale")
	ErrInterrupted = errors.New("interrupted")
	ErrTerminated  = errors.New("terminated")
	ErrBrokenPipe  = errors.New("standard output is not read any more")
)

// Kind is how something ends: well, or with an error of this kind.
type Kind struct {
	Exit   int     // the command's exit code
	Name   string  // the kind in JSON, and in the Python package
	Status int     // the status page's, of HTTP
	When   string  // what the kind is for
	is     []error // what errors of this kind match
}

// Is reports whether an error of this kind matches target.
func (k Kind) Is(target error) bool {
	return slices.ContainsFunc(k.is, func(sentinel error) bool { return errors.Is(sentinel, target) })
}

// Table has every kind. An error is of the first kind that it matches, so the protocol's kinds come
// before the kinds of the errors that they may wrap.
var Table = []Kind{
	{0, "ok", http.StatusOK, "", nil},
	{1, "store_regressed", http.StatusInternalServerError, "the store knows less than it did, as after a restore from a backup", []error{lease.ErrStoreRegressed}},
	{7, "lease_lost", http.StatusConflict, "fenced, stolen, expired", []error{lease.ErrLost}},
	{9, "job_failed", http.StatusInternalServerError, "the job's own command failed; the message has its status", []error{ErrJobFailed}},
	{5, "lease_held", http.StatusConflict, "another run holds the lease; the message says who, where, since and until when", []error{lease.ErrHeld}},
	{10, "yielded", http.StatusConflict, "handed over, not finished", []error{checkpoint.ErrYielded}},
	{11, "stale", http.StatusInternalServerError, "milepost stale found checkpoints that were not saved for too long", []error{ErrStale}},
	{4, "version_conflict", http.StatusConflict, "--if-version N no longer holds", []error{checkpoint.ErrVersionConflict}},
	{6, "refused", http.StatusConflict, "the checkpoint and the job do not go together", []error{checkpoint.ErrRefused}},
	{1, "outcome_unknown", http.StatusInternalServerError, "a save may have landed; the next run settles it", []error{checkpoint.ErrOutcomeUnknown}},
	{1, "body_missing", http.StatusInternalServerError, "a state in the archive is missing or damaged", []error{archive.ErrBodyMissing}},
	{1, "bad_record", http.StatusInternalServerError, "a record is damaged; it is never read as “no checkpoint”", []error{store.ErrBadRecord}},
	{1, "newer_format", http.StatusInternalServerError, "a record or file was written by a newer release", []error{store.ErrNewerFormat}},
	{1, "no_table", http.StatusServiceUnavailable, "the table, file or archive does not exist", []error{store.ErrNoTable, archive.ErrNoArchive}},
	{1, "credentials", http.StatusBadGateway, "the credentials were rejected, or none were found", []error{store.ErrCredentials}},
	{2, "usage", http.StatusBadRequest, "unknown flag, bad name, bad URL", []error{store.ErrName, ErrUsage}},
	{3, "not_found", http.StatusNotFound, "no such checkpoint or version", []error{store.ErrNotFound}},
	{8, "unavailable", http.StatusServiceUnavailable, "the store or archive is unreachable, or throttled past the deadline", []error{store.ErrUnavailable, store.ErrThrottled}},
	{130, "interrupted", http.StatusServiceUnavailable, "SIGINT came first; what was done is saved", []error{ErrInterrupted}},
	{141, "broken_pipe", http.StatusInternalServerError, "the reader of standard output went away, as head does; nothing is printed", []error{ErrBrokenPipe}},
	{143, "terminated", http.StatusServiceUnavailable, "SIGTERM or SIGHUP came first; what was done is saved", []error{ErrTerminated}},
	{1, "error", http.StatusInternalServerError, "any other error", nil},
}

// Named returns the kind of that name, and "error" where there is none.
func Named(name string) Kind {
	for _, k := range Table {
		if k.Name == name {
			return k
		}
	}
	return Named("error")
}

// Of returns the kind of err. The kind of nil is "ok".
func Of(err error) Kind {
	if err == nil {
		return Named("ok")
	}
	if held, ok := errors.AsType[*lease.HeldError](err); ok && held.Err != nil {
		if k := Of(held.Err); k.Name != "error" { // a signal, or the client, ended the wait
			return k
		}
	}
	for _, k := range Table {
		for _, sentinel := range k.is {
			if errors.Is(err, sentinel) {
				return k
			}
		}
	}
	return Named("error")
}

// ByExit returns the table in the order of exit codes.
func ByExit() []Kind {
	return slices.SortedStableFunc(slices.Values(Table), func(a, b Kind) int { return a.Exit - b.Exit })
}

// Usage returns err as an error of wrong usage, with the same text.
func Usage(err error) error { return usageError{err} }

// Usagef returns an error of wrong usage. It takes what [fmt.Errorf] takes.
func Usagef(format string, args ...any) error { return Usage(fmt.Errorf(format, args...)) }

type usageError struct{ error }

func (e usageError) Unwrap() []error { return []error{ErrUsage, e.error} }

// SignalError says that a signal told this process to stop. It matches [ErrInterrupted] or, for
// SIGTERM and SIGHUP, [ErrTerminated].
type SignalError struct{ Signal os.Signal }

func (e *SignalError) Error() string {
	switch e.Signal {
	case os.Interrupt:
		return "stopped by SIGINT"
	case syscall.SIGHUP:
		return "stopped by SIGHUP"
	}
	return "stopped by SIGTERM"
}

// Unwrap returns the sentinel of the signal.
func (e *SignalError) Unwrap() error {
	if e.Signal == os.Interrupt {
		return ErrInterrupted
	}
	return ErrTerminated
}
