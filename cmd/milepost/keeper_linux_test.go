package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/test/processtest"
)

// leavers are commands that start $DIR/worker outside their process group.
var leavers = map[string]string{
	"timeout":     `timeout 1000 "$DIR/worker"; :`,
	"setsid":      `setsid "$DIR/worker"; :`,
	"double fork": `(setsid "$DIR/worker" &); sleep 1000; :`,
	"daemon":      `(setsid sh -c '"$DIR/worker" </dev/null >/dev/null 2>&1 &' &); sleep 1000; :`,
}

// worker is a program that writes until it is killed or the test is over.
const worker = `#!/bin/sh
trap '' TERM HUP INT
echo $$ >"$DIR/pid.tmp"; mv "$DIR/pid.tmp" "$DIR/pid"
while [ -d "$DIR" ]; do echo x >>"$DIR/out"; done
`

// leaves starts job, which is run or batch, with a command that starts a worker, and returns when the
// worker writes.
func leaves(t *testing.T, job, text string, flags ...string) (p *commandProcess, env []string, dir string) {
	t.Helper()
	dir = t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "worker"), []byte(worker), 0o700))
	env = append(sqliteStore(t), "DIR="+dir)
	args := []string{job, "a"}
	if job == "batch" {
		args = append(args, writeFile(t, "in", numbered(10)))
	}
	args = append(append(args, "--grace", "300ms", "--lease-duration", "10s"), flags...)
	p = startProcess(t, env, append(args, "--", "sh", "-c", text)...)
	processtest.WaitForFile(filepath.Join(dir, "pid"))
	return p, env, dir
}

// goneWhenTaken waits for the lease of the checkpoint and runs a command that fails if the worker is
// there.
func goneWhenTaken(t *testing.T, env []string) {
	t.Helper()
	must(t, env, "run", "a", "--wait", "10m", "--", "sh", "-c", `! kill -0 "$(cat "$DIR/pid")" 2>/dev/null`)
}

func TestTheCommandOfAStoppedMilepostEndsBeforeItsLeaseIsTaken(t *testing.T) {
	for _, job := range []string{"run", "batch"} {
		t.Run(job, func(t *testing.T) {
			t.Parallel()
			p, env, dir := leaves(t, job, leavers["setsid"], "--lease-duration", "5s")
			require.NoError(t, p.cmd.Process.Signal(syscall.SIGSTOP))
			goneWhenTaken(t, env)
			require.NoError(t, p.cmd.Process.Signal(syscall.SIGCONT))
			assert.Equal(t, 7, p.exit(t))
			processtest.AssertGone(t, filepath.Join(dir, "pid"))
		})
	}
}

func TestACommandOutlastsItsGraceNoLongerThanItsLease(t *testing.T) {
	for _, job := range []string{"run", "batch"} {
		t.Run(job, func(t *testing.T) {
			t.Parallel()
			p, env, _ := leaves(t, job, `"$DIR/worker"; :`, "--lease-duration", "5s", "--grace", "10m")
			must(t, env, "lease", "break", "a", "--now", "--reason", "test", "--execute")
			assert.Equal(t, 7, p.exit(t))
		})
	}
}

func TestNothingOfACommandWritesAfterItsLease(t *testing.T) {
	for _, job := range []string{"run", "batch"} {
		for name, text := range leavers {
			for end, exit := range map[string]int{"SIGTERM": 143, "lease break": 7} {
				t.Run(job+", "+name+", "+end, func(t *testing.T) {
					t.Parallel()
					p, env, dir := leaves(t, job, text)
					if end == "SIGTERM" {
						require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
					} else {
						must(t, env, "lease", "break", "a", "--now", "--reason", "test", "--execute")
					}
					assert.Equal(t, exit, p.exit(t))
					pid, err := os.ReadFile(filepath.Join(dir, "pid"))
					require.NoError(t, err)
					number, err := strconv.Atoi(strings.TrimSpace(string(pid)))
					require.NoError(t, err)
					assert.Equal(t, syscall.ESRCH, syscall.Kill(number, 0), "the worker has ended before milepost")
					_ = syscall.Kill(number, syscall.SIGKILL)
				})
			}
			t.Run(job+", "+name+", SIGKILL", func(t *testing.T) {
				t.Parallel()
				p, _, dir := leaves(t, job, text)
				require.NoError(t, p.cmd.Process.Kill())
				p.exit(t)
				processtest.AssertGone(t, filepath.Join(dir, "pid"))
			})
		}
	}
}

// lefts are commands that exit with 0 and leave running what loads when $DIR/go is there.
var lefts = map[string]string{
	"child":  `(: >"$DIR/runs"; while [ ! -e "$DIR/go" ]; do sleep 0.01; done; echo loaded >"$DIR/out") & exit 0`,
	"daemon": `(setsid sh -c ': >"$DIR/runs"; while [ ! -e "$DIR/go" ]; do sleep 0.01; done; echo loaded >"$DIR/out"' </dev/null >/dev/null 2>&1 &); exit 0`,
}

// leavesLoader starts job with one of lefts, and returns when it says what it waits for.
func leavesLoader(t *testing.T, job, text string) (p *commandProcess, env []string, dir string) {
	t.Helper()
	dir = t.TempDir()
	env = append(sqliteStore(t), "DIR="+dir)
	args := []string{job, "a"}
	if job == "batch" {
		args = append(args, writeFile(t, "in", numbered(10)))
	}
	p = startProcess(t, env, append(args, "--grace", "300ms", "--lease-duration", "10s", "--", "sh", "-c", text)...)
	processtest.WaitForFile(filepath.Join(dir, "runs"))
	p.stderrHas(t, "sh has ended, and left running: sh (pid ")
	return p, env, dir
}

func TestWhatACommandLeftRunningIsWaitedForAndNamed(t *testing.T) {
	for _, job := range []string{"run", "batch"} {
		for name, text := range lefts {
			t.Run(job+", "+name, func(t *testing.T) {
				t.Parallel()
				p, env, dir := leavesLoader(t, job, text)
				assert.Equal(t, 3, milepost(t, env, "get", "a").exit, "nothing is saved yet")
				require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o600))
				assert.Zero(t, p.exit(t))
				assert.FileExists(t, filepath.Join(dir, "out"))
				assert.Equal(t, "done", newest(t, env, "a")["ended"])
			})
		}
	}
}

func TestWhatACommandLeftRunningAndHadToBeEndedIsNotDone(t *testing.T) {
	for _, job := range []string{"run", "batch"} {
		for name, text := range lefts {
			t.Run(job+", "+name+", SIGTERM", func(t *testing.T) {
				t.Parallel()
				p, env, dir := leavesLoader(t, job, text)
				require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
				assert.Equal(t, 143, p.exit(t))
				assert.NoFileExists(t, filepath.Join(dir, "out"))
				cp := newest(t, env, "a")
				assert.Equal(t, "stopped", cp["ended"])
				assert.Empty(t, cp["cursor"])
			})
			t.Run(job+", "+name+", lease break", func(t *testing.T) {
				t.Parallel()
				p, env, _ := leavesLoader(t, job, text)
				must(t, env, "lease", "break", "a", "--now", "--reason", "test", "--execute")
				assert.Equal(t, 7, p.exit(t))
				assert.Equal(t, 3, milepost(t, env, "get", "a").exit)
			})
		}
	}
}

func TestABatchWhoseCommandExitsWith0AtSIGTERMIsNotSaved(t *testing.T) {
	dir := t.TempDir()
	env := append(sqliteStore(t), "DIR="+dir)
	p := startProcess(t, env, "batch", "a", writeFile(t, "in", numbered(10)), "--grace", "10ms", "--",
		"sh", "-c", `trap 'exit 0' TERM; : >"$DIR/runs"; while :; do sleep 0.01; done`)
	processtest.WaitForFile(filepath.Join(dir, "runs"))
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 143, p.exit(t))
	cp := newest(t, env, "a")
	assert.Equal(t, "stopped", cp["ended"])
	assert.Empty(t, cp["cursor"])
}

func TestWhenTheKeeperIsKilledTheJobFailsAndItsCommandEnds(t *testing.T) {
	for _, job := range []string{"run", "batch"} {
		t.Run(job, func(t *testing.T) {
			t.Parallel()
			p, env, dir := leaves(t, job, `"$DIR/worker"; :`)
			keeper, err := exec.Command("pgrep", "-P", strconv.Itoa(p.cmd.Process.Pid), "-x", "milepost-keeper").Output()
			require.NoError(t, err)
			number, err := strconv.Atoi(strings.TrimSpace(string(keeper)))
			require.NoError(t, err)
			require.NoError(t, syscall.Kill(number, syscall.SIGKILL))
			assert.Equal(t, map[string]int{"run": 9, "batch": 1}[job], p.exit(t))
			p.stderrHas(t, "the keeper process was killed")
			processtest.AssertGone(t, filepath.Join(dir, "pid"))
			assert.Equal(t, "error", newest(t, env, "a")["ended"])
		})
	}
}

func TestTheCommandInheritsOpenFilesAndNoneOfMilepost(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	env := append(insideRun(t, sqliteStore(t)), "OUT="+out)
	cmd := exec.Command("sh", "-c", `exec milepost run a -- sh -c 'echo three >&3; echo four >&4; ls -l /proc/self/fd >&4' 3>"$OUT.3" 4>"$OUT.4"`)
	cmd.Env = append(os.Environ(), env...)
	require.NoError(t, cmd.Run())
	three, err := os.ReadFile(out + ".3")
	require.NoError(t, err)
	assert.Equal(t, "three\n", string(three))
	four, err := os.ReadFile(out + ".4")
	require.NoError(t, err)
	assert.Contains(t, string(four), "four\n")
	assert.Contains(t, string(four), "3 -> "+out+".3")
	assert.NotContains(t, string(four), "socket:")
}

func TestAsTheFirstProcessOfAContainerAJobLeavesNoZombies(t *testing.T) {
	container := []string{"60", "unshare", "--pid", "--fork", "--mount-proc"}
	if out, err := exec.Command("timeout", append(container, "true")...).CombinedOutput(); err != nil {
		t.Logf("NOT TESTED, because this system does not let the test make a pid namespace (it needs root): %v: %s", err, out)
		return
	}
	const orphans = `for i in 1 2 3 4 5 6 7 8 9 10; do (true | true &); done
until ! grep -qs '^State:.Z' /proc/[0-9]*/status; do sleep 0.01; done`
	for _, job := range []string{"run", "batch"} {
		t.Run(job, func(t *testing.T) {
			t.Parallel()
			args := append(container[:len(container):len(container)], "milepost", job, "a")
			if job == "batch" {
				args = append(args, writeFile(t, "in", numbered(10)))
			}
			cmd := exec.Command("timeout", append(args, "--", "sh", "-c", orphans)...)
			cmd.Env = append(os.Environ(), insideRun(t, sqliteStore(t))...)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, string(out))
		})
	}
}
