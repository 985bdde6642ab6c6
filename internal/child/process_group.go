//go:build !linux

package child

import (
	"errors"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a running command of the user, in a group with the processes that it starts. They die
// with this process where the system allows it.
type process struct {
	*group
	events   chan event // closed when no process of the group is left
	keeper   *exec.Cmd  // ends the group when this process is killed; nil: there is none
	takeBack func()     // takes the terminal back; nil: it was not lent
}

// host is where commands run, one after another: this process.
type host struct{ dir string }

// newHost returns a host. When this process is killed while a command runs, dir is removed; "" names
// no directory.
func newHost(dir string) (*host, error) { return &host{dir}, nil }

func (h *host) close() {}

// launch starts cmd. If onTerminal is set and the command's standard input is a terminal, the command
// gets it.
func (h *host) launch(cmd *exec.Cmd, onTerminal bool) (*process, error) {
	cmd.WaitDelay = pipeDelay
	p := &process{group: newGroup(cmd), events: make(chan event, 4)}
	if onTerminal {
		p.takeBack = lendTerminal(cmd)
	}
	started := make(chan error, 1)
	known := make(chan struct{}) // closed when the keeper is known
	go func() {
		// The child may die with the thread that started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			if err = p.started(); err != nil {
				p.group.kill()
				_ = cmd.Wait()
			}
		}
		started <- err
		if err != nil {
			return
		}
		defer close(p.events)
		err = cmd.Wait()
		if errors.Is(err, exec.ErrWaitDelay) {
			err = nil // the program exited with 0; a process that it left running holds its output
		}
		<-known
		p.endKeeper() // it belongs to the group
		p.events <- event{what: ended, err: exitError(err)}
		p.awaitRest()
	}()
	if err := <-started; err != nil {
		p.returnTerminal()
		p.group.close()
		return nil, err
	}
	p.keeper = startKeeper(p.group, h.dir)
	close(known)
	return p, nil
}

// awaitRest waits until the group has no process.
func (p *process) awaitRest() {
	named := time.Now().Add(nameAfter)
	for p.alive() {
		if !named.IsZero() && time.Now().After(named) {
			named = time.Time{}
			p.events <- event{what: left, text: "processes of its group"}
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (p *process) endKeeper() {
	if p.keeper != nil {
		_ = p.keeper.Process.Kill()
		_ = p.keeper.Wait()
	}
}

// close releases the group. On Windows it ends what is left of it.
func (p *process) close() { p.group.close() }

func (p *process) returnTerminal() {
	if p.takeBack != nil {
		p.takeBack()
	}
}

// onTerminal reports whether the command got the terminal.
func (p *process) onTerminal() bool { return p.takeBack != nil }

// exitError returns how a command ended as an [*ExitError], and any other error as it is.
func exitError(err error) error {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return err
	}
	e := &ExitError{Code: exit.ExitCode(), text: err.Error()}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		e.Signal = status.Signal()
	}
	return e
}

// vouch does nothing: the command dies with this process, but no process watches over one that is
// stopped.
func (p *process) vouch(func() time.Duration) {}
