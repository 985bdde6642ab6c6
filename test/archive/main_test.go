//go:build linux

// Package archive_test runs the milepost command with an archive in a real bucket: tables that are
// lost and restored, processes that are killed while they save large states, jobs that move from
// one store to another, and home-made histories. It needs Linux, as test/kill does.
//
// MILEPOST_ARCHIVE_KILLS makes the campaign of kills longer than one for each step.
package archive_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	defer os.Exit(1) // if a test ends the process
	dir, err := os.MkdirTemp("", "milepost-archive-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	built = filepath.Join(dir, "milepost")
	goleak.VerifyTestMain(m, goleak.Cleanup(func(exit int) {
		_ = os.RemoveAll(dir)
		os.Exit(exit)
	}))
}

var (
	built string // where the command is built to
	build = sync.OnceValue(func() error {
		cmd := exec.Command("go", "build", "-race=false", "-o", built, "github.com/milepost-dev/milepost/cmd/milepost")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("build milepost: %w: %s", err, out)
		}
		return nil
	})
)

// eventually is the longest wait for things that should happen at once, on a busy machine.
const eventually = 4 * time.Minute

// process is one run of the command.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended

	mu          sync.Mutex
	out, errOut bytes.Buffer
}

// start starts milepost with these arguments and with env added to the test's environment.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	require.NoError(t, build())
	p := &process{t: t, cmd: exec.Command(built, args...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &sink{&p.mu, &p.out}, &sink{&p.mu, &p.errOut}
	p.cmd.WaitDelay = eventually
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

type sink struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

func (p *process) stdout() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

func (p *process) stderr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.errOut.String()
}

// exit waits for the end and returns the exit code; -1: a signal killed it.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(2 * eventually):
		require.Fail(p.t, "the process does not end", "milepost %v says: %s", p.cmd.Args[1:], p.stderr())
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) kill() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGKILL), p.stderr())
	require.Equal(p.t, -1, p.exit(), "the process ended before the kill: %s", p.stderr())
}

// milepost runs the command to its end.
func milepost(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := start(t, env, args...)
	p.exit()
	return p
}

// must runs a command that must succeed, and returns its output.
func must(t *testing.T, env []string, args ...string) string {
	t.Helper()
	p := milepost(t, env, args...)
	require.Zero(t, p.exit(), "milepost %s: %s", strings.Join(args, " "), p.stderr())
	return p.stdout()
}

// items returns the lines of JSON that a command printed.
func items(t *testing.T, out string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(out) {
		d := json.NewDecoder(strings.NewReader(line))
		d.UseNumber()
		var item map[string]any
		require.NoError(t, d.Decode(&item), line)
		all = append(all, item)
	}
	return all
}

// item returns the only line of JSON that a command printed.
func item(t *testing.T, out string) map[string]any {
	t.Helper()
	all := items(t, out)
	require.Len(t, all, 1, out)
	return all[0]
}

func number(t *testing.T, v any) int64 {
	t.Helper()
	n, err := v.(json.Number).Int64()
	require.NoError(t, err)
	return n
}

// wait polls until a condition is true.
func wait(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(eventually); !so(); time.Sleep(5 * time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "waited in vain for %s", what)
	}
}

// times returns a count that MILEPOST_ARCHIVE_KILLS raises.
func times(t *testing.T, variable string, usual int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, variable)
	require.Positive(t, n, variable)
	return n
}
