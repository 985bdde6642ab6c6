package main

import (
	"errors"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// sweepAfter is how long processes that a command has left may take to end. In a container whose
// first process takes no care of the dead, they are seen that long.
const sweepAfter = time.Second

// jobProcess is a command of the user's that runs, with the processes that it starts.
type jobProcess struct {
	group    *group
	keeper   *exec.Cmd  // ends the group when this process is killed; nil: there is none
	done     chan error // gets how the command ended
	takeBack func()     // the terminal; nil: it was not lent
}

// startJob starts a command on the standard streams of this one. dir is to go if this process is killed.
func startJob(a *app, argv, env []string, dir string) (*jobProcess, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stdout, a.stderr
	cmd.WaitDelay = pipeDelay
	p := &jobProcess{group: newGroup(cmd), done: make(chan error, 1)}
	p.takeBack = lendTerminal(cmd)
	started := make(chan error, 1)
	go func() {
		// On Linux the child dies with the thread that started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			if err = p.group.started(); err != nil {
				p.group.kill()
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
		p.returnTerminal()
		p.group.close()
		return nil, err
	}
	p.keeper = startKeeper(p.group, dir)
	return p, nil
}

// sweep ends what the command has left running: it would go on without the lease.
func (p *jobProcess) sweep() {
	defer p.group.close()
	p.returnTerminal()
	if p.keeper != nil {
		_ = p.keeper.Process.Kill()
		_ = p.keeper.Wait()
	}
	if !p.group.alive() {
		return
	}
	p.group.terminate()
	for end := time.Now().Add(sweepAfter); p.group.alive(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			p.group.kill()
			return
		}
	}
}

func (p *jobProcess) returnTerminal() {
	if p.takeBack != nil {
		p.takeBack()
	}
}

// interrupted reports whether the command ended by a SIGINT of the terminal's, which this process does not get
// while the terminal is lent.
func (p *jobProcess) interrupted(err error) bool {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || p.takeBack == nil {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && (status.Signaled() && status.Signal() == syscall.SIGINT || status.ExitStatus() == kindNamed("interrupted").exit)
}
