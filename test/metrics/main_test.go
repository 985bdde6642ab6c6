package metrics_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// scratch is where the command is built.
var scratch string

// built is the command, built once, for the first test that needs it.
var built = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "milepost")
	if out, err := exec.Command("go", "build", "-o", path, "../../cmd/milepost").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build milepost: %w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	var err error
	if scratch, err = os.MkdirTemp("", "milepost-metrics-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(scratch)
	os.Exit(code)
}

// command is milepost with its environment. It is killed with the test.
func command(t testing.TB, env []string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := built()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// must runs milepost, which must succeed, and returns its standard output and standard error.
func must(t testing.TB, env []string, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, said strings.Builder
	cmd := command(t, env, args...)
	cmd.Stdout, cmd.Stderr = &out, &said
	require.NoError(t, cmd.Run(), "milepost %s: %s", strings.Join(args, " "), &said)
	return out.String(), said.String()
}

const motoVersion = "5.2.5"

// moto starts a server that is compatible with CloudWatch, and returns its URL. moto is installed
// from PyPI once, into Milepost's cache.
func moto(t *testing.T) string {
	t.Helper()
	python, err := installed()
	require.NoError(t, err, "moto %s could not be installed: this test needs Python with venv, and PyPI once", motoVersion)
	server := exec.CommandContext(t.Context(), python, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0")
	server.WaitDelay = 5 * time.Second
	stderr, err := server.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, server.Start())
	t.Cleanup(func() { _ = server.Wait() })
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if _, url, ok := strings.Cut(lines.Text(), "Running on "); ok {
			go func() { _, _ = io.Copy(io.Discard, stderr) }()
			return strings.TrimSpace(url)
		}
	}
	t.Fatalf("moto did not start: %v", lines.Err())
	return ""
}

// installed returns a Python that has moto.
func installed() (string, error) {
	cache := os.Getenv("MILEPOST_CACHE")
	if cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find a cache directory (set MILEPOST_CACHE): %w", err)
		}
		cache = filepath.Join(dir, "milepost")
	}
	venv := filepath.Join(cache, "moto-"+motoVersion)
	python, system := filepath.Join(venv, "bin", "python"), "python3"
	if runtime.GOOS == "windows" {
		python, system = filepath.Join(venv, "Scripts", "python.exe"), "python"
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	check := func() error { return exec.CommandContext(ctx, python, "-c", "import moto.server, flask").Run() }
	if check() == nil {
		return python, nil
	}
	for _, args := range [][]string{{system, "-m", "venv", venv}, {python, "-m", "pip", "install", "-q", "moto[server]==" + motoVersion}} {
		if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	return python, errors.Join(check())
}
