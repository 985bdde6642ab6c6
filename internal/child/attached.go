package child

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// sweepAfter is how long processes that a command left running may take to end. In a container
// whose first process does not reap dead processes, a dead process stays visible that long.
const sweepAfter = time.Second

// Attached is a command that runs on this process's own standard streams, and on its terminal.
type Attached struct {
	*process
	takeBack func() // takes the terminal back; nil: it was not lent
}

// Start starts cmd, whose arguments, environment and standard streams are set. If its standard
// input is a terminal, the command gets the terminal until it ends. dir is removed if this process
// is killed. The caller must call [Attached.Wait].
func Start(cmd *exec.Cmd, dir string) (*Attached, error) {
	group := newGroup(cmd)
	a := &Attached{takeBack: lendTerminal(cmd)}
	var err error
	if a.process, err = launch(cmd, group, dir); err != nil {
		a.returnTerminal()
		return nil, err
	}
	return a, nil
}

// End says how a command ended, and why it was told to end. At most one of Signal, Lost and Yielded
// is set.
type End struct {
	Err     error     // how it ended; nil: it exited with 0
	Signal  os.Signal // the signal that told it to end
	Lost    error     // the cause of the context whose end told it to end
	Yielded bool      // it was told to end because another run asked
}

// Wait waits until the command has ended, and then ends what it left running. It forwards signals
// to the command and its children.
//
// Wait sends the command SIGTERM when ctx ends or when yield is closed. A signal that asks to stop
// is forwarded. The command gets SIGKILL after grace; but after SIGINT it may go on, as under a
// shell. The first reason counts, except that the end of ctx replaces any other.
func (a *Attached) Wait(ctx context.Context, yield <-chan struct{}, signals <-chan os.Signal, grace time.Duration) End {
	var end End
	var kill <-chan time.Time
	told := func() bool { return end.Signal != nil || end.Lost != nil || end.Yielded }
	over := ctx.Done()
	for {
		select {
		case s := <-signals:
			a.forward(s)
			if Stops(s) && !told() {
				end.Signal = s
				if s != os.Interrupt { // some commands go on at SIGINT, as a shell does
					kill = time.After(grace)
				}
			}
		case <-over:
			over = nil
			end = End{Lost: context.Cause(ctx)}
			kill = time.After(grace)
			a.terminate()
		case <-yield:
			yield = nil
			if !told() {
				end.Yielded = true
				kill = time.After(grace)
			}
			a.terminate()
		case <-kill:
			kill = nil
			a.kill()
		case end.Err = <-a.done:
			a.sweep()
			if !told() && a.interrupted(end.Err) {
				end.Signal = os.Interrupt
			}
			return end
		}
	}
}

// sweep ends what the command left running: those processes would go on without the lease.
func (a *Attached) sweep() {
	a.returnTerminal()
	a.close()
	if !a.alive() {
		return
	}
	a.terminate()
	for end := time.Now().Add(sweepAfter); a.alive(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			a.kill()
			return
		}
	}
}

func (a *Attached) returnTerminal() {
	if a.takeBack != nil {
		a.takeBack()
	}
}

// interrupted reports whether a SIGINT of the terminal ended the command. This process does not get
// that signal while the terminal is lent.
func (a *Attached) interrupted(err error) bool {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || a.takeBack == nil {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && (status.Signaled() && status.Signal() == syscall.SIGINT || status.ExitStatus() == 128+int(syscall.SIGINT))
}
