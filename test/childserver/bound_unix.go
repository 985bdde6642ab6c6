//go:build unix

package childserver

import (
	"os"
	"os/exec"
	"syscall"
)

// bound executes its second and later arguments in place of itself. When the other end of file 3 is
// closed, which the kernel does at the end of a process, bound kills the program and removes the
// directory named by its first argument.
const bound = `dir=$1; shift; (read -r _ <&3; kill -9 $$; rm -rf "$dir") & exec 3<&-; exec "$@"`

// startBound starts cmd, bound to the returned file. When no process holds the file open any more,
// cmd is killed and dir is removed.
//
// Linux's Pdeathsig would need a thread locked for as long as the child lives.
func startBound(cmd *exec.Cmd, dir string) (*os.File, error) {
	far, near, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer far.Close()
	cmd.Args = append([]string{"/bin/sh", "-c", bound, "sh", dir, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	cmd.ExtraFiles = []*os.File{far}
	// A separate process group: Ctrl-C must not reach the child while this process cleans up.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		near.Close()
		return nil, err
	}
	return near, nil
}
