//go:build unix && !linux

package child

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// group is a command's process group: the command and its children.
type group struct{ cmd *exec.Cmd }

func newGroup(cmd *exec.Cmd) *group {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return &group{cmd}
}

func (g *group) started() error { return nil }

func (g *group) terminate() { g.signal(syscall.SIGTERM) }

func (g *group) kill() { g.signal(syscall.SIGKILL) }

func (g *group) forward(s os.Signal) { g.signal(s.(syscall.Signal)) }

func (g *group) signal(s syscall.Signal) {
	// An error says that the group is gone, which is what the caller wants.
	_ = syscall.Kill(-g.cmd.Process.Pid, s)
}

// alive reports whether a process of the group is left.
func (g *group) alive() bool { return !errors.Is(syscall.Kill(-g.cmd.Process.Pid, 0), syscall.ESRCH) }

func (g *group) close() {}
