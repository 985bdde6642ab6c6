package child

import (
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// action is what happens at a signal, as the kernel keeps it. Its zero value is the default action.
type action [8]uint64

// isIgnored reports whether the signal is ignored.
func (a *action) isIgnored() bool { return a[0] == 1 }

// setAction replaces the action of a signal and returns the one before. Nil replaces nothing.
// Package os/signal does not know of it: once it has caught SIGTSTP, it never restores the default
// action.
func setAction(s syscall.Signal, to *action) (before action) {
	const sizeOfSet = 8
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s),
		uintptr(unsafe.Pointer(to)), uintptr(unsafe.Pointer(&before)), sizeOfSet, 0, 0)
	return before
}

// ignored reports whether a signal is ignored now.
func ignored(s syscall.Signal) bool {
	is := setAction(s, nil)
	return is.isIgnored()
}

// catching is the state of catchStops.
var catching struct {
	mu               sync.Mutex
	users            int
	original, caught *action // of SIGTSTP; nil: not known yet
}

// catchStops returns a channel that gets SIGTSTP and SIGCONT of this process until release. It
// returns nil if this process's parent has let it ignore SIGTSTP.
func catchStops() (signals chan os.Signal, release func()) {
	c := &catching
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.original == nil {
		now := setAction(syscall.SIGTSTP, nil)
		c.original = &now
	}
	if c.original.isIgnored() {
		return nil, func() {}
	}
	signals = make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTSTP, syscall.SIGCONT)
	switch {
	case c.caught == nil:
		now := setAction(syscall.SIGTSTP, nil)
		c.caught = &now
	case c.users == 0:
		setAction(syscall.SIGTSTP, c.caught)
	}
	c.users++
	return signals, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.users--; c.users == 0 {
			setAction(syscall.SIGTSTP, c.original)
		}
		signal.Stop(signals)
	}
}

// suspend stops this process by SIGTSTP's default action, and returns when the process is
// continued. Where no shell could continue it, the kernel drops the signal, and suspend returns at
// once.
func suspend() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	caught := setAction(syscall.SIGTSTP, &action{})
	// This thread gets the signal before the call returns.
	_ = unix.Tgkill(os.Getpid(), unix.Gettid(), syscall.SIGTSTP)
	setAction(syscall.SIGTSTP, &caught)
}

// suspendOthers sends SIGTSTP to the other processes of this process's group, as the terminal would
// have done if the group had had it. signals get the SIGTSTP that comes to this process as well.
func suspendOthers(signals <-chan os.Signal) {
	if syscall.Kill(0, syscall.SIGTSTP) != nil {
		return
	}
	for missing := time.After(time.Second); ; {
		select {
		case s := <-signals:
			if s == syscall.SIGTSTP {
				return
			}
		case <-missing: // the signal is blocked
			return
		}
	}
}
