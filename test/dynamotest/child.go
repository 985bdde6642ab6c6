package dynamotest

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// child is a process that does not outlive this one. No goroutine belongs to
// it, so that tests which look for leaked ones find none of ours.
type child struct {
	cmd    *exec.Cmd
	alive  *os.File // what this process holds open while the child may live
	output *os.File
}

func startChild(cmd *exec.Cmd) (*child, error) {
	output, err := os.CreateTemp("", "dynamotest-")
	if err != nil {
		return nil, err
	}
	// Where a file in use can be removed it is gone from here on, else when the child stops.
	_ = os.Remove(output.Name())
	cmd.Stdout, cmd.Stderr = output, output
	alive, err := startBound(cmd)
	if err != nil {
		return nil, errors.Join(err, output.Close())
	}
	return &child{cmd: cmd, alive: alive, output: output}, nil
}

// said returns what the child has printed so far; nothing once it is stopped.
func (c *child) said() string {
	text, _ := io.ReadAll(io.NewSectionReader(c.output, 0, 1<<20))
	return string(text)
}

// awaitSaid returns when the child has printed text, or an error when ctx or
// the child has ended.
func (c *child) awaitSaid(ctx context.Context, text string) error {
	for !strings.Contains(c.said(), text) {
		if strings.Contains(c.said(), "error:") {
			return errors.New("it failed")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
	return nil
}

// stop kills the child and waits for its end.
func (c *child) stop() {
	if c.cmd.ProcessState != nil {
		return
	}
	_ = c.cmd.Process.Kill()
	if c.alive != nil {
		_ = c.alive.Close()
	}
	_ = c.cmd.Wait()
	_ = c.output.Close()
	_ = os.Remove(c.output.Name())
}
