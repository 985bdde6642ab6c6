package child

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"time"
)

// Command is the user's program, run once for each batch.
type Command struct {
	Argv           []string
	Env            []string
	Stdout, Stderr io.Writer
	Grace          time.Duration // how long a run may go on once stop has ended
	KillAfter      time.Duration // how long after SIGTERM it gets SIGKILL
}

// Run runs the program with data on its standard input and waits for it. It returns nil if the
// program exited with 0, and an [*exec.ExitError] if it ended otherwise. When ctx ends, the program
// and its children get SIGTERM, and SIGKILL after KillAfter. When stop ends, they get the same
// after Grace. Run then returns that context's cause, unless the program still exited with 0.
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
	p, err := launch(cmd, newGroup(cmd), "")
	if err != nil {
		return fmt.Errorf("start %s: %w", c.Argv[0], err)
	}
	defer p.close()
	return c.wait(ctx, stop, p)
}

func (c *Command) wait(ctx, stop context.Context, p *process) error {
	var cause error
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		cause = context.Cause(ctx)
	case <-stop.Done():
		grace := time.NewTimer(c.Grace)
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
	kill := time.NewTimer(c.KillAfter)
	defer kill.Stop()
	var err error
	select {
	case err = <-p.done:
	case <-kill.C:
		p.kill()
		err = <-p.done
	}
	if err == nil {
		return nil // the program got SIGTERM and still finished its batch
	}
	return cause
}
