package s3test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// child is a process that does not outlive this one. No goroutine belongs to
// it, so that tests which look for leaked ones find none of ours.
type child struct {
	cmd   *exec.Cmd
	alive *os.File // what this process holds open while the child may live
	dir   string   // the child's own, removed with it
}

func startChild(cmd *exec.Cmd, dir string) (*child, error) {
	output, err := os.Create(filepath.Join(dir, "output"))
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = output, output
	alive, err := startBound(cmd, dir)
	return &child{cmd: cmd, alive: alive, dir: dir}, errors.Join(err, output.Close())
}

// said returns what the child has printed so far; nothing once it is stopped.
func (c *child) said() string {
	output, err := os.Open(filepath.Join(c.dir, "output"))
	if err != nil {
		return ""
	}
	defer output.Close()
	text, _ := io.ReadAll(io.LimitReader(output, 1<<20))
	return string(text)
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
	_ = os.RemoveAll(c.dir)
}
