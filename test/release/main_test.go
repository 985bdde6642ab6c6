//go:build linux

// Package release_test makes a release as goreleaser does, published nowhere, and uses what comes of it: the Debian package is
// installed on a clean root, the image's root filesystem is entered, each archive has its command for its platform.
// It needs Linux, dpkg, bash, git and make; and to be root, or user namespaces. Goreleaser is built into the cache once.
package release_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../.."

// snapshot makes a release once, and returns the directory it lies in.
var snapshot = sync.OnceValues(func() (string, error) {
	cmd := exec.Command("make", "-C", root, "snapshot")
	cmd.Env = append(os.Environ(), "MAKEFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.New("make snapshot: " + err.Error() + "\n" + string(out))
	}
	return filepath.Abs(filepath.Join(root, "bin/dist"))
})

// built returns the files of the release that a pattern matches.
func built(t *testing.T, pattern string) []string {
	t.Helper()
	dir, err := snapshot()
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	require.NoError(t, err)
	return files
}

// one is the only file of the release that a pattern matches.
func one(t *testing.T, pattern string) string {
	t.Helper()
	files := built(t, pattern)
	require.Len(t, files, 1, pattern)
	return files[0]
}

// result is what a command left.
type result struct {
	exit           int
	stdout, stderr string
}

// asRoot runs a command as root. Who is not is made root of a user namespace.
func asRoot(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	becomeRoot(cmd.SysProcAttr)
	return must(t, start(t, cmd))
}

// inside runs the milepost command with a directory as its root, and as the user of the image where that can be.
func inside(t *testing.T, dir string, user uint32, env []string, args ...string) result {
	t.Helper()
	cmd := exec.Command("/usr/bin/milepost", args...)
	cmd.Dir = "/"
	cmd.Env = append([]string{}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: user, Gid: user}
	}
	becomeRoot(cmd.SysProcAttr)
	return start(t, cmd)
}

func becomeRoot(attr *syscall.SysProcAttr) {
	if os.Geteuid() == 0 {
		return
	}
	attr.Cloneflags = syscall.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
}

func start(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exited := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exited) {
		require.NoError(t, err, "start %s: it takes root, or user namespaces", cmd)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func must(t *testing.T, r result) string {
	t.Helper()
	require.Zero(t, r.exit, r.stdout+r.stderr)
	return strings.TrimSpace(r.stdout)
}
