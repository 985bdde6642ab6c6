// Package batch runs a command on the records of an input, batch by batch, under the lease of a
// checkpoint. Each batch that the command finishes is a version of the checkpoint, and the next run
// goes on after the last one.
//
// Package records reads the input, and package child runs the command. This package holds no lease:
// it gets the session. It prints nothing.
package batch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/child"
	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/records"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// Options are the options of a job. All are required.
type Options struct {
	Key      store.Key
	Identity string // of the checkpoint
	Path     string // of the input
	Format   records.Format
	Every    int  // records in a batch
	Verify   bool // hash all of the input before the cursor
	Retries  int  // how often the command runs again on a batch that failed
	Command  *child.Command

	StartOver string // the command line that starts the checkpoint over, for a hint

	Say   func(format string, args ...any)                     // prints a message for people
	Began func(records int64, fraction float64)                // called when the input is in place
	Saved func(records int64, fraction float64, version int64) // called after each save except the last
}

// Job is a batch job.
type Job struct {
	o      Options
	in     *records.Input
	placed string                  // the commit id of the version that the input was prepared for
	stop   context.Context         // ends when the job must stop after the batch in hand
	end    context.CancelCauseFunc // ends the session's context

	session *checkpoint.Session[records.Position]
}

// Open opens the input. Opening a pipe waits for a writer.
func Open(o Options) (*Job, error) {
	in, err := records.Open(o.Path, o.Format)
	if err != nil {
		return nil, err
	}
	return &Job{o: o, in: in}, nil
}

// Close closes the input and the command.
func (j *Job) Close() {
	j.in.Close()
	j.o.Command.Close()
}

// Run processes the input from where the session's checkpoint is. It returns nil at the end of the
// input and [checkpoint.ErrYielded] if another run asked for the lease. When ctx ends, Run stops at
// once; when stop ends, Run stops after the batch in hand, and calls end, which ends the session's
// context. Both return the cause of the context that ended. A [*CommandError] says that the command
// failed.
func (j *Job) Run(ctx, stop context.Context, end context.CancelCauseFunc, s *checkpoint.Session[records.Position]) error {
	j.stop, j.end, j.session = stop, end, s
	if j.stop.Err() != nil {
		return j.stopped()
	}
	if err := j.resume(ctx); err != nil {
		return err
	}
	defer context.AfterFunc(j.stop, func() { j.in.Interrupt() })()
	for {
		select {
		case <-j.stop.Done():
			return j.stopped()
		case <-s.HandoffWanted():
			return checkpoint.ErrYielded
		case <-ctx.Done():
			return context.Cause(ctx)
		default:
		}
		b, err := j.in.Next(j.o.Every)
		if errors.Is(err, io.EOF) {
			if s.Resumed() == nil { // the input is empty: save that the job is done
				s.MarkBatch("0", 0, 0, func(at *records.Position) { *at = records.Position{Input: j.o.Path} })
			}
			return nil
		}
		if j.stop.Err() != nil { // a read of a pipe may have been interrupted
			return j.stopped()
		}
		if err != nil {
			return err
		}
		if err := j.runCommand(ctx, b); err != nil {
			return err
		}
		s.MarkBatch(strconv.FormatInt(b.Last, 10), b.Last-b.First+1, 0, func(at *records.Position) { *at = b.After })
		// The session's closing commit saves the last batch.
		if b.Final {
			return nil
		}
		if j.stop.Err() != nil {
			return j.stopped()
		}
		if err := s.Flush(ctx); err != nil {
			return err
		}
		j.o.Saved(b.Last, j.in.Fraction(), s.Version())
	}
}

// stopped ends the session's context, so that the last version says that the job was stopped.
func (j *Job) stopped() error {
	j.end(context.Cause(j.stop))
	return context.Cause(j.stop)
}

// Prepare brings the input to where the checkpoint is, before the lease is taken and if no run
// holds the lease. So another input is refused and leaves no trace in the checkpoint's history. The
// session finds what else is wrong, and what changes after Prepare.
func (j *Job) Prepare(ctx context.Context, ns checkpoint.Namespace) error {
	o, err := lease.Observe(ctx, ns.Store, j.o.Key)
	if err != nil || o.Lease == nil || o.Lease.Status == store.Held || !j.in.IsFile() {
		return nil //nolint:nilerr // the session will find it too
	}
	cp, err := ns.Get(ctx, j.o.Key.Name, nil)
	if err != nil || cp.Identity != "" && cp.Identity != j.o.Identity {
		return nil //nolint:nilerr // the session will find it too
	}
	was, err := checkpoint.Decode[records.Position](cp)
	if err != nil {
		return nil //nolint:nilerr // the session will find it too
	}
	j.placed = cp.CommitID
	return j.place(ctx, cp, was)
}

// resume brings the input to where the session's checkpoint is.
func (j *Job) resume(ctx context.Context) error {
	s := j.session
	from := ""
	if s.Resumed() != nil {
		from = s.Resumed().CommitID
	}
	if from != j.placed && j.placed != "" {
		if err := j.reopen(); err != nil {
			return err
		}
	}
	if from != j.placed && from != "" {
		if err := j.place(ctx, s.Resumed(), s.State()); err != nil {
			return err
		}
	}
	done := j.in.Records()
	if s.Resumed() != nil {
		j.o.Say("%q goes on from record %s, version %s", s.Name(), human.Thousands(done+1), human.Thousands(s.Version()))
	}
	j.o.Began(done, j.in.Fraction())
	return nil
}

// place brings a freshly opened input to where a checkpoint is.
func (j *Job) place(ctx context.Context, cp *checkpoint.Checkpoint, was records.Position) error {
	var done int64
	if cp.Cursor != "" {
		var err error
		done, err = strconv.ParseInt(cp.Cursor, 10, 64)
		if err != nil || done < 0 || cp.State != nil && was.Input == "" {
			return &checkpoint.RefusedError{
				Key: j.o.Key, What: "cursor", Have: cp.Cursor, Want: "a count of records", Hint: "it is not a batch job's; use another name",
			}
		}
	}
	if err := j.in.Resume(ctx, was, j.o.Verify); err != nil {
		if other, ok := errors.AsType[*records.OtherInputError](err); ok {
			other.Key = j.o.Key
			other.Hint = "give the input that it began with, or start over with this one: " + j.o.StartOver
		}
		return err
	}
	if done == j.in.Records() {
		return nil
	}
	return j.find(ctx, done) // a person has set the cursor
}

func (j *Job) reopen() error {
	again, err := records.Open(j.o.Path, j.o.Format)
	if err != nil {
		return err
	}
	j.in.Close()
	j.in = again
	return nil
}

// find moves to a record by its number, from the start if the input is past it.
func (j *Job) find(ctx context.Context, record int64) error {
	if record < j.in.Records() {
		if err := j.reopen(); err != nil {
			return err
		}
	}
	err := j.in.Skip(ctx, record)
	if errors.Is(err, io.EOF) {
		return &checkpoint.RefusedError{
			Key: j.o.Key, What: "cursor",
			Have: strconv.FormatInt(record, 10), Want: fmt.Sprintf("at most %d, the records of %s", j.in.Records(), j.o.Path),
		}
	}
	return err
}
