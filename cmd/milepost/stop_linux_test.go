package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/test/processtest"
)

// patient is a command that goes on when someone writes to $DIR/go, and then ends what it has started
// in another process group. It writes both process ids. It starts nothing while it waits: a shell
// whose vfork is under way is not stopped.
const patient = `setsid sleep 1000 & echo "$$ $!" >"$DIR/tmp"; mv "$DIR/tmp" "$DIR/pids"
read _ <"$DIR/go"
echo >"$DIR/went"; kill -KILL $!; exit 0`

// patientJob returns the arguments of a job whose command is patient.
func patientJob(t *testing.T, job, dir string, flags ...string) []string {
	t.Helper()
	args := append([]string{job, "a"}, flags...)
	if job == "batch" {
		args = append(args, writeFile(t, "in", numbered(10)))
	}
	file := filepath.Join(dir, "patient")
	require.NoError(t, os.WriteFile(file, []byte("#!/bin/sh\n"+patient+"\n"), 0o700))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "go"), 0o600))
	return append(args, "--", file)
}

// letGo lets patient go on, at once or as soon as it is continued.
func letGo(t *testing.T, dir string) {
	t.Helper()
	pipe, err := os.OpenFile(filepath.Join(dir, "go"), os.O_RDWR, 0) // it need not have a reader yet
	require.NoError(t, err)
	t.Cleanup(func() { _ = pipe.Close() })
	_, err = pipe.WriteString("\n")
	require.NoError(t, err)
}

// stoppable is the processes of a job whose command is patient.
type stoppable struct{ milepost, command, other int }

func findStoppable(t *testing.T, dir string) (p stoppable) {
	t.Helper()
	processtest.WaitForFile(filepath.Join(dir, "pids"))
	pids, err := os.ReadFile(filepath.Join(dir, "pids"))
	require.NoError(t, err)
	_, err = fmt.Sscan(string(pids), &p.command, &p.other)
	require.NoError(t, err)
	p.milepost = parent(t, parent(t, p.command))
	return p
}

// stat returns the fields of /proc/PID/stat from the state on.
func stat(pid int) []string {
	all, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return []string{"gone", "0"}
	}
	return strings.Fields(string(all[bytes.LastIndexByte(all, ')')+1:]))
}

func parent(t *testing.T, pid int) int {
	t.Helper()
	number, err := strconv.Atoi(stat(pid)[1])
	require.NoError(t, err)
	return number
}

func waitForState(t *testing.T, state string, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		require.Eventually(t, func() bool { return strings.Contains(state, stat(pid)[0]) }, time.Minute, time.Millisecond,
			"process %d is %s and not %s", pid, stat(pid)[0], state)
	}
}

func quoted(args []string) string { return "'" + strings.Join(args, "' '") + "'" }

func TestCtrlZStopsAJobAndItsCommandAndFgLetsBothGoOn(t *testing.T) {
	for _, job := range []string{"run", "batch"} {
		t.Run(job, func(t *testing.T) {
			dir := t.TempDir()
			env := append(insideRun(t, sqliteStore(t)), "DIR="+dir)
			term := onTerminal(t, env, `set -m; milepost `+quoted(patientJob(t, job, dir, "--lease-duration", "10m"))+`
echo "stopped: $?"; read line; fg; echo "exit: $?"`)
			p := findStoppable(t, dir)
			term.types("\x1a")
			term.waits("stopped: 148")
			waitForState(t, "T", p.milepost, p.command, p.other)
			letGo(t, dir)
			term.types("\n")
			term.waits("exit: 0")
			require.NoError(t, term.shell.Wait())
			assert.Equal(t, "done", newest(t, env, "a")["ended"])
		})
	}
}

func TestFgAfterTheLeaseWasTakenLosesIt(t *testing.T) {
	for _, job := range []string{"run", "batch"} {
		t.Run(job, func(t *testing.T) {
			dir := t.TempDir()
			env := append(insideRun(t, sqliteStore(t)), "DIR="+dir)
			term := onTerminal(t, env, `set -m; milepost `+quoted(patientJob(t, job, dir, "--lease-duration", "5s"))+`
echo "stopped: $?"; read line; fg; echo "exit: $?"`)
			p := findStoppable(t, dir)
			term.types("\x1a")
			term.waits("stopped: 148")
			waitForState(t, "T", p.milepost, p.command, p.other)
			must(t, env, "run", "a", "--wait", "10m", "--", "true")
			letGo(t, dir)
			term.types("\n")
			term.waits("exit: 7")
			require.NoError(t, term.shell.Wait())
			assert.NoFileExists(t, filepath.Join(dir, "went"))
			processtest.AssertGone(t, filepath.Join(dir, "pids"))
		})
	}
}

func TestASIGTSTPToMilepostAloneStopsItsCommandToo(t *testing.T) {
	for _, job := range []string{"run", "batch"} {
		t.Run(job, func(t *testing.T) {
			dir := t.TempDir()
			env := append(sqliteStore(t), "DIR="+dir)
			started := startGroup(t, env, patientJob(t, job, dir, "--lease-duration", "10m")...)
			p := findStoppable(t, dir)
			for range 2 {
				require.NoError(t, syscall.Kill(p.milepost, syscall.SIGTSTP))
				waitForState(t, "T", p.milepost, p.command, p.other)
				require.NoError(t, syscall.Kill(p.milepost, syscall.SIGCONT))
				waitForState(t, "RSD", p.milepost, p.command, p.other)
			}
			letGo(t, dir)
			assert.Zero(t, started.exit(t))
		})
	}
}

func TestAStoppedCommandThatIsContinuedAloneStaysStoppedWithMilepost(t *testing.T) {
	dir := t.TempDir()
	env := append(sqliteStore(t), "DIR="+dir)
	started := startGroup(t, env, patientJob(t, "run", dir, "--lease-duration", "10m")...)
	p := findStoppable(t, dir)
	require.NoError(t, syscall.Kill(p.milepost, syscall.SIGTSTP))
	waitForState(t, "T", p.milepost, p.command, p.other)
	require.NoError(t, syscall.Kill(p.command, syscall.SIGCONT))
	waitForState(t, "T", p.command)
	letGo(t, dir)
	require.NoError(t, syscall.Kill(p.milepost, syscall.SIGCONT))
	assert.Zero(t, started.exit(t))
}

func TestMilepostGoesOnAndSaysSoWhenItsCommandAloneIsStopped(t *testing.T) {
	for _, job := range []string{"run", "batch"} {
		t.Run(job, func(t *testing.T) {
			dir := t.TempDir()
			env := append(sqliteStore(t), "DIR="+dir)
			started := startGroup(t, env, patientJob(t, job, dir, "--lease-duration", "5s")...)
			p := findStoppable(t, dir)
			require.NoError(t, syscall.Kill(p.command, syscall.SIGSTOP))
			started.stderrHas(t, "patient is stopped by SIGSTOP, and its lease is still renewed. To let it go on: kill -CONT -")
			since := object(t, must(t, env, "lease", "show", "a", "-o", "json"))["renewed_at"]
			require.Eventually(t, func() bool {
				return object(t, must(t, env, "lease", "show", "a", "-o", "json"))["renewed_at"] != since
			}, time.Minute, 50*time.Millisecond, "it is renewed")
			letGo(t, dir)
			require.NoError(t, syscall.Kill(-p.command, syscall.SIGCONT))
			assert.Zero(t, started.exit(t))
		})
	}
}

func TestCtrlZWhereNoShellCouldContinueMilepostDoesNotStopIt(t *testing.T) {
	dir := t.TempDir()
	env := append(insideRun(t, sqliteStore(t)), "DIR="+dir)
	term := onTerminal(t, env, `exec milepost `+quoted(patientJob(t, "run", dir, "--lease-duration", "5s")))
	p := findStoppable(t, dir)
	term.types("\x1a")
	term.waits("patient is stopped by SIGTSTP, and its lease is still renewed")
	assert.NotEqual(t, "T", stat(p.milepost)[0])
	letGo(t, dir)
	require.NoError(t, syscall.Kill(-p.command, syscall.SIGCONT))
	require.NoError(t, term.shell.Wait())
	assert.Equal(t, "done", newest(t, env, "a")["ended"])
}

func TestASIGTERMEndsAStoppedCommand(t *testing.T) {
	for _, job := range []string{"run", "batch"} {
		t.Run(job, func(t *testing.T) {
			dir := t.TempDir()
			env := append(sqliteStore(t), "DIR="+dir)
			started := startGroup(t, env, patientJob(t, job, dir, "--grace", "1s")...)
			p := findStoppable(t, dir)
			require.NoError(t, syscall.Kill(p.command, syscall.SIGSTOP))
			waitForState(t, "T", p.command)
			require.NoError(t, syscall.Kill(p.milepost, syscall.SIGTERM))
			assert.Equal(t, 143, started.exit(t))
			processtest.AssertGone(t, filepath.Join(dir, "pids"))
		})
	}
}
