package child

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// host is where commands run, one after another: a keeper process.
type host struct {
	keeper  *exec.Cmd
	socket  *net.UnixConn // the other end is the keeper's
	reports *json.Decoder
}

// newHost starts a keeper. When the keeper ends, also because this process is killed, it removes
// dir; "" names no directory.
func newHost(dir string) (*host, error) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(ends[0]), "keeper"), os.NewFile(uintptr(ends[1]), "parent")
	conn, err := net.FileConn(ours)
	_ = ours.Close()
	if err != nil {
		_ = theirs.Close()
		return nil, err
	}
	inherited := inheritedFiles()
	h := &host{socket: conn.(*net.UnixConn), reports: json.NewDecoder(conn)}
	h.keeper = &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{keeperName, strconv.Itoa(3 + len(inherited)), dir},
		ExtraFiles:  append(inherited, theirs),
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	err = h.keeper.Start()
	for _, f := range h.keeper.ExtraFiles {
		_ = f.Close()
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("start the keeper process: %w", err)
	}
	return h, nil
}

// inheritedFiles returns copies of the files 3, 4, … that this process has inherited and that a
// command inherits in turn, up to the first number that is free.
func inheritedFiles() []*os.File {
	var files []*os.File
	for fd := uintptr(3); ; fd++ {
		flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			return files
		}
		another, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return files
		}
		files = append(files, os.NewFile(uintptr(another), "inherited"))
	}
}

// close ends the keeper, which ends the command that may run.
func (h *host) close() {
	_ = h.socket.Close()
	_ = h.keeper.Wait()
}

// process is a running command of the user, with its keeper.
type process struct {
	host     *host
	events   chan event // closed when no descendant of the command is left
	pid      int        // the command's
	streams  streams
	terminal *terminal // the command's standard input; nil: it is none, or the command does not get it
	lent     bool      // the command has the terminal
	quiet    func()    // ends what vouch began
}

// launch starts cmd. If onTerminal is set and the command's standard input is a terminal, the command
// gets it.
func (h *host) launch(cmd *exec.Cmd, onTerminal bool) (*process, error) {
	if cmd.Err != nil {
		return nil, cmd.Err
	}
	p := &process{host: h, events: make(chan event, 16), quiet: func() {}}
	if onTerminal {
		p.terminal = terminalOf(cmd)
	}
	p.lent = p.terminal.isOurs()
	if err := p.streams.open(cmd); err != nil {
		return nil, err
	}
	first, err := h.start(&startOrder{Path: cmd.Path, Args: cmd.Args, Env: cmd.Environ(), Terminal: p.lent}, p.streams.rights())
	p.streams.started()
	if first.Started == 0 {
		if err == nil {
			err = &os.PathError{Op: "fork/exec", Path: cmd.Path, Err: first.Failed}
		}
		_ = p.streams.wait()
		p.returnTerminal()
		return nil, err
	}
	p.pid = first.Started
	go p.listen()
	return p, nil
}

// start lets the keeper start a command, and returns what it reports first.
func (h *host) start(o *startOrder, rights []byte) (first report, err error) {
	line, err := json.Marshal(order{Start: o})
	if err != nil {
		return first, err
	}
	_, _, err = h.socket.WriteMsgUnix(line[:1], rights, nil)
	if err == nil {
		_, err = h.socket.Write(line[1:])
	}
	if err == nil {
		err = h.reports.Decode(&first)
	}
	if err != nil {
		return first, fmt.Errorf("the keeper process does not answer: %w", err)
	}
	return first, nil
}

// listen passes on what the keeper reports, until no descendant is left.
func (p *process) listen() {
	defer close(p.events)
	for over := false; ; {
		var r report
		if p.host.reports.Decode(&r) != nil {
			_ = syscall.Kill(-p.pid, syscall.SIGKILL)
			p.events <- event{what: ended, err: errors.New("the keeper process was killed: processes of the command may go on")}
			_ = p.streams.wait()
			return
		}
		switch {
		case r.Ended != nil:
			over = true
			p.events <- event{what: ended, err: exitError(*r.Ended)}
		case r.Left != "":
			p.events <- event{what: left, text: r.Left}
		case r.Stopped != 0:
			p.events <- event{what: stopped, signal: r.Stopped, text: unix.SignalName(r.Stopped)}
		case r.Continued:
			p.events <- event{what: continued}
		case r.Frozen:
			p.events <- event{what: frozen}
		case r.Outside != "":
			p.events <- event{what: ended, err: &OutsideError{r.Outside}}
			return
		case r.Gone:
			if err := p.streams.wait(); err != nil || !over {
				p.events <- event{what: ended, err: err}
			}
			return
		}
	}
}

// OutsideError says that processes of a command could not be ended: they are another user's.
type OutsideError struct{ Processes string }

func (e *OutsideError) Error() string {
	return "processes of the command could not be ended: " + e.Processes
}

// exitError returns how a command ended.
func exitError(status syscall.WaitStatus) error {
	switch {
	case status.Signaled():
		text := "signal: " + status.Signal().String()
		if status.CoreDump() {
			text += " (core dumped)"
		}
		return &ExitError{Code: -1, Signal: status.Signal(), text: text}
	case status.ExitStatus() != 0:
		return &ExitError{Code: status.ExitStatus(), text: "exit status " + strconv.Itoa(status.ExitStatus())}
	}
	return nil
}

func (p *process) order(o order) {
	if line, err := json.Marshal(o); err == nil {
		_, _ = p.host.socket.Write(line) // if the keeper has ended, so have all others
	}
}

func (p *process) terminate() { p.forward(syscall.SIGTERM) }

func (p *process) kill() { p.order(order{Do: doKill}) }

func (p *process) forward(s os.Signal) { p.order(order{Do: doSignal, Signal: s.(syscall.Signal)}) }

func (p *process) freeze() { p.order(order{Do: doFreeze}) }

func (p *process) thaw() { p.order(order{Do: doThaw}) }

// vouch tells the keeper again and again how long the command may go on without another word. So a
// process that is stopped, and cannot notice that its lease is over, does not leave its command at
// work.
func (p *process) vouch(left func() time.Duration) {
	if left == nil {
		return
	}
	over, done := make(chan struct{}), make(chan struct{})
	p.quiet = func() { close(over); <-done }
	go func() {
		defer close(done)
		for {
			now := left()
			if now <= 0 {
				return
			}
			p.order(order{Left: now})
			select {
			case <-time.After(now / 10):
			case <-over:
				return
			}
		}
	}()
}

// close ends what belongs to the command in this process. All processes have ended.
func (p *process) close() { p.quiet() }

// lendTerminal gives the terminal to the command if this process has it.
func (p *process) lendTerminal() {
	if !p.lent && p.terminal.isOurs() {
		p.terminal.give(p.pid)
		p.lent = true
	}
}

func (p *process) returnTerminal() {
	if p.lent {
		p.terminal.give(unix.Getpgrp())
		p.lent = false
	}
}

// onTerminal reports whether the command's standard input is a terminal that it may get.
func (p *process) onTerminal() bool { return p.terminal != nil }

// streams are the standard streams of a command. What is not a file is copied through a pipe.
type streams struct {
	files  [3]*os.File // the command's ends
	ours   []*os.File  // this process's copies of them, to close once the command has them
	pipes  []*os.File  // this process's ends
	copies []func() error
	copied chan error
}

func (s *streams) open(cmd *exec.Cmd) error {
	for i, stream := range []any{cmd.Stdin, cmd.Stdout, cmd.Stderr} {
		if err := s.openOne(i, stream); err != nil {
			s.started()
			_ = s.wait()
			return err
		}
	}
	return nil
}

func (s *streams) openOne(i int, stream any) error {
	switch f, isFile := stream.(*os.File); {
	case isFile:
		s.files[i] = f
		return nil
	case stream == nil:
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		s.files[i], s.ours = null, append(s.ours, null)
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	if from, isReader := stream.(io.Reader); isReader && i == 0 {
		s.files[i], s.ours, s.pipes = r, append(s.ours, r), append(s.pipes, w)
		s.copies = append(s.copies, func() error {
			_, _ = io.Copy(w, from) // the command need not read it
			return w.Close()
		})
		return nil
	}
	s.files[i], s.ours, s.pipes = w, append(s.ours, w), append(s.pipes, r)
	to := stream.(io.Writer)
	s.copies = append(s.copies, func() error {
		_, err := io.Copy(to, r)
		return err
	})
	return nil
}

// rights returns the files as a message.
func (s *streams) rights() []byte {
	return unix.UnixRights(int(s.files[0].Fd()), int(s.files[1].Fd()), int(s.files[2].Fd()))
}

// started closes what only the command needs, and begins to copy.
func (s *streams) started() {
	for _, f := range s.ours {
		_ = f.Close()
	}
	s.copied = make(chan error, len(s.copies))
	for _, c := range s.copies {
		go func() { s.copied <- c() }()
	}
}

// wait waits until everything is copied, but not for long: a process outside may hold the output.
func (s *streams) wait() error {
	var failed error
	late := time.After(pipeDelay)
	for range s.copies {
		select {
		case err := <-s.copied:
			if failed == nil {
				failed = err
			}
		case <-late:
			failed = nil
		}
	}
	for _, f := range s.pipes {
		_ = f.Close()
	}
	return failed
}
