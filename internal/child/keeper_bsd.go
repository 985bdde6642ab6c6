//go:build unix && !linux

package child

import (
	"os/exec"
	"syscall"
)

// startKeeper starts a process in the group that removes dir and kills the whole group when this
// process is killed. The keeper notices because this process's end of a pipe closes. startKeeper
// returns nil if there is no shell, or if the command has already ended.
func startKeeper(g *group, dir string) *exec.Cmd {
	keeper := exec.Command("/bin/sh", "-c", `trap '' INT TERM HUP QUIT USR1 USR2; read _; rm -rf -- "$0"; kill -KILL 0`, dir)
	keeper.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: g.cmd.Process.Pid}
	if _, err := keeper.StdinPipe(); err != nil || keeper.Start() != nil {
		return nil
	}
	return keeper
}
