package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/milepost-dev/milepost/checkpoint"
)

const (
	// lastWords is how long what a process sent may take to arrive after the process has ended.
	lastWords = time.Second

	// readWithin is how long a process may leave its replies unread: other processes wait for it.
	readWithin = 5 * time.Second
)

// Shared is the session of milepost run. The processes of its command share the session over a Unix
// socket.
type Shared struct {
	agent    *Agent
	session  *session
	dir      string // has the socket and the checkpoint's file
	remove   func() // removes dir
	listener net.Listener
	served   chan struct{} // closed when the session's queue has been served
	serving  sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]bool
	over bool
}

// Dir is a directory for the socket of [Share], which only this user can read.
type Dir struct {
	path string

	// Remove removes the directory. It may be called more than once.
	Remove func()
}

// NewDir makes a directory.
func NewDir() (*Dir, error) {
	sweepLeftovers()
	path, err := privateDir()
	if err != nil {
		return nil, err
	}
	remove, err := inUseFrom(runtime.GOOS, path)
	if err != nil {
		return nil, err
	}
	return &Dir{path, sync.OnceFunc(remove)}, nil
}

// Share lets the processes of a command share a session of st. options are the options that the
// session was opened with, and cancel ends its context. The caller keeps st. If Share returns an
// error, the caller keeps the session and dir too; otherwise [Shared.Close] closes and removes them.
// Unless keepState is set, a mark without a state is refused until a process has read or replaced the
// state that the session resumed.
func Share(o Options, st *Store, dir *Dir, opened *checkpoint.Session[json.RawMessage], within time.Duration, cancel context.CancelCauseFunc, keepState bool) (*Shared, error) {
	own := *st
	own.Close = func() {}
	s := &Shared{
		agent: New(o), session: newSession(1, opened, within, cancel), dir: dir.path, remove: dir.Remove,
		served: make(chan struct{}), open: map[net.Conn]bool{},
	}
	s.session.unread = !keepState && s.session.state != nil
	s.agent.open[Place{Create: mayCreate}] = &own
	if err := os.WriteFile(s.checkpointFile(), append(s.checkpoint(), '\n'), 0o600); err != nil {
		return nil, fmt.Errorf("write the checkpoint for the command: %w", err)
	}
	var err error
	if s.listener, err = net.Listen("unix", s.socket()); err != nil {
		return nil, fmt.Errorf("listen for the command's progress: %w", err)
	}
	go func() { defer close(s.served); s.session.serve() }()
	s.serving.Go(s.accept)
	return s, nil
}

// Dir returns the directory of the socket. Close removes it.
func (s *Shared) Dir() string { return s.dir }

func (s *Shared) socket() string { return filepath.Join(s.dir, "socket") }

func (s *Shared) checkpointFile() string { return filepath.Join(s.dir, "checkpoint.json") }

// Env returns the variables that tell the command about its session. MILEPOST_CURSOR is missing if
// [Shared.CursorInFileOnly].
func (s *Shared) Env() []string {
	env := []string{
		"MILEPOST_NAME=" + s.session.Name(),
		fmt.Sprintf("MILEPOST_EPOCH=%d", s.session.Epoch()),
		"MILEPOST_RUN_ID=" + s.session.Holder().RunID,
		"MILEPOST_SOCKET=" + s.socket(),
		"MILEPOST_CHECKPOINT=" + s.checkpointFile(),
	}
	if !s.CursorInFileOnly() {
		env = append(env, "MILEPOST_CURSOR="+s.session.Cursor())
	}
	return env
}

// mostInVariable is the longest cursor, in bytes, that is passed in a variable. Linux allows 128 KiB
// for one variable, and Windows 32 Ki characters.
const mostInVariable = 32_000

// CursorInFileOnly reports whether the cursor does not fit in a variable: it is too long, or has a NUL
// byte. The checkpoint's file has it.
func (s *Shared) CursorInFileOnly() bool {
	cursor := s.session.Cursor()
	return len(cursor) > mostInVariable || strings.ContainsRune(cursor, 0)
}

// checkpoint returns what the session resumes from, as JSON.
func (s *Shared) checkpoint() []byte {
	if cp := s.session.Resumed(); cp != nil {
		return checkpointObject(cp, true)
	}
	return toJSON(s.session.standing())
}

// Close takes in what the processes of the command have sent, and then closes the session with err
// as the job's outcome. The processes must have ended.
func (s *Shared) Close(err error) error {
	s.mu.Lock()
	s.over = true
	for conn := range s.open {
		s.hurry(conn)
	}
	s.mu.Unlock()
	_ = s.listener.Close()
	s.serving.Wait()
	s.agent.Close()
	s.remove()
	closed := make(chan error, 1)
	s.session.queue.push(task{do: func() { closed <- s.session.close(context.Background(), err) }}, 0)
	closeErr := <-closed
	<-s.served
	return closeErr
}

func (s *Shared) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.open[conn] = true
		if s.over {
			s.hurry(conn)
		}
		s.mu.Unlock()
		s.serving.Go(func() { s.serve(conn) })
	}
}

func (s *Shared) serve(conn net.Conn) {
	c := newConversation(s.agent, s.session, impatient{conn})
	_ = c.Read(conn) // the process is gone
	_ = c.End()      // the conversation has opened nothing
	s.mu.Lock()
	delete(s.open, conn)
	s.mu.Unlock()
	_ = conn.Close()
}

func (s *Shared) hurry(conn net.Conn) { _ = conn.SetReadDeadline(time.Now().Add(lastWords)) }

// impatient writes to a process, and gives it up if it does not read.
type impatient struct{ net.Conn }

func (w impatient) Write(line []byte) (int, error) {
	if err := w.SetWriteDeadline(time.Now().Add(readWithin)); err != nil {
		return 0, err
	}
	return w.Conn.Write(line)
}

// privateDir makes a directory that only this user can read. Its path is short enough for a socket
// in it.
func privateDir() (string, error) {
	dir, err := os.MkdirTemp("", dirPrefix+"*")
	if err == nil && len(dir)+len("/socket") > maxSocketPath() {
		_ = os.Remove(dir)
		if runtime.GOOS == "windows" {
			return "", fmt.Errorf("make a directory for the command's socket: the path %s is too long for one: set TMP to a shorter directory", dir)
		}
		dir, err = os.MkdirTemp("/tmp", dirPrefix+"*")
	}
	if err != nil {
		return "", fmt.Errorf("make a directory for the command's socket: %w\nset TMPDIR to a directory that can be written", err)
	}
	return dir, nil
}

// maxSocketPath is the longest path of a socket, in bytes. Every Unix allows 103; macOS allows the
// fewest.
func maxSocketPath() int {
	if runtime.GOOS == "windows" {
		return 107
	}
	return 103
}
