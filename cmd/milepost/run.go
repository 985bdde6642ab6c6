package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"os/signal"
	"time"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/agent"
	"github.com/milepost-dev/milepost/internal/child"
	"github.com/milepost-dev/milepost/internal/kinds"
)

// runFlags are the flags of milepost run.
type runFlags struct {
	leaseFlags
	expect expectFlags
	grace  time.Duration

	keepState bool
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run NAME [flags] -- CMD [ARG…]",
		Short: "Run a command under the lease; it resumes where the last run stopped",
		Long: `Run holds the lease of the checkpoint NAME while CMD runs, so no other run can have the
same NAME. Run saves the progress that CMD reports, and the next run resumes from it.

The environment of CMD has MILEPOST_NAME, MILEPOST_EPOCH (higher in every run: use it to
fence what CMD writes to), MILEPOST_RUN_ID, MILEPOST_CURSOR (where to resume; empty at
first, and not set if the cursor has more than 32,000 bytes) and MILEPOST_CHECKPOINT (a
file: the checkpoint that CMD resumes from, as JSON).
CMD, and any process that it starts, reports progress with

  milepost mark --cursor ord-88123 --processed 100   saved in the background
  milepost save --cursor ord-88123 --state FILE      returns when it is durable
  milepost state                                     prints the state

A mark without --state keeps the state. If CMD has neither read the state of the last run
with milepost state nor replaced it, such a mark is refused: see --keep-state.

Progress may also be reported with the protocol of docs/agent-protocol.md over the Unix socket
MILEPOST_SOCKET.

Run forwards signals to CMD and its process group. At a signal that asks to stop, run saves
what was marked at once, and from then on each mark within 250 ms. When CMD has ended, run
waits for the processes that CMD left running, and names them. When the lease is lost, or
after SIGTERM, all of them get SIGTERM, and SIGKILL after --grace, or at once if another run
has the lease. After a signal the run is stopped and exits with 143 (130 after SIGINT),
whatever CMD's own exit code is.

` + whatIsEnded,
		Example: `  milepost run nightly -- ./nightly.sh
  milepost run nightly --wait 10m -- ./nightly.sh
  milepost run hello -- sh -c 'milepost mark --cursor "$((MILEPOST_CURSOR + 1))"'`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch dash := cmd.ArgsLenAtDash(); {
			case dash < 0 && len(args) > 1:
				return kinds.Usagef("put -- before the command: milepost run %s -- %s …", args[0], args[1])
			case len(args) == 1 && dash != 0:
				return kinds.Usagef("the command is missing: milepost run %s -- CMD [ARG…]", args[0])
			case dash != 1:
				return kinds.Usagef("run needs a name, then -- and a command\nsee milepost run --help")
			}
			return nil
		},
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runJob(cmd.Context(), f, args[0], args[1:])
		},
	}
	flags := cmd.Flags()
	flags.DurationVar(&f.grace, "grace", defaultGrace, "how long CMD may go on after SIGTERM, before SIGKILL; the last save has 3s more, and the archive 5s")
	flags.BoolVar(&f.keepState, "keep-state", false, "keep the checkpoint's state as it is, though CMD does not use it and marks a newer cursor")
	f.expect.add(flags)
	f.add(flags, "hand over when another run asks: CMD gets SIGTERM; then exit with 10")
	return cmd
}

func (f *runFlags) check() error {
	if f.grace < 0 {
		return kinds.Usagef("--grace %v: it cannot be negative", f.grace)
	}
	if err := f.expect.check(); err != nil {
		return err
	}
	return f.leaseFlags.check()
}

func (f *runFlags) options(a *app) *checkpoint.Options {
	return &checkpoint.Options{
		Codec: agent.Codec{}, Logger: a.logger(),
		Lease: f.lease(a), Expect: f.expect.expectation(),
	}
}

// runJob runs milepost run.
func (a *app) runJob(parent context.Context, f runFlags, name string, argv []string) error {
	if _, err := a.beginOn(name); err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	if _, err := exec.LookPath(argv[0]); err != nil {
		return kinds.Usagef("command %s: %w", argv[0], err)
	}
	signals := make(chan os.Signal, 16)
	for _, s := range child.Forwarded {
		if !signal.Ignored(s) { // under nohup some are ignored
			signal.Notify(signals, s)
		}
	}
	defer signal.Stop(signals)

	opening, opened := untilFirst(parent, signals)
	defer opened()
	dir, err := agent.NewDir() // before anything is written
	if err != nil {
		return err
	}
	defer dir.Remove()
	st, err := a.open(opening, mayCreate)
	if err != nil {
		return stoppedOr(opening, err)
	}
	defer st.close()
	options := f.options(a)
	live, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	linked := context.AfterFunc(opening, func() { cancel(context.Cause(opening)) })
	session, err := checkpoint.Open[json.RawMessage](live, st.in(a.namespace), name, options)
	if err != nil {
		return stoppedOr(opening, err)
	}
	linked()
	opened()
	j := &job{
		app: a, store: st, dir: dir, session: session, within: options.Lease.Duration, cancel: cancel,
		argv: argv, grace: f.grace, signals: signals, keepState: f.keepState,
	}
	return stoppedOr(live, j.run())
}

// untilFirst returns a context that ends at the first signal that asks to stop, and a function that
// ends the watch for signals.
func untilFirst(parent context.Context, signals <-chan os.Signal) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case s := <-signals:
				if child.Stops(s) {
					cancel(&kinds.SignalError{Signal: s})
					return
				}
			case <-stop:
				return
			}
		}
	}()
	stopped := false
	return ctx, func() {
		if !stopped {
			stopped = true
			close(stop)
			<-done
			cancel(nil)
		}
	}
}
