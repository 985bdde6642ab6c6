package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/child"
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
	case isLost && (err == nil || errors.Is(err, kinds.ErrJobFailed) || errors.Is(err, lost)):
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
	cmd := exec.Command(j.argv[0], j.argv[1:]...)
	cmd.Env = env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = j.app.stdin, j.app.stdout, j.app.stderr
	p, err := child.Start(cmd, dir)
	if err != nil {
		return &jobError{j.argv, err}
	}
	end := p.Wait(j.session.Context(), j.session.HandoffWanted(), j.signals, j.grace)
	switch {
	case end.Lost != nil:
		return end.Lost
	case end.Yielded:
		return checkpoint.ErrYielded
	case end.Err == nil:
		return nil // it came to its end, though a signal may have told it to stop
	case end.Signal != nil:
		stopped := &kinds.SignalError{Signal: end.Signal}
		j.session.cancel(stopped)
		return stopped
	}
	return &jobError{j.argv, end.Err}
}

// maxSocketPath is the longest path of a socket. Every Unix takes 103 bytes; macOS takes the fewest.
func maxSocketPath() int {
	if runtime.GOOS == "windows" {
		return 107
	}
	return 103
}

// privateDir makes a directory that only this user can look into, with a path short enough for a socket in it.
func privateDir() (string, error) {
	dir, err := os.MkdirTemp("", "milepost-*")
	if err == nil && len(dir)+len("/socket") > maxSocketPath() {
		_ = os.Remove(dir)
		dir, err = os.MkdirTemp("/tmp", "milepost-*")
	}
	if err != nil {
		return "", fmt.Errorf("make a directory for the command's socket: %w", err)
	}
	return dir, nil
}
