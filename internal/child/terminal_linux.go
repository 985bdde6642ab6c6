package child

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// terminal is the terminal that is a command's standard input.
type terminal struct{ fd int }

// terminalOf returns nil if the standard input of cmd is not a terminal.
func terminalOf(cmd *exec.Cmd) *terminal {
	f, ok := cmd.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return &terminal{int(f.Fd())}
}

// isOurs reports whether this process's group is in the foreground of the terminal.
func (t *terminal) isOurs() bool {
	if t == nil {
		return false
	}
	group, err := unix.IoctlGetInt(t.fd, unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// give puts a process group in the foreground. The system stops a group in the background when it
// reads the terminal.
func (t *terminal) give(group int) {
	// A process in the background gets SIGTTOU when it asks for that.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	blocked := &unix.Sigset_t{}
	blocked.Val[0] = 1 << (syscall.SIGTTOU - 1)
	var before unix.Sigset_t
	if unix.PthreadSigmask(unix.SIG_BLOCK, blocked, &before) == nil {
		defer func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) }()
	}
	_ = unix.IoctlSetPointerInt(t.fd, unix.TIOCSPGRP, group)
}
