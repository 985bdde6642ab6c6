package child

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/milepost-dev/milepost/internal/human"
)

// lateAfter is how long a command is stopped before this process concludes that it was not stopped
// itself.
const lateAfter = time.Second

// stops lets this process and its command stop together and go on together.
type stops struct {
	p       *process
	name    string       // the command's
	confirm func() error // reports whether the command may go on
	notice  func(string) // tells people; it may block

	signals   chan os.Signal // SIGTSTP and SIGCONT of this process; nil: they are not caught
	release   func()
	freezing  bool             // this process stops when all processes of the command are stopped
	others    bool             // stop the rest of this process's group as well
	late      <-chan time.Time // if nothing else happens until then, this process was not stopped
	by        string           // what else than this process stopped the command; "": nothing
	said      bool
	confirmed chan error // gets what confirm returned; nil: confirm does not run
}

// newStops returns the stops of a command that is not started yet. The caller sets p when it is, and
// calls release when it has ended.
func newStops(name string, confirm func() error, notice func(string)) *stops {
	s := &stops{name: name, confirm: confirm, notice: notice}
	s.signals, s.release = catchStops()
	return s
}

// signalled handles a signal of the channel signals.
func (s *stops) signalled(sig os.Signal) {
	switch {
	case sig != syscall.SIGCONT:
		s.freeze(false)
	case s.freezing: // it came after the SIGTSTP
		s.freezing = false
		s.p.thaw()
	default:
		s.resume()
	}
}

// freeze stops all processes of the command, and then this process.
func (s *stops) freeze(others bool) {
	s.freezing, s.others = true, others
	s.p.freeze()
}

// cancel keeps this process from stopping: it must end the command.
func (s *stops) cancel() { s.freezing, s.late = false, nil }

// noticed handles an event.
func (s *stops) noticed(e event) {
	switch e.what {
	case stopped:
		s.by = e.text
		if s.p.onTerminal() && e.signal != syscall.SIGSTOP {
			s.freeze(true) // what has left the command's group goes on
			return
		}
		s.late = time.After(lateAfter)
	case frozen:
		if !s.freezing {
			return
		}
		s.freezing = false
		s.p.returnTerminal()
		if s.others {
			suspendOthers(s.signals)
		}
		suspend()
		s.late = time.After(lateAfter) // SIGCONT is here before, unless the kernel dropped the stop
	case continued: // by someone else
		if s.freezing {
			s.p.freeze()
			return
		}
		s.late, s.by = nil, ""
		s.p.lendTerminal()
		s.p.thaw()
	}
}

// resume lets the command go on when confirm says that it may.
func (s *stops) resume() {
	s.late = nil
	if s.confirmed != nil {
		return
	}
	s.confirmed = make(chan error, 1)
	go func(to chan<- error) { to <- s.confirm() }(s.confirmed)
}

// settled handles what confirm returned. If the command may not go on, something else ends it.
func (s *stops) settled(err error) {
	s.confirmed = nil
	if err == nil && !s.freezing {
		s.by = ""
		s.p.lendTerminal()
		s.p.thaw()
	}
}

// wasNotStopped is called when the command is stopped and this process was not. If this process has
// stopped the command, it lets the command go on. Otherwise it tells people, once.
func (s *stops) wasNotStopped() {
	s.late = nil
	if s.by == "" {
		s.resume()
		return
	}
	if s.said {
		return
	}
	s.said = true
	go s.notice(fmt.Sprintf("%s is stopped by %s, and its lease is still renewed. To let it go on: kill -CONT -%d",
		human.Line(s.name), s.by, s.p.pid))
}
