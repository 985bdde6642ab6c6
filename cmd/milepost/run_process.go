package main

import (
	"errors"
	"os/exec"
	"syscall"
	"time"
)

// sweepAfter is how long processes that a command has left may take to end. In a container whose
// first process takes no care of the dead, they are seen that long.
const sweepAfter = time.Second

// jobProcess is the command that a lease is held for.
type jobProcess struct {
	*process
	takeBack func() // the terminal; nil: it was not lent
}

// startJob starts a command on the standard streams of this one. dir is to go if this process is killed.
func startJob(a *app, argv, env []string, dir string) (*jobProcess, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stdout, a.stderr
	group := newGroup(cmd)
	p := &jobProcess{takeBack: lendTerminal(cmd)}
	var err error
	if p.process, err = launch(cmd, group, dir); err != nil {
		p.returnTerminal()
		return nil, err
	}
	return p, nil
}

// sweep ends what the command has left running: it would go on without the lease.
func (p *jobProcess) sweep() {
	p.returnTerminal()
	p.close()
	if !p.alive() {
		return
	}
	p.terminate()
	for end := time.Now().Add(sweepAfter); p.alive(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			p.kill()
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
