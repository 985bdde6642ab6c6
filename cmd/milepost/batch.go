package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/child"
	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/internal/records"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// killAfter is how long a command that was told to end may take to end.
const killAfter = 5 * time.Second

// batchFlags are the flags of milepost batch.
type batchFlags struct {
	leaseFlags
	expect      expectFlags
	every       int
	csv, verify bool
	retries     int
	grace       time.Duration
}

func (a *app) batchCommand() *cobra.Command {
	var f batchFlags
	cmd := &cobra.Command{
		Use:   "batch NAME INPUT [flags] -- CMD [ARG…]",
		Short: "Run a command on the records of a file, batch by batch, and go on where it stopped",
		Long: `Batch runs CMD once for every 1000 records (--every) of INPUT, with those records on
its standard input. A batch whose CMD exits with 0 is saved in the checkpoint NAME;
when the job dies, the same command goes on after the last batch that was saved.
While it runs, no other run can have the same NAME.

INPUT is plain text, gzip or zstd, whatever its name. A record is a line, or with
--csv a CSV record; the header is then repeated before each batch.

CMD finds in its environment MILEPOST_NAME, MILEPOST_EPOCH (rises with every run: a
fence for what it writes to), MILEPOST_VERSION (the version this batch will be saved
as), MILEPOST_FIRST and MILEPOST_LAST (record numbers, from 1). A batch may be run
again when a run died within it, so what CMD does for one should be harmless twice.

On SIGTERM or SIGINT the batch in hand may finish within --grace and is saved.`,
		Example: `  milepost batch flights flights.jsonl.zst --every 1000 -- ./load.sh
  milepost batch orders orders.csv --csv --retries 3 -- psql -c '\copy orders from stdin csv header'
  milepost batch flights flights.jsonl.zst --wait 10m -- ./load.sh`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch dash := cmd.ArgsLenAtDash(); {
			case dash < 0 && len(args) > 2:
				return kinds.Usagef("put -- before the command: milepost batch %s %s -- %s …", args[0], args[1], args[2])
			case dash < 0 && len(args) == 2, dash == 2 && len(args) == 2:
				return kinds.Usagef("the command is missing: milepost batch %s %s -- CMD [ARG…]", args[0], args[1])
			case dash != 2:
				return kinds.Usagef("batch takes a name and an input, then -- and a command\nsee milepost batch --help")
			}
			return nil
		},
		ValidArgsFunction: a.completeNames,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a.isBatch = true
		return a.batch(cmd.Context(), f, args[0], args[1], args[2:])
	}
	flags := cmd.Flags()
	flags.IntVar(&f.every, "every", 1000, "records in a batch: one run of CMD, one saved version")
	flags.BoolVar(&f.csv, "csv", false, "records are CSV; the header is repeated before each batch")
	flags.BoolVar(&f.verify, "verify-input", false, "when resuming, hash all of the input before the cursor, not just 64 KiB at two places")
	flags.IntVar(&f.retries, "retries", 0, "how often to run CMD again on a batch that failed, with growing pauses")
	flags.DurationVar(&f.grace, "grace", 20*time.Second, "how long the batch in hand may go on after SIGTERM or SIGINT")
	f.expect.add(flags)
	f.add(flags, "hand over after the batch in hand when another run asks; exits with 10")
	return cmd
}

func (f *batchFlags) check() error {
	switch {
	case f.every < 1 || f.every > math.MaxInt32:
		return kinds.Usagef("--every %d: a batch has at least one record", f.every)
	case f.retries < 0:
		return kinds.Usagef("--retries %d: it cannot be negative", f.retries)
	case f.grace < 0:
		return kinds.Usagef("--grace %v: it cannot be negative", f.grace)
	}
	if err := f.expect.check(); err != nil {
		return err
	}
	return f.leaseFlags.check()
}

func (f *batchFlags) format() records.Format {
	if f.csv {
		return records.CSV
	}
	return records.Lines
}

// identity keeps a checkpoint of another kind of job, or of records read otherwise, from being resumed.
func (f *batchFlags) identity() string { return "milepost batch, " + string(f.format()) }

// options are those of the job's session. Every save is one that the job asks for: one a batch.
func (f *batchFlags) options(a *app) *checkpoint.Options {
	return &checkpoint.Options{
		Namespace: a.namespace,
		Lease:     f.lease(a),
		Every:     math.MaxInt32, MaxUnsaved: math.MaxInt32, Interval: math.MaxInt64,
		Identity: f.identity(),
		Expect:   f.expect.expectation(),
		Logger:   a.logger(),
	}
}

// batch is milepost batch.
func (a *app) batch(parent context.Context, f batchFlags, name, path string, argv []string) error {
	if err := a.begin(); err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	key := store.Key{Namespace: a.namespace, Name: name}
	if err := key.Validate(); err != nil {
		return err
	}
	if _, err := exec.LookPath(argv[0]); err != nil {
		return kinds.Usagef("command %s: %w", argv[0], err)
	}
	// The input is opened before signals are caught: to open a pipe may take for ever.
	in, err := records.Open(path, f.format())
	if err != nil {
		return err
	}
	stop, quit, release := untilSignal(parent)
	defer release()
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	j := &batchJob{app: a, flags: f, key: key, path: path, in: in, stop: stop, end: cancel, command: &child.Command{
		Argv: argv, Env: a.env, Stdout: a.stdout, Stderr: a.stderr,
		Grace: f.grace, KillAfter: min(killAfter, f.leaseDuration/10),
	}}
	defer func() { j.in.Close() }()

	s, err := a.open(stop, mayCreate)
	if err != nil {
		return err
	}
	defer s.close()

	if err := j.prepare(stop, s); err != nil {
		return stoppedOr(stop, err)
	}
	// While it waits for the lease, a signal ends the job; from then on it ends after the batch
	// in hand, or with the next signal.
	waiting := context.AfterFunc(stop, func() { cancel(context.Cause(stop)) })
	defer context.AfterFunc(quit, func() { cancel(context.Cause(quit)) })()
	err = checkpoint.Run(ctx, s, name, func(ctx context.Context, session *checkpoint.Session[records.Position]) error {
		if !waiting() {
			return j.stopped()
		}
		return j.run(ctx, session)
	}, s.archive.session(f.options(a)))
	return stoppedOr(stop, j.finish(err))
}

// batchJob is a batch job under its lease.
type batchJob struct {
	app     *app
	flags   batchFlags
	key     store.Key
	path    string
	in      *records.Input
	placed  string // the commit id of the version that the input stands at, before the lease is taken
	command *child.Command
	stop    context.Context         // ends when the job is to stop after the batch in hand
	end     context.CancelCauseFunc // ends the session's context

	session  *checkpoint.Session[records.Position]
	progress *progress
}

func (j *batchJob) run(ctx context.Context, s *checkpoint.Session[records.Position]) error {
	j.session = s
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
		b, err := j.in.Next(j.flags.every)
		if errors.Is(err, io.EOF) {
			if s.Resumed() == nil { // nothing in it: done all the same
				s.MarkBatch("0", 0, 0, func(at *records.Position) { *at = records.Position{Input: j.path} })
			}
			return nil
		}
		if j.stop.Err() != nil { // it may have been interrupted while reading a pipe
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
		j.progress.update(b.Last, j.in.Fraction(), s.Version())
	}
}

// stopped ends the session's context, so that its last version says that the job was stopped.
func (j *batchJob) stopped() error {
	j.end(context.Cause(j.stop))
	return context.Cause(j.stop)
}

// prepare brings the input to where the checkpoint stands before the lease is taken, where nobody holds
// it: so that another input is refused without a trace in the checkpoint's history. What
// goes wrong otherwise, and what has changed by then, is for the session to see.
func (j *batchJob) prepare(ctx context.Context, s *openStore) error {
	o, err := lease.Observe(ctx, s, j.key)
	if err != nil || o.Lease == nil || o.Lease.Status == store.Held || !j.in.IsFile() {
		return nil //nolint:nilerr // the session will find it too
	}
	cp, err := checkpoint.Get(ctx, s, j.key.Name, s.reading(j.key))
	if err != nil || cp.Identity != "" && cp.Identity != j.flags.identity() {
		return nil //nolint:nilerr // the session will find it too
	}
	was, err := checkpoint.Decode[records.Position](cp)
	if err != nil {
		return nil //nolint:nilerr // the session will find it too
	}
	j.placed = cp.CommitID
	return j.place(ctx, cp, was)
}

// resume brings the input to where the session's checkpoint stands.
func (j *batchJob) resume(ctx context.Context) error {
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
		j.app.say("%q goes on from record %s, version %s", s.Name(), human.Thousands(done+1), human.Thousands(s.Version()))
	}
	j.progress = newProgress(j.app.stderr, j.app.getenv, s.Name(), done, j.in.Fraction())
	return nil
}

// place brings a freshly opened input to where a checkpoint stands.
func (j *batchJob) place(ctx context.Context, cp *checkpoint.Checkpoint, was records.Position) error {
	var done int64
	if cp.Cursor != "" {
		var err error
		done, err = strconv.ParseInt(cp.Cursor, 10, 64)
		if err != nil || done < 0 || cp.State != nil && was.Input == "" {
			return &checkpoint.RefusedError{
				Key: j.key, What: "cursor", Have: cp.Cursor, Want: "a count of records", Hint: "it is not a batch job's; use another name",
			}
		}
	}
	if err := j.in.Resume(ctx, was, j.flags.verify); err != nil {
		if other, ok := errors.AsType[*records.OtherInputError](err); ok {
			other.Key = j.key
			other.Hint = "give the input that it began with, or start over with this one: " + j.app.call("reset %s --execute", j.key.Name)
		}
		return err
	}
	if done == j.in.Records() {
		return nil
	}
	return j.find(ctx, done) // a person has set the cursor
}

func (j *batchJob) reopen() error {
	again, err := records.Open(j.path, j.flags.format())
	if err != nil {
		return err
	}
	j.in.Close()
	j.in = again
	return nil
}

// find looks for a record by its number, from the start if it lies behind.
func (j *batchJob) find(ctx context.Context, record int64) error {
	if record < j.in.Records() {
		if err := j.reopen(); err != nil {
			return err
		}
	}
	err := j.in.Skip(ctx, record)
	if errors.Is(err, io.EOF) {
		return &checkpoint.RefusedError{
			Key: j.key, What: "cursor",
			Have: strconv.FormatInt(record, 10), Want: fmt.Sprintf("at most %d, the records of %s", j.in.Records(), j.path),
		}
	}
	return err
}

// runCommand runs the command on a batch, again if it fails and may.
func (j *batchJob) runCommand(ctx context.Context, b *records.Batch) error {
	s := j.session
	env := []string{
		"MILEPOST_NAME=" + s.Name(),
		fmt.Sprintf("MILEPOST_EPOCH=%d", s.Epoch()),
		fmt.Sprintf("MILEPOST_VERSION=%d", s.Version()+1),
		fmt.Sprintf("MILEPOST_FIRST=%d", b.First),
		fmt.Sprintf("MILEPOST_LAST=%d", b.Last),
	}
	pauses := &backoff.ExponentialBackOff{
		InitialInterval: time.Second, Multiplier: 2, RandomizationFactor: 0.2, MaxInterval: time.Minute,
	}
	pauses.Reset()
	for attempt := 1; ; attempt++ {
		err := j.command.Run(ctx, j.stop, b.Data, env...)
		if err == nil {
			return nil
		}
		if _, exited := errors.AsType[*exec.ExitError](err); !exited {
			if errors.Is(err, context.Cause(j.stop)) {
				return j.stopped()
			}
			return err // it could not be started, or the session has ended
		}
		failed := &commandError{Argv: j.command.Argv, First: b.First, Last: b.Last, Attempts: attempt, Err: err}
		if attempt > j.flags.retries {
			return failed
		}
		pause := pauses.NextBackOff()
		j.app.say("%v; again in %v (%d of %d)", failed, pause.Round(100*time.Millisecond), attempt, j.flags.retries)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-j.stop.Done():
			timer.Stop()
			return failed
		}
	}
}

// commandError says that the user's program failed. The failure is the job's own, not Milepost's.
type commandError struct {
	Argv        []string
	First, Last int64 // the batch's records
	Attempts    int
	Err         error // how the last attempt ended
}

func (e *commandError) Error() string {
	s := fmt.Sprintf("%s failed on records %s to %s: %v", strings.Join(e.Argv, " "), human.Thousands(e.First), human.Thousands(e.Last), e.Err)
	if e.Attempts > 1 {
		s += fmt.Sprintf(" (the last of %d attempts)", e.Attempts)
	}
	return s
}

func (e *commandError) Unwrap() []error { return []error{kinds.ErrJobFailed, e.Err} }

// finish tells how the job ended.
func (j *batchJob) finish(err error) error {
	if j.progress == nil {
		return err
	}
	how := "done"
	switch kinds.Of(err).Name {
	case "ok":
	case "yielded":
		how = "handed over"
	case "interrupted", "terminated":
		how = "stopped"
	default:
		how = "failed"
	}
	done, _ := strconv.ParseInt(j.session.Cursor(), 10, 64)
	j.progress.finish(done, how, j.session.Version())
	return err
}
