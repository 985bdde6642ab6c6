//go:build unix

package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/test/processtest"
)

// unread is a pipe that is full and that no one reads. The writing end is returned.
func unread(t *testing.T) *os.File {
	t.Helper()
	var ends [2]int
	require.NoError(t, syscall.Pipe(ends[:]))
	t.Cleanup(func() { _ = syscall.Close(ends[0]) })
	require.NoError(t, syscall.SetNonblock(ends[1], true))
	for size := 1 << 16; size > 0; {
		if _, err := syscall.Write(ends[1], make([]byte, size)); err != nil {
			size /= 2
		}
	}
	require.NoError(t, syscall.SetNonblock(ends[1], false))
	w := os.NewFile(uintptr(ends[1]), "full pipe")
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// gone is a pipe whose reader has gone.
func gone(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, r.Close())
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// unheard are the ways in which no one reads what a process writes.
var unheard = map[string]func(t *testing.T) *os.File{"full": unread, "gone": gone}

// startWith starts the command in a separate process, with these standard streams.
func startWith(t *testing.T, env []string, stdout, stderr *os.File, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), env...), asCommand+"=1")
	if stdout != nil {
		cmd.Stdout = stdout
	}
	cmd.Stderr = stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd
}

// exits returns the exit code, and -1 if a signal ended the process. A process that hangs is killed
// after a minute.
func exits(cmd *exec.Cmd) int {
	defer time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() }).Stop()
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode()
}

func TestAJobGoesOnThoughNoOneReadsItsStandardError(t *testing.T) {
	for name, pipe := range unheard {
		t.Run(name, func(t *testing.T) {
			env := sqliteStore(t)
			input := writeFile(t, "in", numbered(30))
			assert.Equal(t, 0, exits(startWith(t, env, nil, pipe(t), "batch", "a", input, "--every", "10", "-v", "--", "true")))
			assert.EqualValues(t, "30", newest(t, env, "a")["cursor"])
			inside := insideRun(t, env)
			assert.Equal(t, 0, exits(startWith(t, inside, nil, pipe(t), "run", "b", "-v", "--", "sh", "-c", "milepost mark --cursor 7 2>/dev/null")))
			assert.Equal(t, "7", newest(t, env, "b")["cursor"])
		})
	}
}

func TestALostLeaseEndsAJobThoughNoOneReadsItsStandardError(t *testing.T) {
	for name, pipe := range unheard {
		for command, args := range map[string][]string{"run": {"run", "a"}, "batch": {"batch", "a", "INPUT"}} {
			t.Run(name+", "+command, func(t *testing.T) {
				dir := t.TempDir()
				env := append(sqliteStore(t), "DIR="+dir)
				for i := range args {
					args[i] = strings.ReplaceAll(args[i], "INPUT", writeFile(t, "in", numbered(3)))
				}
				cmd := startWith(t, env, nil, pipe(t), append(args, "--lease-duration", "3s", "--", "sh", "-c", `: >"$DIR/runs"; exec sleep 1000`)...)
				processtest.WaitForFile(filepath.Join(dir, "runs"))
				must(t, env, "lease", "break", "a", "--reason", "test", "--now", "--execute")
				assert.Equal(t, 7, exits(cmd))
			})
		}
	}
}

func TestAMonitorAndAServerGoOnAndStopThoughNoOneReadsTheirStandardError(t *testing.T) {
	for name, pipe := range unheard {
		t.Run(name, func(t *testing.T) {
			env := sqliteStore(t)
			threeVersions(t, env, "a")
			metrics := freeAddress(t)
			page := freeAddress(t)
			for _, c := range []struct {
				get  string
				args []string
			}{
				{"http://" + metrics + "/metrics", []string{"monitor", "-v", "--every", "100ms", "--metrics", "prometheus:" + metrics}},
				{"http://" + page + "/healthz", []string{"serve", "-v", "--listen", page}},
			} {
				cmd := startWith(t, env, nil, pipe(t), c.args...)
				require.Eventually(t, func() bool {
					reply, err := http.Get(c.get)
					if err != nil {
						return false
					}
					defer func() { _ = reply.Body.Close() }()
					return reply.StatusCode == http.StatusOK
				}, time.Minute, 20*time.Millisecond, c.get)
				require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
				assert.Equal(t, 143, exits(cmd), c.args)
			}
			http.DefaultClient.CloseIdleConnections()
		})
	}
}

// freeAddress is an address of this machine that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func TestAnAgentAnswersThoughNoOneReadsItsStandardError(t *testing.T) {
	for name, pipe := range unheard {
		t.Run(name, func(t *testing.T) {
			env := sqliteStore(t)
			cmd := exec.Command(os.Args[0], "agent", "-v")
			cmd.Env = append(append(os.Environ(), env...), asCommand+"=1")
			cmd.Stderr = pipe(t)
			in, err := cmd.StdinPipe()
			require.NoError(t, err)
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			defer time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() }).Stop()
			replies := bufio.NewReader(out)
			for id, request := range []string{
				`"method":"hello","protocol":1`, `"method":"open","name":"a"`, `"method":"save","session":1,"cursor":"7"`, `"method":"close","session":1`,
			} {
				_, err := fmt.Fprintf(in, "{\"id\":%d,%s}\n", id, request)
				require.NoError(t, err)
				reply, err := replies.ReadString('\n')
				require.NoError(t, err)
				assert.Contains(t, reply, `"result"`)
			}
			require.NoError(t, in.Close())
			assert.NoError(t, cmd.Wait())
			assert.Equal(t, "7", newest(t, env, "a")["cursor"])
		})
	}
}

func TestAMonitorGoesOnThoughNoOneReadsItsMetrics(t *testing.T) {
	for name, pipe := range unheard {
		t.Run(name, func(t *testing.T) {
			env := sqliteStore(t)
			threeVersions(t, env, "a")
			said := filepath.Join(t.TempDir(), "stderr")
			stderr, err := os.Create(said)
			require.NoError(t, err)
			defer func() { _ = stderr.Close() }()
			cmd := startWith(t, env, pipe(t), stderr, "monitor", "-v", "--every", "100ms", "--metrics", "emf")
			require.Eventually(t, func() bool {
				text, err := os.ReadFile(said)
				return err == nil && strings.Contains(string(text), "looked")
			}, time.Minute, 20*time.Millisecond)
			require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
			assert.Equal(t, 143, exits(cmd))
		})
	}
}

func TestAnAnswerThatNoOneReadsEndsTheCommandQuietly(t *testing.T) {
	env := sqliteStore(t)
	threeVersions(t, env, "a")
	for _, args := range [][]string{{"list"}, {"get", "a"}, {"history", "a", "-o", "json"}, {"export", "a"}, {"rollback", "a", "--to", "1", "--execute"}} {
		r, stderr, err := os.Pipe()
		require.NoError(t, err)
		cmd := startWith(t, env, gone(t), stderr, args...)
		_ = stderr.Close()
		said := new(strings.Builder)
		_, err = bufio.NewReader(r).WriteTo(said)
		require.NoError(t, err)
		_ = r.Close()
		assert.Equal(t, 141, exits(cmd), args)
		assert.Empty(t, said.String(), args)
	}
	assert.EqualValues(t, "4", newest(t, env, "a")["version"], "the rollback was made, and its lease released")
	must(t, env, "set", "a", "--cursor", "x", "--execute")
}

func TestTheCommandOfAJobHasTheDefaultActionOfSIGPIPE(t *testing.T) {
	env := sqliteStore(t)
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	defer func() { _ = out.Close() }()
	input := writeFile(t, "in", numbered(3))
	for _, args := range [][]string{{"run", "a"}, {"batch", "b", input}} {
		cmd := startWith(t, env, out, out, append(args, "--", "sh", "-c", "kill -PIPE $$; echo it went on")...)
		assert.Equal(t, 9, exits(cmd))
	}
	said, err := os.ReadFile(out.Name())
	require.NoError(t, err)
	assert.NotContains(t, string(said), "it went on\n")
	assert.Contains(t, string(said), "broken pipe")
}
