package child

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/milepost-dev/milepost/internal/human"
)

// sayStoppedAfter is how long a command may be stopped without a word.
const sayStoppedAfter = time.Second

// stops lets this process and its command stop together and go on together.
type stops struct {
	p       *process
	name    string       // the command's
	confirm func() error // reports whether the command may go on
	notice  func(string) // tells people; it may block

	signals   chan os.Signal // SIGTSTP and SIGCONT of this process; nil: they are not caught
	release   func()
	others    bool             // stop the rest of this process's group as well
	late      <-chan time.Time // then people are told that the command is stopped
	by        string           // what stopped the command
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
	if sig == syscall.SIGCONT {
		s.resume()
		return
	}
	s.by = "SIGTSTP"
	s.others = false
	s.p.freeze()
}

// noticed handles an event.
func (s *stops) noticed(e event) {
	switch e.what {
	case stopped:
		s.by = e.text
		if s.p.onTerminal() && e.signal != syscall.SIGSTOP {
			s.others = true
			s.p.freeze() // what has left the command's group goes on
			return
		}
		s.late = time.After(sayStoppedAfter)
	case frozen:
		s.p.returnTerminal()
		if s.others {
			suspendOthers(s.signals)
		}
		suspend()
		if !s.others {
			s.resume() // nothing stopped the command except this process
			return
		}
		s.late = time.After(sayStoppedAfter) // unless SIGCONT says that a shell continued this process
	case continued: // by someone else
		s.late = nil
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
	if err == nil {
		s.p.lendTerminal()
		s.p.thaw()
	}
}

// tell says once that the command is stopped and this process is not.
func (s *stops) tell() {
	if s.late = nil; s.said {
		return
	}
	s.said = true
	go s.notice(fmt.Sprintf("%s is stopped by %s, and its lease is still renewed. To let it go on: kill -CONT -%d",
		human.Line(s.name), s.by, s.p.pid))
}
