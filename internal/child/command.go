package child

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"time"
)

// Command is the user's program, run once for each batch.
type Command struct {
	Argv           []string
	Env            []string
	Stdout, Stderr io.Writer
	Grace          time.Duration // how long a run may go on once stop has ended
	KillAfter      time.Duration // how long after SIGTERM it gets SIGKILL
	Confirm        func() error  // asked before a command goes on that was stopped together with this process
	Notice         func(string)  // tells people what the command does; it may block

	// Left is how long from now a run may go on whatever becomes of this process. The program and its
	// descendants get SIGKILL at once if ctx ends and no time is left; on Linux they get it as soon as
	// no time is left, even if this process is stopped. Nil: forever.
	Left func() time.Duration

	host *host // of all runs; nil: there was none
}

// Close releases what the runs shared. No run may be under way.
func (c *Command) Close() {
	if c.host != nil {
		c.host.close()
	}
}

// Run runs the program with data on its standard input, and waits for it and for all processes that
// it left running. It returns nil if the program exited with 0 and nothing had to be ended, and an
// [*ExitError] if the program ended otherwise. When ctx ends, the program and its group get SIGTERM,
// and what is left of them SIGKILL after KillAfter. When stop ends, they get the same after Grace.
// Run then returns that context's cause, whatever the program's status: it may have ended half-way.
// What a program left running is also ended if the program failed.
//
// Its standard input is a file, not a pipe. If this process is killed, what the program reads must
// not end within a record and look whole.
func (c *Command) Run(ctx, stop context.Context, data []byte, env ...string) error {
	stdin, err := fileOf(data)
	if err != nil {
		return fmt.Errorf("prepare the batch for %s: %w", c.Argv[0], err)
	}
	defer func() { _ = stdin.Close() }()

	cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
	cmd.Env = append(append([]string{}, c.Env...), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, c.Stdout, c.Stderr
	s := newStops(filepath.Base(cmd.Path), c.Confirm, c.Notice)
	defer s.release()
	if c.host == nil {
		if c.host, err = newHost(""); err != nil {
			return err
		}
	}
	if s.p, err = c.host.launch(cmd, false); err != nil {
		return fmt.Errorf("start %s: %w", c.Argv[0], err)
	}
	defer s.p.close()
	s.p.vouch(c.Left)
	return c.wait(ctx, stop, s)
}

func (c *Command) wait(ctx, stop context.Context, s *stops) error {
	var why error // the program has failed, or must end
	var grace, kill <-chan time.Time
	finish := func(err error) {
		if why == nil {
			why = err
		}
		s.cancel()
		s.p.terminate()
		if kill == nil {
			kill = time.After(c.KillAfter)
		}
	}
	over, stopping := ctx.Done(), stop.Done()
	for {
		select {
		case <-over:
			over = nil
			why = nil // the loss replaces any other reason
			finish(context.Cause(ctx))
			if noneIs(c.Left) { // another run may be at work already
				s.p.kill()
			}
		case <-stopping:
			stopping = nil
			grace = time.After(c.Grace)
		case <-grace:
			grace = nil
			finish(context.Cause(stop))
		case <-kill:
			kill = make(chan time.Time) // once
			s.p.kill()
		case e, more := <-s.p.events:
			if !more {
				return why
			}
			switch e.what {
			case ended:
				if e.err != nil || why != nil {
					finish(e.err)
				}
			case left:
				if why == nil {
					go c.Notice(leftText(s.name, e.text))
				}
			default:
				s.noticed(e)
			}
		case sig := <-s.signals:
			s.signalled(sig)
		case err := <-s.confirmed:
			s.settled(err)
		case <-s.late:
			s.wasNotStopped()
		}
	}
}
