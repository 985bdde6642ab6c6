package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// runFlags are the flags of milepost run.
type runFlags struct {
	grace         time.Duration
	leaseDuration time.Duration
	wait          time.Duration
	holder        string
	sameHolder    bool
	takeOver      bool
	yield         bool
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run NAME [flags] -- CMD [ARG…]",
		Short: "Run a command that is alone, and that resumes",
		Long: `Run holds the lease of the checkpoint NAME while CMD runs: no other run can have the
same NAME. What CMD says of its progress is saved, and the next run finds it.

CMD finds in its environment MILEPOST_NAME, MILEPOST_EPOCH (rises with every run: a
fence for what it writes to), MILEPOST_RUN_ID, MILEPOST_CURSOR (where it is to go on;
empty at first) and MILEPOST_CHECKPOINT (a file: the checkpoint it resumes from, as
JSON). It, and any process that it starts, says

  milepost mark --cursor ord-88123 --processed 100   saved in the background
  milepost save --cursor ord-88123 --state FILE      returns when it is durable
  milepost state                                     prints the state

or speaks docs/agent-protocol.md over the Unix socket MILEPOST_SOCKET.

When the lease is lost CMD and its children get SIGTERM, and SIGKILL after --grace.
Signals are forwarded to them. When CMD has ended, what it left running is ended, too.`,
		Example: `  milepost run nightly -- ./nightly.sh
  milepost run nightly --wait 10m -- ./nightly.sh
  milepost run hello -- sh -c 'milepost mark --cursor "$((MILEPOST_CURSOR + 1))"'`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch dash := cmd.ArgsLenAtDash(); {
			case dash < 0 && len(args) > 1:
				return usagef("put -- before the command: milepost run %s -- %s …", args[0], args[1])
			case len(args) == 1 && dash != 0:
				return usagef("the command is missing: milepost run %s -- CMD [ARG…]", args[0])
			case dash != 1:
				return usagef("run takes a name, then -- and a command\nsee milepost run --help")
			}
			return nil
		},
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runJob(cmd.Context(), f, args[0], args[1:])
		},
	}
	flags := cmd.Flags()
	flags.DurationVar(&f.grace, "grace", 20*time.Second, "how long CMD may go on after SIGTERM, before SIGKILL")
	flags.DurationVar(&f.leaseDuration, "lease-duration", lease.DefaultDuration, "how long the lease lasts when this process is gone or stopped")
	flags.DurationVar(&f.wait, "wait", 0, "how long to wait for a lease that another run holds")
	flags.StringVar(&f.holder, "holder", "", "stable `ID` of this job (default: user@host)")
	flags.BoolVar(&f.sameHolder, "same-holder", false, "promise that one process at a time has this --holder: a restart then takes its lease at once")
	flags.BoolVar(&f.takeOver, "take-over", false, "ask the run that holds the lease to hand over, and wait for it (5m unless --wait says otherwise)")
	flags.BoolVar(&f.yield, "yield", false, "hand over when another run asks: CMD gets SIGTERM; exits with 10")
	return cmd
}

func (f *runFlags) check() error {
	switch {
	case f.grace < 0:
		return usagef("--grace %v: it cannot be negative", f.grace)
	case f.wait < 0:
		return usagef("--wait %v: it cannot be negative", f.wait)
	case f.leaseDuration < lease.MinDuration || f.leaseDuration > lease.MaxDuration || f.leaseDuration%time.Millisecond != 0:
		return usagef("--lease-duration %v: whole milliseconds, from %v to %v", f.leaseDuration, lease.MinDuration, lease.MaxDuration)
	case f.sameHolder && f.holder == "":
		return usagef("--same-holder promises something about --holder: give both")
	}
	return nil
}

func (f *runFlags) options(a *app) *checkpoint.Options {
	options := &checkpoint.Options{
		Namespace: a.namespace, Codec: jsonState{}, Logger: a.logger(),
		Lease: lease.Options{
			Holder: store.Holder{ID: f.holder}, Duration: f.leaseDuration, Wait: f.wait,
			SameHolder: f.sameHolder, TakeOver: f.takeOver, Yield: f.yield,
		},
	}
	if f.takeOver && f.wait == 0 {
		options.Lease.Wait = takeOverWait
	}
	told := false
	options.Lease.OnWait = func(held *lease.HeldError) {
		if !told {
			told = true
			a.say("waiting for %s, who holds %q, up to %v", holderText(held.Holder), held.Key, options.Lease.Wait)
		}
	}
	return options
}

// runJob is milepost run.
func (a *app) runJob(parent context.Context, f runFlags, name string, argv []string) error {
	if err := a.begin(); err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	if err := (store.Key{Namespace: a.namespace, Name: name}).Validate(); err != nil {
		return err
	}
	if _, err := exec.LookPath(argv[0]); err != nil {
		return usagef("command %s: %w", argv[0], err)
	}
	signals := make(chan os.Signal, 16)
	for _, s := range forwarded {
		if !signal.Ignored(s) { // as under nohup
			signal.Notify(signals, s)
		}
	}
	defer signal.Stop(signals)

	opening, opened := untilFirst(parent, signals)
	defer opened()
	st, err := a.open(opening, mayCreate)
	if err != nil {
		return stoppedOr(opening, err)
	}
	defer st.close()
	options := f.options(a)
	live, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	linked := context.AfterFunc(opening, func() { cancel(context.Cause(opening)) })
	session, err := checkpoint.Open[json.RawMessage](live, st, name, options)
	if err != nil {
		return stoppedOr(opening, err)
	}
	linked()
	opened()
	s := newAgentSession(1, session, options, cancel)
	return stoppedOr(live, (&job{app: a, store: st, session: s, argv: argv, grace: f.grace, signals: signals}).run())
}

// untilFirst returns a context that ends at the first signal that asks to stop, and what ends
// the watch for it.
func untilFirst(parent context.Context, signals <-chan os.Signal) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case s := <-signals:
				if stops(s) {
					cancel(&signalError{s})
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

// stops reports whether a signal asks to stop.
func stops(s os.Signal) bool { return s == os.Interrupt || s == syscall.SIGTERM || s == syscall.SIGHUP }

// jobError says that the command of milepost run failed.
type jobError struct {
	Argv []string
	Err  error
}

func (e *jobError) Error() string {
	return fmt.Sprintf("%s failed: %v", e.Argv[0], e.Err)
}
func (e *jobError) Unwrap() []error { return []error{errJobFailed, e.Err} }

// job is a command under a session.
type job struct {
	app     *app
	store   *openStore
	session *agentSession
	argv    []string
	grace   time.Duration
	signals <-chan os.Signal
}

// run runs the command, serves those in it who mark, and closes the session when all of it has ended.
func (j *job) run() error {
	s := j.session
	served := make(chan struct{})
	go func() { defer close(served); s.serve() }()
	err := j.underway()
	closed := make(chan error, 1)
	s.queue.push(task{do: func() { closed <- s.close(context.Background(), err) }}, 0)
	closeErr := <-closed
	<-served
	switch lost, isLost := errors.AsType[*lease.LostError](closeErr); {
	case isLost && (err == nil || errors.Is(err, errJobFailed) || errors.Is(err, lost)):
		return closeErr // what the command did after the loss is not its fault
	case errors.Is(err, closeErr):
		return err
	}
	return errors.Join(err, closeErr)
}

// underway runs the command with its socket and its files, and returns how the session ends.
func (j *job) underway() error {
	dir, err := privateDir()
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "checkpoint.json")
	if err := os.WriteFile(file, append(j.checkpoint(), '\n'), 0o600); err != nil {
		return fmt.Errorf("write the checkpoint for %s: %w", j.argv[0], err)
	}
	sockets, err := listen(filepath.Join(dir, "socket"), j)
	if err != nil {
		return err
	}
	defer sockets.close()
	s := j.session
	env := append(append([]string{}, j.app.env...),
		"MILEPOST_NAME="+s.Name(),
		fmt.Sprintf("MILEPOST_EPOCH=%d", s.Epoch()),
		"MILEPOST_RUN_ID="+s.Holder().RunID,
		"MILEPOST_SOCKET="+sockets.path,
		"MILEPOST_CHECKPOINT="+file,
	)
	if cursor := s.Cursor(); !strings.ContainsRune(cursor, 0) {
		env = append(env, "MILEPOST_CURSOR="+cursor)
	}
	return j.supervise(env, dir)
}

// checkpoint is what the session resumes from, as JSON.
func (j *job) checkpoint() []byte {
	if cp := j.session.Resumed(); cp != nil {
		return checkpointObject(cp, true)
	}
	return toJSON(j.session.standing())
}

// supervise runs the command, and returns how the session ends: nil if it exited with 0.
func (j *job) supervise(env []string, dir string) error {
	p, err := startJob(j.app, j.argv, env, dir)
	if err != nil {
		return &jobError{j.argv, err}
	}
	var ending error // why it was told to end
	var kill <-chan time.Time
	tell := func(why error) {
		if ending == nil {
			ending = why
			kill = time.After(j.grace)
		}
	}
	over, wanted := j.session.Context().Done(), j.session.HandoffWanted()
	for {
		select {
		case s := <-j.signals:
			p.group.forward(s)
			if stops(s) && s != os.Interrupt { // at SIGINT some go on, as a shell does
				tell(&signalError{s})
			} else if stops(s) && ending == nil {
				ending = &signalError{s}
			}
		case <-over:
			over = nil
			ending = nil // it comes before a signal
			tell(context.Cause(j.session.Context()))
			p.group.terminate()
		case <-wanted:
			wanted = nil
			tell(checkpoint.ErrYielded)
			p.group.terminate()
		case <-kill:
			kill = nil
			p.group.kill()
		case err := <-p.done:
			p.sweep()
			if ending == nil && p.interrupted(err) {
				ending = &signalError{os.Interrupt}
			}
			return j.outcome(err, ending)
		}
	}
}

// outcome is how the session ends, by how the command did and why it was told to.
func (j *job) outcome(err, ending error) error {
	_, signalled := errors.AsType[*signalError](ending)
	switch {
	case ending == nil && err == nil, signalled && err == nil:
		return nil // it came to its end
	case signalled:
		j.session.cancel(ending)
		return ending
	case ending != nil:
		return ending
	}
	return &jobError{j.argv, err}
}

// privateDir makes a directory that only this user can look into, with a path short enough for a socket in it.
func privateDir() (string, error) {
	dir, err := os.MkdirTemp("", "milepost-*")
	if err == nil && len(dir)+len("/socket") > maxSocketPath {
		_ = os.Remove(dir)
		dir, err = os.MkdirTemp("/tmp", "milepost-*")
	}
	if err != nil {
		return "", fmt.Errorf("make a directory for the command's socket: %w", err)
	}
	return dir, nil
}
