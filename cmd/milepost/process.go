package main

import (
	"errors"
	"os/exec"
	"runtime"
	"time"
)

// pipeDelay is how long to wait for what a program's children still write
// when it has ended itself.
const pipeDelay = 2 * time.Second

// process is a program of the user's that runs, in a group with the processes that it starts. They die
// with this one where the system can see to it.
type process struct {
	*group
	keeper *exec.Cmd  // ends the group when this process is killed; nil: there is none
	done   chan error // gets how the program ended
}

// launch starts cmd, whose group is newGroup's. dir is to go if this process is killed; empty: none.
func launch(cmd *exec.Cmd, group *group, dir string) (*process, error) {
	cmd.WaitDelay = pipeDelay
	p := &process{group: group, done: make(chan error, 1)}
	started := make(chan error, 1)
	go func() {
		// On Linux the child dies with the thread that started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			if err = group.started(); err != nil {
				group.kill()
				_ = cmd.Wait()
			}
		}
		started <- err
		if err != nil {
			return
		}
		err = cmd.Wait()
		if errors.Is(err, exec.ErrWaitDelay) {
			err = nil // it exited with 0, and left someone behind who holds its output
		}
		p.done <- err
	}()
	if err := <-started; err != nil {
		group.close()
		return nil, err
	}
	p.keeper = startKeeper(group, dir)
	return p, nil
}

// close lets go of what the program has left.
func (p *process) close() {
	if p.keeper != nil {
		_ = p.keeper.Process.Kill()
		_ = p.keeper.Wait()
	}
	p.group.close()
}
