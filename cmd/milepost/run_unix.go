//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// maxSocketPath is what every Unix takes; the shortest is macOS's.
const maxSocketPath = 103

// forwarded are the signals that the command gets.
var forwarded = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2,
}

func (g *group) forward(s os.Signal) { g.signal(s.(syscall.Signal)) }

// alive reports whether a process of the group is left.
func (g *group) alive() bool { return !errors.Is(syscall.Kill(-g.cmd.Process.Pid, 0), syscall.ESRCH) }

// lendTerminal gives the terminal, if there is one, to the command's process group: in the background it
// would be stopped when it reads. It returns what takes it back, nil if there is none.
func lendTerminal(cmd *exec.Cmd) (takeBack func()) {
	f, ok := cmd.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	fd := int(f.Fd())
	cmd.SysProcAttr.Foreground, cmd.SysProcAttr.Ctty = true, fd
	return func() {
		signal.Ignore(syscall.SIGTTOU) // which a process in the background gets for asking
		defer signal.Reset(syscall.SIGTTOU)
		_ = unix.IoctlSetPointerInt(fd, unix.TIOCSPGRP, unix.Getpgrp())
	}
}

// startKeeper starts a process in the group that removes dir and ends all of the group when this process is
// killed, and so closes its end of a pipe. Best effort: nil where there is no shell, or the command has ended already.
func startKeeper(g *group, dir string) *exec.Cmd {
	keeper := exec.Command("/bin/sh", "-c", `trap '' INT TERM HUP QUIT USR1 USR2; read _; rm -rf -- "$0"; kill -KILL 0`, dir)
	keeper.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: g.cmd.Process.Pid}
	if _, err := keeper.StdinPipe(); err != nil || keeper.Start() != nil {
		return nil
	}
	return keeper
}
