//go:build unix

package dynamotest

import (
	"os"
	"os/exec"
	"syscall"
)

// bound runs "$@" in its own place and kills it when the other end of file 3
// is closed, which the kernel does for a process however it ends.
const bound = `(read -r _ <&3; kill -9 $$) & exec 3<&-; exec "$@"`

// startBound starts cmd bound to the returned file: it is killed when no
// process holds that open any more.
//
// Linux's Pdeathsig would need a thread locked for as long as the child lives.
func startBound(cmd *exec.Cmd) (*os.File, error) {
	far, near, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer far.Close()
	cmd.Args = append([]string{"/bin/sh", "-c", bound, "sh", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	cmd.ExtraFiles = []*os.File{far}
	// A group of its own: Ctrl-C ends this process, which may still have tables to delete.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		near.Close()
		return nil, err
	}
	return near, nil
}
