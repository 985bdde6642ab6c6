package main

import (
	"context"
	"math"
	"os/exec"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/batch"
	"github.com/milepost-dev/milepost/internal/child"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/internal/records"
)

// killAfter is how long after SIGTERM a command gets SIGKILL.
const killAfter = 5 * time.Second

// whatIsEnded is the part of the help of batch and run about processes that outlive the lease.
const whatIsEnded = `On Linux no process that CMD has started goes on without the lease: a process that left
CMD's group (timeout, setsid, a daemon) is ended as well, also when milepost is killed. All
get SIGKILL when the lease runs out, whatever --grace says and even if milepost is stopped.
What stays outside: a process of another user (sudo), work handed to a server (docker,
systemd-run, ssh), and what goes on when milepost and its process milepost-keeper are
killed together. On other systems only the process group of CMD is ended, and on Windows
its job.`

// From a signal to the exit there is one budget. 30 s are common before SIGKILL comes. With the
// defaults, everything is over in less than 25 s: the grace, killAfter, closingGrace, and 5 s for the
// archive.
const (
	defaultGrace = 15 * time.Second
	closingGrace = 3 * time.Second // for the last save and the release
)

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
		Short: "Run a command on each batch of a file's records; it resumes where the last run stopped",
		Long: `Batch runs CMD once for every 1000 records (--every) of INPUT, with those records on
its standard input. When CMD exits with 0, batch saves the checkpoint NAME. When the
job dies, the same command line resumes after the last batch that was saved. While it
runs, no other run can have the same NAME.

INPUT is plain text, gzip or zstd, whatever its name. A record is a line, or with
--csv a CSV record; the header is then repeated before each batch.

The environment of CMD has MILEPOST_NAME, MILEPOST_EPOCH (higher in every run: use it to
fence what CMD writes to), MILEPOST_VERSION (the version that this batch will be saved
as), MILEPOST_FIRST and MILEPOST_LAST (record numbers, from 1). A batch runs again if a
run died within it, so CMD must do no harm when it gets the same batch twice.

After SIGTERM, SIGHUP or SIGINT the batch in hand may finish within --grace, and is saved. A
batch
is finished when CMD has exited with 0 and the processes that CMD left running have ended;
batch waits for them, and names them. What has to be ended is not saved.

` + whatIsEnded,
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
				return kinds.Usagef("batch needs a name and an input, then -- and a command\nsee milepost batch --help")
			}
			return nil
		},
		ValidArgsFunction: a.completeNames,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return advised(a.batch(cmd.Context(), f, args[0], args[1], args[2:]),
			"wait for it:     milepost batch --wait 10m …",
			"take over:       milepost batch --take-over …   (if it runs with --yield)",
			a.endLease(args[0]))
	}
	flags := cmd.Flags()
	flags.IntVar(&f.every, "every", 1000, "records in a batch; each batch is one run of CMD and one saved version")
	flags.BoolVar(&f.csv, "csv", false, "records are CSV; the header is repeated before each batch")
	flags.BoolVar(&f.verify, "verify-input", false, "when resuming, hash all of the input before the cursor, not only 64 KiB in two places")
	flags.IntVar(&f.retries, "retries", 0, "how often to run CMD again on a batch that failed; the pauses grow")
	flags.DurationVar(&f.grace, "grace", defaultGrace, "how long the batch in hand may go on after SIGTERM or SIGINT; the last save has 3s more, and the archive 5s")
	f.expect.add(flags)
	f.add(flags, "hand over after the batch in hand when another run asks; then exit with 10")
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

// identity returns the job's identity. It keeps a checkpoint of another kind of job, or of records
// in another format, from being resumed.
func (f *batchFlags) identity() string { return "milepost batch, " + string(f.format()) }

// options returns the options of the job's session. The job asks for every save: one for each
// batch.
func (f *batchFlags) options(a *app) *checkpoint.Options {
	return &checkpoint.Options{
		Lease: f.lease(a),
		Every: math.MaxInt32, MaxUnsaved: math.MaxInt32, Interval: math.MaxInt64,
		Identity: f.identity(),
		Expect:   f.expect.expectation(),
		Logger:   a.logger(),
	}
}

// batch runs milepost batch.
func (a *app) batch(parent context.Context, f batchFlags, name, path string, argv []string) error {
	key, err := a.beginOn(name)
	if err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	if _, err := exec.LookPath(argv[0]); err != nil {
		return kinds.Usagef("command %s: %w", argv[0], err)
	}
	var shown *progress
	// The input is opened before signals are caught: opening a pipe may take forever.
	j, err := batch.Open(batch.Options{
		Key: key, Identity: f.identity(), Path: path, Format: f.format(), Every: f.every, Verify: f.verify, Retries: f.retries,
		Command: &child.Command{
			Argv: argv, Env: a.env, Stdout: a.stdout, Stderr: a.rawErr,
			Grace: f.grace, KillAfter: min(killAfter, f.leaseDuration/10),
		},
		StartOver: a.call("reset %s --execute", name),
		Say:       a.say,
		Began: func(records int64, fraction float64) {
			shown = newProgress(a.stderr, a.onTerminal(), name, records, fraction)
		},
		Saved: func(records int64, fraction float64, version int64) { shown.update(records, fraction, version) },
	})
	if err != nil {
		return err
	}
	defer j.Close()
	stop, quit, release := untilSignal(parent)
	defer release()
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)

	s, err := a.open(stop, mayCreate)
	if err != nil {
		return err
	}
	defer s.close()

	if err := j.Prepare(stop, s.in(a.namespace)); err != nil {
		return stoppedOr(stop, err)
	}
	// While the job waits for the lease, a signal ends it at once. From then on the first signal
	// ends it after the batch in hand, and the next signal at once.
	waiting := context.AfterFunc(stop, func() { cancel(context.Cause(stop)) })
	defer context.AfterFunc(quit, func() { cancel(context.Cause(quit)) })()
	var session *checkpoint.Session[records.Position]
	err = checkpoint.Run(ctx, s.in(a.namespace), name, func(ctx context.Context, opened *checkpoint.Session[records.Position]) error {
		waiting()
		session = opened
		defer context.AfterFunc(stop, func() {
			session.CloseBy(time.Now().Add(f.grace + min(killAfter, f.leaseDuration/10) + closingGrace))
		})()
		return j.Run(ctx, stop, cancel, session)
	}, f.options(a))
	if shown != nil {
		done, _ := strconv.ParseInt(session.Cursor(), 10, 64)
		shown.finish(done, howEnded(err), session.Version())
	}
	return stoppedOr(stop, err)
}

// howEnded returns how a job ended, for people.
func howEnded(err error) string {
	switch kinds.Of(err).Name {
	case "ok":
		return "done"
	case "yielded":
		return "handed over"
	case "interrupted", "terminated":
		return "stopped"
	}
	return "failed"
}
