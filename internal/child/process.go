// Package child starts, watches and ends the processes of a user's command.
//
// A command runs in a process group (on Windows: a job object) together with the processes that it
// starts. [Command] runs one command for each batch of records; [Start] runs one command on this
// process's own standard streams. When this process dies, the group is killed where the system
// allows it.
//
// The package knows no lease, checkpoint or record. Its callers pass contexts and signals that say
// when a command must end.
package child

import (
	"errors"
	"os/exec"
	"runtime"
	"time"
)

// pipeDelay is how long to wait, after a program has ended, for the output that its children still
// write.
const pipeDelay = 2 * time.Second

// process is a running program of the user, in a group with the processes that it starts. They die
// with this process where the system allows it.
type process struct {
	*group
	keeper *exec.Cmd  // ends the group when this process is killed; nil: there is none
	done   chan error // gets how the program ended
}

// launch starts cmd in group. When this process is killed, dir is removed; "" names no directory.
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
			err = nil // the program exited with 0; a process that it left running holds its output
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

// close ends the keeper and releases the group. What the program left running continues on Unix,
// and is killed on Windows.
func (p *process) close() {
	if p.keeper != nil {
		_ = p.keeper.Process.Kill()
		_ = p.keeper.Wait()
	}
	p.group.close()
}
