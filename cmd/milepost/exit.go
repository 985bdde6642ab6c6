package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// Sentinels of the command's own kinds of end.
var (
	errUsage       = errors.New("wrong usage")
	errJobFailed   = errors.New("job failed")
	errInterrupted = errors.New("interrupted")
	errTerminated  = errors.New("terminated")
)

// kind is a kind of end: its exit code, its name in JSON, and when it is.
type kind struct {
	exit int
	name string
	when string
	is   error // what errors of this kind match
}

// kinds is the one table of how the command ends: `milepost help exit-codes` prints it, and the
// documentation shows what that prints. An error is of the first kind that it matches, so
// the protocol's own come before what they may wrap.
var kinds = []kind{
	{0, "ok", "", nil},
	{1, "store_regressed", "the store knows less than it did, as after a restore from a backup", lease.ErrStoreRegressed},
	{7, "lease_lost", "fenced, stolen, expired", lease.ErrLost},
	{9, "job_failed", "the job's own command failed; its status is told", errJobFailed},
	{5, "lease_held", "another holds the lease: by whom, where, since and until when is told", lease.ErrHeld},
	{10, "yielded", "handed over, not finished", checkpoint.ErrYielded},
	{11, "stale", "milepost stale found checkpoints that were not saved for too long", errStale},
	{4, "version_conflict", "--if-version N no longer holds", checkpoint.ErrVersionConflict},
	{6, "refused", "the checkpoint and the job do not go together", checkpoint.ErrRefused},
	{1, "outcome_unknown", "a save may have landed; the next run settles it", checkpoint.ErrOutcomeUnknown},
	{1, "body_missing", "a state that lies in the archive is missing there, or damaged", checkpoint.ErrBodyMissing},
	{1, "bad_record", "a record is damaged; it is never read as “no checkpoint”", store.ErrBadRecord},
	{1, "newer_format", "a record or file was written by a newer release", store.ErrNewerFormat},
	{1, "no_table", "the table, file or archive does not exist", store.ErrNoTable},
	{1, "no_table", "", archive.ErrNoArchive},
	{1, "credentials", "the service refused who asks, or nobody is known to ask as", store.ErrCredentials},
	{2, "usage", "unknown flag, bad name, bad URL", store.ErrName},
	{2, "usage", "", errUsage},
	{3, "not_found", "no such checkpoint or version", store.ErrNotFound},
	{8, "unavailable", "the store or archive is unreachable, or throttled past the deadline", store.ErrUnavailable},
	{8, "unavailable", "", store.ErrThrottled},
	{130, "interrupted", "SIGINT, before it was done; what was done is saved", errInterrupted},
	{143, "terminated", "SIGTERM, likewise", errTerminated},
	{1, "error", "what no other line covers", nil},
}

func kindNamed(name string) kind {
	for _, k := range kinds {
		if k.name == name {
			return k
		}
	}
	panic("no kind of end is named " + name)
}

// kindOf says how the command ends with err.
func kindOf(err error) kind {
	if err == nil {
		return kindNamed("ok")
	}
	for _, k := range kinds {
		if k.is != nil && errors.Is(err, k.is) {
			return k
		}
	}
	return kindNamed("error")
}

// usageError says that the command was not called as it can be.
type usageError struct{ error }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

func (e *usageError) Unwrap() []error { return []error{errUsage, e.error} }

// signalError is why a context ended: this process was told to stop.
type signalError struct{ Signal os.Signal }

func (e *signalError) Error() string {
	if e.Signal == os.Interrupt {
		return "stopped by SIGINT"
	}
	return "stopped by SIGTERM"
}

func (e *signalError) Unwrap() error {
	if e.Signal == os.Interrupt {
		return errInterrupted
	}
	return errTerminated
}

// untilSignal returns a context that ends, with a [*signalError] as its cause, at the first SIGINT or
// SIGTERM, and a second one that ends at the next.
func untilSignal(parent context.Context) (first, second context.Context, release func()) {
	first, cancelFirst := context.WithCancelCause(parent)
	second, cancelSecond := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, cancel := range []context.CancelCauseFunc{cancelFirst, cancelSecond} {
			select {
			case s := <-signals:
				cancel(&signalError{s})
			case <-second.Done():
				return
			}
		}
	}()
	return first, second, func() {
		signal.Stop(signals)
		cancelFirst(nil)
		cancelSecond(nil)
		<-done
	}
}

// exitCodesTopic is `milepost help exit-codes`.
func exitCodesTopic() *cobra.Command {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "EXIT\tKIND\tWHEN")
	for _, k := range kindsByExit() {
		_, _ = fmt.Fprintf(w, "%d\t%s\t%s\n", k.exit, k.name, k.when)
	}
	_ = w.Flush()
	return &cobra.Command{
		Use: "exit-codes", Short: "How the command ends: exit codes and kinds of error",
		Long: "With -o json an error is one line of JSON on standard error, with its kind.\n\n" + b.String(),
	}
}

// kindsByExit are the kinds that people are told of.
func kindsByExit() []kind {
	told := slices.DeleteFunc(slices.Clone(kinds), func(k kind) bool { return k.when == "" && k.exit != 0 })
	slices.SortStableFunc(told, func(a, b kind) int { return a.exit - b.exit })
	return told
}
