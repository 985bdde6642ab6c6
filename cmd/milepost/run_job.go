package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/agent"
	"github.com/milepost-dev/milepost/internal/child"
	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/lease"
)

// jobError says that the command of milepost run failed.
type jobError struct {
	Argv []string
	Err  error
}

func (e *jobError) Error() string {
	return fmt.Sprintf("%s failed: %v", e.Argv[0], e.Err)
}
func (e *jobError) Unwrap() []error { return []error{kinds.ErrJobFailed, e.Err} }

// job is a command under a session.
type job struct {
	app     *app
	store   *openStore
	dir     *agent.Dir
	session *checkpoint.Session[json.RawMessage]
	within  time.Duration           // how long the command has to end when another run wants a handoff
	cancel  context.CancelCauseFunc // cancels the session's context
	argv    []string
	grace   time.Duration

	keepState bool
	signals   <-chan os.Signal
}

// run runs the command and serves the processes of the command that mark. It closes the session
// when all of them have ended.
func (j *job) run() error {
	shared, err := agent.Share(j.app.agentOptions(), j.store.forAgent(), j.dir, j.session, j.within, j.cancel, j.keepState)
	if err != nil {
		return errors.Join(err, j.session.Close(context.Background(), err))
	}
	release := j.saveSoonAtSignal()
	err = j.supervise(shared)
	release()
	closeErr := shared.Close(err)
	switch lost, isLost := errors.AsType[*lease.LostError](closeErr); {
	case isLost && (err == nil || errors.Is(err, kinds.ErrJobFailed) || errors.Is(err, lost)):
		return closeErr // after the loss, how the command ended does not count
	case errors.Is(err, closeErr):
		return err
	}
	return errors.Join(err, closeErr)
}

// saveSoonAtSignal lets the session save soon when a signal asks to stop, before the command has
// ended: from SIGTERM to SIGKILL two seconds are common. It returns what ends the watch.
func (j *job) saveSoonAtSignal() (release func()) {
	told, done := make(chan os.Signal, 1), make(chan struct{})
	for _, s := range child.Forwarded {
		if child.Stops(s) && !signal.Ignored(s) {
			signal.Notify(told, s)
		}
	}
	go func() {
		select {
		case <-told:
			j.session.SaveSoon()
		case <-done:
		}
	}()
	return func() {
		signal.Stop(told)
		close(done)
	}
}

// supervise runs the command, and returns the error to close the session with: nil if the command
// exited with 0 by itself, and nothing that it left running had to be ended.
func (j *job) supervise(shared *agent.Shared) error {
	cmd := exec.Command(j.argv[0], j.argv[1:]...)
	// The variable of a milepost run around this one must not stand for this one's.
	cmd.Env = slices.DeleteFunc(slices.Clone(j.app.env), func(v string) bool { return strings.HasPrefix(v, "MILEPOST_CURSOR=") })
	cmd.Env = append(cmd.Env, shared.Env()...)
	if shared.CursorInFileOnly() {
		j.app.say("the cursor has %s bytes and does not fit in MILEPOST_CURSOR, which is not set: the file MILEPOST_CHECKPOINT has it, and milepost state --cursor prints it",
			human.Thousands(int64(len(j.session.Cursor()))))
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = j.app.stdin, j.app.stdout, j.app.rawErr
	p, err := child.Start(cmd, child.Options{
		Dir: shared.Dir(), Grace: j.grace,
		Confirm: func() error { return j.session.Confirm(j.session.Context()) },
		Left:    j.session.LeaseLeft,
		Notice:  func(text string) { j.app.say("%s", text) },
	})
	if err != nil {
		return &jobError{j.argv, err}
	}
	end := p.Wait(j.session.Context(), j.session.HandoffWanted(), j.signals)
	switch {
	case end.Lost != nil:
		return end.Lost
	case end.Yielded:
		return checkpoint.ErrYielded
	case end.Signal != nil: // whatever its status: it may have ended half-way
		if !end.Told.IsZero() {
			j.session.CloseBy(end.Told.Add(j.grace + closingGrace))
		}
		stopped := &kinds.SignalError{Signal: end.Signal}
		j.cancel(stopped)
		return stopped
	case end.Err == nil:
		return nil
	}
	return &jobError{j.argv, end.Err}
}
