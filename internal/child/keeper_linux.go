package child

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/milepost-dev/milepost/internal/human"
)

// keeperName is the first argument of a keeper, and the name that ps and pkill know it by.
const keeperName = "milepost-keeper"

// How the keeper counts rounds in which it found no process that it had not killed before. At
// mostFutile it gives up.
const (
	mostFutile   = 1000
	killedBefore = 1  // the processes take long to end
	killedNone   = 10 // the processes are another user's
)

// mostNamed is how many processes are named to people.
const mostNamed = 5

// order is what a process asks of its keeper. A keeper runs one command after another.
type order struct {
	Start  *startOrder    `json:",omitempty"`
	Do     deed           `json:",omitempty"`
	Signal syscall.Signal `json:",omitempty"`
	Left   time.Duration  `json:",omitempty"` // how long from now the command may go on without another word
}

// startOrder says what to start. Three files come with it: the command's standard streams.
type startOrder struct {
	Path      string
	Args, Env []string
	Terminal  bool // the command gets the terminal, which is its standard input
}

type deed string

const (
	doSignal deed = "signal" // send Signal to the command and its group; once it has ended, to all that is left
	doKill   deed = "kill"   // end all descendants
	doFreeze deed = "freeze" // stop all descendants
	doThaw   deed = "thaw"   // let all descendants go on
)

// report is what a keeper reports. One field is set.
type report struct {
	Started   int                 `json:",omitempty"` // the command's process id
	Failed    syscall.Errno       `json:",omitempty"` // the command could not be started
	Ended     *syscall.WaitStatus `json:",omitempty"` // how the command ended
	Left      string              `json:",omitempty"` // names what the command left running
	Gone      bool                `json:",omitempty"` // no descendant is left
	Outside   string              `json:",omitempty"` // names what could not be ended: the keeper gives up
	Stopped   syscall.Signal      `json:",omitempty"` // what stopped the command
	Continued bool                `json:",omitempty"`
	Frozen    bool                `json:",omitempty"`
}

// init makes this program a keeper if it was started as one. A keeper must not begin what the
// program's main function, or a test, would begin.
func init() {
	if len(os.Args) == 3 && os.Args[0] == keeperName {
		syscall.Exit(keep(os.Args[1], os.Args[2])) // os.Exit would wait for the race detector
	}
}

// keeper is the parent of a command. It adopts and ends all descendants of the command.
type keeper struct {
	control  *rightsReader
	orders   <-chan order // closed when this process's parent is gone
	reports  *json.Encoder
	children <-chan childState // closed when there is no child, and so no descendant; nil: no command was started
	command  int               // the command's process id
	running  bool              // the command has not ended
	frozen   bool              // all descendants are stopped, as the parent asked
	stopped  bool              // someone else has stopped the command, and the parent knows it
	ending   bool
	over     <-chan time.Time // when the command may go on no longer; nil: the parent has not said
	killed   map[int]bool     // the descendants that were sent SIGKILL
	futile   int
}

// childState is how a child has ended, stopped or continued.
type childState struct {
	pid    int
	status syscall.WaitStatus
}

// keep runs a keeper, whose parent is at the other end of the socket fd, and returns its exit code.
// It removes dir at its end, unless dir is "". It must run on the thread that lives as long as the
// process: a command dies with that thread.
func keep(fd, dir string) int {
	socket, err := strconv.Atoi(fd)
	if err != nil {
		return 2
	}
	unix.CloseOnExec(socket)
	_ = os.WriteFile("/proc/self/comm", []byte(keeperName), 0)
	surviveSignals()
	if unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != nil {
		return 2
	}
	orders := make(chan order)
	k := keeper{
		control: &rightsReader{socket: socket, files: make(chan int, 3)}, orders: orders,
		reports: json.NewEncoder(os.NewFile(uintptr(socket), "parent")),
	}
	go func() {
		defer close(orders)
		for in := json.NewDecoder(k.control); ; {
			var o order
			if in.Decode(&o) != nil {
				return
			}
			orders <- o
		}
	}()
	outside := k.run()
	if dir != "" {
		_ = os.RemoveAll(dir)
	}
	if outside != "" {
		k.report(report{Outside: outside})
		return 1
	}
	return 0
}

// rightsReader reads a socket, and keeps the files that come with what it reads.
type rightsReader struct {
	socket int
	files  chan int
}

func (r *rightsReader) Read(p []byte) (int, error) {
	oob := make([]byte, unix.CmsgSpace(3*4))
	for {
		n, oobn, _, _, err := unix.Recvmsg(r.socket, p, oob, unix.MSG_CMSG_CLOEXEC)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		}
		messages, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil {
			return n, err
		}
		for _, m := range messages {
			fds, err := unix.ParseUnixRights(&m)
			if err != nil {
				return n, err
			}
			for _, fd := range fds {
				r.files <- fd
			}
		}
		return n, nil
	}
}

// awaitChildren reports each change of a child's state until there is no child.
func awaitChildren(tell func(childState)) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WUNTRACED|syscall.WCONTINUED, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return
		default:
			tell(childState{pid, status})
		}
	}
}

// surviveSignals lets the keeper outlive signals that someone sends to many processes at once. What
// is ignored stays ignored, since the command inherits that.
func surviveSignals() {
	caught := make(chan os.Signal, 1)
	for _, s := range []syscall.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2,
		syscall.SIGALRM, syscall.SIGPIPE, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU,
	} {
		if !ignored(s) {
			signal.Notify(caught, s)
		}
	}
}

// start starts a command and reports it.
func (k *keeper) start(o *startOrder) {
	streams := make([]uintptr, 3)
	for i := range streams {
		streams[i] = uintptr(<-k.control.files)
	}
	pid, err := syscall.ForkExec(o.Path, o.Args, &syscall.ProcAttr{
		Env: o.Env, Files: streams,
		Sys: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Foreground: o.Terminal, Ctty: int(streams[0])},
	})
	for _, fd := range streams {
		_ = syscall.Close(int(fd))
	}
	if err != nil {
		errno := syscall.EINVAL
		_ = errors.As(err, &errno)
		k.report(report{Failed: errno})
		return
	}
	k.command, k.running, k.frozen, k.stopped = pid, true, false, false
	k.report(report{Started: pid})
	children := make(chan childState)
	k.children = children
	go func() {
		defer close(children)
		awaitChildren(func(c childState) { children <- c })
	}()
}

// report tells the parent. If the parent is gone, the end of the orders says so.
func (k *keeper) report(r report) { _ = k.reports.Encode(r) }

// run serves until the parent is gone and there is no descendant. It returns the names of
// descendants that it gave up.
func (k *keeper) run() (outside string) {
	var named, again <-chan time.Time
	for k.orders != nil || k.children != nil {
		select {
		case o, open := <-k.orders:
			if !open {
				k.orders = nil
				k.ending = true
			} else {
				k.obey(o)
			}
		case c, open := <-k.children:
			switch {
			case !open:
				k.children, k.ending, named = nil, k.orders == nil, nil
				k.report(report{Gone: true})
			case k.noticed(c):
				named = time.After(nameAfter)
			}
		case <-named:
			if living := descendants(); len(living) > 0 {
				k.report(report{Left: names(living)})
			}
		case <-k.over: // the parent is stopped, or its command outlasts the grace
			k.ending = k.ending || !k.frozen
		case <-again:
		}
		if again = nil; k.ending && k.children != nil {
			living := descendants()
			if k.kill(living); k.futile > mostFutile {
				return cmp.Or(names(living), "processes that this user cannot see")
			}
			again = time.After(10 * time.Millisecond)
		}
	}
	return ""
}

// noticed handles a change of a child's state, and reports whether the command has ended.
func (k *keeper) noticed(c childState) (ended bool) {
	switch {
	case c.pid != k.command || !k.running:
	case c.status.Exited() || c.status.Signaled():
		k.running = false
		k.report(report{Ended: &c.status})
		return true
	case c.status.Stopped():
		if !k.frozen { // else this keeper has stopped it
			k.stopped = true
			k.report(report{Stopped: c.status.StopSignal()})
		}
	case k.frozen && parentIsStopped(): // someone else continued the command: no one would renew its lease
		stopAll(descendants())
	case c.status.Continued() && k.stopped: // else this keeper has continued it
		k.stopped = false
		k.report(report{Continued: true})
	}
	return false
}

// parentIsStopped reports whether this process's parent is stopped.
func parentIsStopped() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", os.Getppid()))
	return err == nil && strings.HasPrefix(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " T")
}

func (k *keeper) obey(o order) {
	if k.children == nil && o.Start == nil {
		return // the command that it is about has ended
	}
	if o.Left > 0 {
		k.over = time.After(o.Left)
		return
	}
	switch o.Do {
	case "":
		k.over, k.killed, k.futile = nil, map[int]bool{}, 0
		k.start(o.Start)
	case doSignal:
		k.signal(o.Signal)
		if Stops(o.Signal) { // a stopped process gets it only when it goes on
			k.frozen = false
			k.signal(syscall.SIGCONT)
		}
	case doKill:
		k.ending = true
	case doFreeze:
		k.frozen = true
		stopAll(descendants())
		k.report(report{Frozen: true})
	case doThaw:
		k.frozen, k.stopped = false, false
		for _, d := range descendants() {
			_ = syscall.Kill(d.pid, syscall.SIGCONT)
		}
	}
}

// signal sends s to the command and its group, and if the command has ended, to all descendants.
func (k *keeper) signal(s syscall.Signal) {
	if k.running { // so no other process has its id
		_ = syscall.Kill(-k.command, s)
		return
	}
	for _, d := range descendants() {
		_ = syscall.Kill(d.pid, s)
	}
}

// kill kills the descendants. It stops them first, so that none starts another meanwhile.
func (k *keeper) kill(living []descendant) {
	before, killed := len(k.killed), 0
	for pid := range stopAll(living) {
		if syscall.Kill(pid, syscall.SIGKILL) == nil {
			k.killed[pid] = true
			killed++
		}
	}
	switch {
	case len(k.killed) > before:
		k.futile = 0
	case killed > 0:
		k.futile += killedBefore
	default:
		k.futile += killedNone
	}
}

// stopAll stops descendants, and those that they start meanwhile, until it finds no other. It
// returns the ids of all that it found.
func stopAll(living []descendant) map[int]bool {
	found := map[int]bool{}
	for more := true; more; living = descendants() {
		more = false
		for _, d := range living {
			if !found[d.pid] {
				found[d.pid], more = true, true
				_ = syscall.Kill(d.pid, syscall.SIGSTOP)
			}
		}
	}
	return found
}

// names returns text that names processes.
func names(all []descendant) string {
	var b strings.Builder
	for i, d := range all {
		switch {
		case i == mostNamed:
			fmt.Fprintf(&b, " and %d more", len(all)-i)
			return b.String()
		case i > 0:
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s (pid %d)", human.Line(d.name), d.pid)
	}
	return b.String()
}
