package child

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Attached is a command that runs on this process's own standard streams, and on its terminal.
type Attached struct {
	*process
	host  *host
	o     Options
	stops *stops
}

// Options are the options of [Start]. All but Left are required.
type Options struct {
	Dir     string        // removed when the command has ended, and if this process is killed
	Grace   time.Duration // how long after SIGTERM the command gets SIGKILL
	Confirm func() error  // asked before a command goes on that was stopped together with this process
	Notice  func(string)  // tells people what the command does; it may block

	// Left is how long from now the command may go on whatever becomes of this process. Nil: forever.
	Left func() time.Duration
}

// noneIs reports whether no time is left.
func noneIs(left func() time.Duration) bool { return left != nil && left() <= 0 }

// Start starts cmd, whose arguments, environment and standard streams are set. If its standard
// input is a terminal, the command gets the terminal until it ends. The caller must call
// [Attached.Wait].
func Start(cmd *exec.Cmd, o Options) (*Attached, error) {
	h, err := newHost(o.Dir)
	if err != nil {
		return nil, err
	}
	a := &Attached{host: h, o: o, stops: newStops(filepath.Base(cmd.Path), o.Confirm, o.Notice)}
	if a.process, err = h.launch(cmd, true); err != nil {
		a.stops.release()
		h.close()
		return nil, err
	}
	a.stops.p = a.process
	a.vouch(o.Left)
	return a, nil
}

// End says how a command ended, and why it was told to end. At most one of Signal, Lost and Yielded
// is set.
type End struct {
	Err     error     // how it ended; nil: it exited with 0, and left nothing that had to be ended
	Signal  os.Signal // the signal that told it to end
	Lost    error     // the cause of the context whose end told it to end
	Yielded bool      // it was told to end because another run asked
	Told    time.Time // when Signal came; zero: it is not set
}

// Wait waits until the command has ended, and all processes that it left running. It forwards
// signals to the command and its group.
//
// Wait sends the command SIGTERM when ctx ends or when yield is closed. A signal that asks to stop
// is forwarded. The command and its descendants get SIGKILL after the grace; but after SIGINT the
// command may go on, as under a shell. The first reason counts, except that the end of ctx replaces
// any other. What a command left running is also ended if the command failed. The command and its
// descendants get SIGKILL at once if ctx ends and no time is Left; on Linux they get it as soon as no
// time is left, even if this process is stopped.
func (a *Attached) Wait(ctx context.Context, yield <-chan struct{}, signals <-chan os.Signal) End {
	defer a.host.close()
	defer a.close()
	defer a.stops.release()
	var end End
	var kill <-chan time.Time
	told := func() bool { return end.Signal != nil || end.Lost != nil || end.Yielded }
	hasEnded := false
	finish := func() {
		a.stops.cancel()
		a.terminate()
		if kill == nil {
			kill = time.After(a.o.Grace)
		}
	}
	over := ctx.Done()
	for {
		select {
		case s := <-signals:
			a.forward(s)
			if Stops(s) && !told() {
				end.Signal, end.Told = s, time.Now()
				if hasEnded || s != os.Interrupt { // some commands go on at SIGINT, as a shell does
					finish()
				}
			}
		case <-over:
			over = nil
			end = End{Err: end.Err, Lost: context.Cause(ctx)}
			kill = nil
			finish()
			if noneIs(a.o.Left) { // another run may be at work already
				a.kill()
			}
		case <-yield:
			yield = nil
			if !told() {
				end.Yielded = true
			}
			finish()
		case <-kill:
			kill = make(chan time.Time) // once
			a.kill()
		case e, more := <-a.events:
			if !more {
				a.returnTerminal()
				return end
			}
			switch e.what {
			case ended:
				if hasEnded = true; e.err != nil {
					end.Err = e.err
				}
				a.returnTerminal()
				if !told() && a.interrupted(end.Err) {
					end.Signal = os.Interrupt
				}
				if told() || end.Err != nil {
					finish()
				}
			case left:
				if !told() && end.Err == nil {
					go a.o.Notice(leftText(a.stops.name, e.text))
				}
			default:
				a.stops.noticed(e)
			}
		case s := <-a.stops.signals:
			a.stops.signalled(s)
		case err := <-a.stops.confirmed:
			a.stops.settled(err)
		case <-a.stops.late:
			a.stops.wasNotStopped()
		}
	}
}

// interrupted reports whether a SIGINT of the terminal ended the command. This process does not get
// that signal while the terminal is lent.
func (a *Attached) interrupted(err error) bool {
	exit, ok := errors.AsType[*ExitError](err)
	return ok && a.onTerminal() && (exit.Signal == syscall.SIGINT || exit.Code == 128+int(syscall.SIGINT))
}
