package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// killAfter is how long a command that was told to end may take for it.
const killAfter = 5 * time.Second

// command is the user's program, run once for each batch.
type command struct {
	argv           []string
	env            []string
	stdout, stderr io.Writer
	grace          time.Duration // how long a run may go on once stop has ended
	killAfter      time.Duration // how long after SIGTERM it gets SIGKILL
}

// commandError says that the user's program failed. It is the job's own failure,
// not Milepost's.
type commandError struct {
	Argv        []string
	First, Last int64 // the batch's records
	Attempts    int
	Err         error // how the last attempt ended
}

func (e *commandError) Error() string {
	s := fmt.Sprintf("%s failed on records %s to %s: %v", strings.Join(e.Argv, " "), thousands(e.First), thousands(e.Last), e.Err)
	if e.Attempts > 1 {
		s += fmt.Sprintf(" (the last of %d attempts)", e.Attempts)
	}
	return s
}

func (e *commandError) Unwrap() []error { return []error{errJobFailed, e.Err} }

// run runs the program over data and waits for it. nil: it exited with 0. When ctx
// ends, it and its children get SIGTERM, and SIGKILL later; when stop ends, they
// get the same past the grace. The error is then that context's cause.
//
// Its standard input is a file, not a pipe: should this process be killed, what the
// program reads must not end within a record and look whole.
func (c *command) run(ctx, stop context.Context, data []byte, env ...string) error {
	stdin, err := fileOf(data)
	if err != nil {
		return fmt.Errorf("prepare the batch for %s: %w", c.argv[0], err)
	}
	defer func() { _ = stdin.Close() }()

	cmd := exec.Command(c.argv[0], c.argv[1:]...)
	cmd.Env = append(append([]string{}, c.env...), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, c.stdout, c.stderr
	p, err := launch(cmd, newGroup(cmd), "")
	if err != nil {
		return fmt.Errorf("start %s: %w", c.argv[0], err)
	}
	defer p.close()
	return c.wait(ctx, stop, p)
}

func (c *command) wait(ctx, stop context.Context, p *process) error {
	var cause error
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		cause = context.Cause(ctx)
	case <-stop.Done():
		grace := time.NewTimer(c.grace)
		defer grace.Stop()
		select {
		case err := <-p.done:
			return err
		case <-ctx.Done():
			cause = context.Cause(ctx)
		case <-grace.C:
			cause = context.Cause(stop)
		}
	}
	p.terminate()
	kill := time.NewTimer(c.killAfter)
	defer kill.Stop()
	var err error
	select {
	case err = <-p.done:
	case <-kill.C:
		p.kill()
		err = <-p.done
	}
	if err == nil {
		return nil // it was told to end, and finished its batch
	}
	return cause
}
