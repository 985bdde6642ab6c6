//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// group is a command's process group: the command and its children.
type group struct{ cmd *exec.Cmd }

func newGroup(cmd *exec.Cmd) *group {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd.SysProcAttr)
	return &group{cmd}
}

func (g *group) started() error { return nil }

func (g *group) terminate() { g.signal(syscall.SIGTERM) }

func (g *group) kill() { g.signal(syscall.SIGKILL) }

func (g *group) signal(s syscall.Signal) {
	// The group may be gone already, which is what was wanted.
	_ = syscall.Kill(-g.cmd.Process.Pid, s)
}

func (g *group) close() {}
