//go:build unix

package childserver

import (
	"os"
	"os/exec"
	"syscall"
)

// bound runs all but the first of its arguments in its own place; when the other
// end of file 3 is closed, which the kernel does for a process however it ends,
// it kills that and removes the directory that the first names.
const bound = `dir=$1; shift; (read -r _ <&3; kill -9 $$; rm -rf "$dir") & exec 3<&-; exec "$@"`

// startBound starts cmd bound to the returned file: it is killed, and dir
// removed, when no process holds that open any more.
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
	// A group of its own: Ctrl-C ends this process, which may still have something to clear away.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		near.Close()
		return nil, err
	}
	return near, nil
}
