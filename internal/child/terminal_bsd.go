//go:build unix && !linux

package child

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// lendTerminal gives the terminal, if there is one, to the command's process group: the system
// stops a command in the background when it reads the terminal. lendTerminal returns the function
// that takes the terminal back, or nil if there is none.
func lendTerminal(cmd *exec.Cmd) (takeBack func()) {
	f, ok := cmd.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	fd := int(f.Fd())
	cmd.SysProcAttr.Foreground, cmd.SysProcAttr.Ctty = true, fd
	return func() {
		signal.Ignore(syscall.SIGTTOU) // a process in the background gets SIGTTOU when it asks for the terminal
		defer signal.Reset(syscall.SIGTTOU)
		_ = unix.IoctlSetPointerInt(fd, unix.TIOCSPGRP, unix.Getpgrp())
	}
}
