//go:build linux

// Package release_test makes a release with goreleaser, without publishing it, and uses its files.
// The Debian package is installed on a clean root, the image's root filesystem is entered, and each
// archive must have the command for its platform. The tests need Linux, dpkg, bash, git, gzip and
// make, and root or user namespaces. Goreleaser is built into the cache once.
package release_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

const root = "../.."

var work string // a directory that is removed after the tests

func TestMain(m *testing.M) {
	defer os.Exit(1) // if a test ends the process
	var err error
	if work, err = os.MkdirTemp("", "milepost-release-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(exit int) {
		_ = os.RemoveAll(work)
		os.Exit(exit)
	}))
}

// snapshot makes a release only for this platform, once, and returns its directory. `make snapshot`
// makes one for all platforms.
var snapshot = sync.OnceValues(func() (string, error) {
	config, err := os.ReadFile(filepath.Join(root, ".goreleaser.yaml"))
	if err != nil {
		return "", err
	}
	dist := filepath.Join(work, "dist")
	for all, here := range map[string]string{
		"dist: bin/dist": "dist: " + dist, "goos: [linux, darwin, windows]": "goos: [linux]", "goarch: [amd64, arm64]": "goarch: [" + runtime.GOARCH + "]",
	} {
		if !bytes.Contains(config, []byte(all)) {
			return "", fmt.Errorf(".goreleaser.yaml: no %q, which is narrowed here", all)
		}
		config = bytes.ReplaceAll(config, []byte(all), []byte(here))
	}
	narrowed := filepath.Join(work, "goreleaser.yaml")
	if err := os.WriteFile(narrowed, config, 0o600); err != nil {
		return "", err
	}
	making := exec.Command("make", "-s", "--no-print-directory", "-C", root, "releaser")
	making.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=0") // whatever make this test runs under
	path, err := making.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("make releaser: %w: %s", err, path)
	}
	lines := strings.Split(strings.TrimSpace(string(path)), "\n")
	releaser := lines[len(lines)-1]
	for _, args := range [][]string{{"check"}, {"release", "--snapshot", "--clean", "--config", narrowed}} {
		cmd := exec.Command(releaser, args...)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=remote.origin.url", // a release is named after it
			"GIT_CONFIG_VALUE_0=https://github.com/milepost-dev/milepost")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w: %s", cmd, err, out)
		}
	}
	return dist, nil
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

// one returns the only file of the release that a pattern matches.
func one(t *testing.T, pattern string) string {
	t.Helper()
	files := built(t, pattern)
	require.Len(t, files, 1, pattern)
	return files[0]
}

// result is the outcome of a command.
type result struct {
	exit           int
	stdout, stderr string
}

// asRoot runs a command as root: as root of a user namespace if this process is not root.
func asRoot(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	becomeRoot(cmd.SysProcAttr)
	return must(t, start(t, cmd))
}

// inside runs the milepost command with a directory as its root, and as the image's user if
// possible.
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
