//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func script(t *testing.T, text string) (*command, *bytes.Buffer, *bytes.Buffer) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	return &command{
		argv: []string{"sh", "-c", text}, env: os.Environ(), stdout: &stdout, stderr: &stderr,
		grace: time.Minute, killAfter: time.Minute,
	}, &stdout, &stderr
}

func TestTheCommandGetsTheBatchAndItsPlaceAndItsOutputPasses(t *testing.T) {
	c, stdout, stderr := script(t, `cat; echo "$MILEPOST_FIRST" >&2`)
	require.NoError(t, c.run(t.Context(), t.Context(), []byte("a\x00\nb"), "MILEPOST_FIRST=41"))
	assert.Equal(t, "a\x00\nb", stdout.String())
	assert.Equal(t, "41\n", stderr.String())
}

func TestACommandNeedNotReadItsInput(t *testing.T) {
	c, _, _ := script(t, `exit 0`)
	assert.NoError(t, c.run(t.Context(), t.Context(), bytes.Repeat([]byte("x"), 10<<20)))
}

func TestACommandsFailureIsItsStatus(t *testing.T) {
	c, _, _ := script(t, `exit 3`)
	err := c.run(t.Context(), t.Context(), nil)
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, 3, exit.ExitCode())

	c, _, _ = script(t, `kill -9 $$`)
	assert.EqualError(t, c.run(t.Context(), t.Context(), nil), "signal: killed")
}

func TestACommandThatCannotBeStartedIsAnError(t *testing.T) {
	c, _, _ := script(t, "")
	c.argv = []string{filepath.Join(t.TempDir(), "none")}
	assert.ErrorContains(t, c.run(t.Context(), t.Context(), nil), "no such file")
}

func TestAStopLeavesTheCommandItsGrace(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	c, stdout, _ := script(t, `: >"$READY"; sleep 0.2; echo finished`)
	stop, end := context.WithCancel(t.Context())
	go func() { waitForFile(ready); end() }()
	require.NoError(t, c.run(t.Context(), stop, nil, "READY="+ready))
	assert.Equal(t, "finished\n", stdout.String())
}

func TestPastItsGraceTheCommandAndItsChildrenAreEnded(t *testing.T) {
	for name, text := range map[string]string{
		"ends on SIGTERM":   `sleep 1000 & echo $! >"$PIDS.tmp"; mv "$PIDS.tmp" "$PIDS"; wait`,
		"ignores SIGTERM":   `trap '' TERM; sleep 1000 & echo $! >"$PIDS.tmp"; mv "$PIDS.tmp" "$PIDS"; wait; wait`,
		"fails on SIGTERM":  `trap 'exit 7' TERM; sleep 1000 & echo $! >"$PIDS.tmp"; mv "$PIDS.tmp" "$PIDS"; wait`,
		"a pipe's last one": `echo $$ >"$PIDS.tmp"; mv "$PIDS.tmp" "$PIDS"; sleep 1000 | sleep 1000`,
	} {
		t.Run(name, func(t *testing.T) {
			pids := filepath.Join(t.TempDir(), "pids")
			c, _, _ := script(t, text)
			c.grace, c.killAfter = 10*time.Millisecond, 50*time.Millisecond
			told := errors.New("told to stop")
			stop, end := context.WithCancelCause(t.Context())
			go func() { waitForFile(pids); end(told) }()
			assert.ErrorIs(t, c.run(t.Context(), stop, nil, "PIDS="+pids), told)
			assertGone(t, pids)
		})
	}
}

func TestALostLeaseEndsTheCommandAtOnce(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	c, _, _ := script(t, `echo $$ >"$PIDS.tmp"; mv "$PIDS.tmp" "$PIDS"; sleep 1000`)
	lost := errors.New("lease lost")
	ctx, lose := context.WithCancelCause(t.Context())
	go func() { waitForFile(pids); lose(lost) }()
	assert.ErrorIs(t, c.run(ctx, t.Context(), nil, "PIDS="+pids), lost)
	assertGone(t, pids)
}

func TestACommandThatFinishesWhenToldToEndHasDoneItsBatch(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	c, _, _ := script(t, `trap 'exit 0' TERM; : >"$READY"; sleep 1000 & wait`)
	c.grace = time.Millisecond
	stop, end := context.WithCancel(t.Context())
	go func() { waitForFile(ready); end() }()
	assert.NoError(t, c.run(t.Context(), stop, nil, "READY="+ready))
}

func TestSomeoneLeftBehindWithTheOutputIsNotWaitedForLong(t *testing.T) {
	c, stdout, _ := script(t, `sleep 1000 & echo $!`)
	began := time.Now()
	require.NoError(t, c.run(t.Context(), t.Context(), nil))
	assert.Less(t, time.Since(began), 30*time.Second)
	pid, err := strconv.Atoi(strings.TrimSpace(stdout.String()))
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
}

func waitForFile(path string) {
	for {
		if _, err := os.Stat(path); err == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// waitForKeeper waits until the group of the first process that is named in the file has what ends it.
func waitForKeeper(t *testing.T, pids string) {
	t.Helper()
	waitForFile(pids)
	content, err := os.ReadFile(pids)
	require.NoError(t, err)
	keeper := regexp.MustCompile(`(?m)^ *` + strings.Fields(string(content))[0] + ` .*kill -KILL 0`)
	require.Eventually(t, func() bool {
		all, err := exec.Command("ps", "-A", "-o", "pgid=,args=").Output()
		return err == nil && keeper.Match(all)
	}, 30*time.Second, 5*time.Millisecond)
}

func assertGone(t *testing.T, pids string) {
	t.Helper()
	content, err := os.ReadFile(pids)
	require.NoError(t, err)
	for field := range strings.FieldsSeq(string(content)) {
		pid, err := strconv.Atoi(field)
		require.NoError(t, err)
		assert.Eventually(t, func() bool { return !running(pid) }, 10*time.Second, time.Millisecond, "process %d", pid)
	}
}

// running reports whether a process is there and no zombie that nobody has waited for yet.
func running(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	out, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && !strings.HasPrefix(strings.TrimSpace(string(out)), "Z")
}
