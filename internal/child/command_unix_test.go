//go:build unix

package child

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/test/processtest"
)

func script(t *testing.T, text string) (*Command, *bytes.Buffer, *bytes.Buffer) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c := &Command{
		Argv: []string{"sh", "-c", text}, Env: os.Environ(), Stdout: &stdout, Stderr: &stderr,
		Grace: time.Minute, KillAfter: time.Minute,
		Confirm: func() error { return nil }, Notice: func(string) {},
	}
	t.Cleanup(c.Close)
	return c, &stdout, &stderr
}

func TestTheCommandGetsTheBatchAndItsOutputIsPassedOn(t *testing.T) {
	c, stdout, stderr := script(t, `cat; echo "$MILEPOST_FIRST" >&2`)
	require.NoError(t, c.Run(t.Context(), t.Context(), []byte("a\x00\nb"), "MILEPOST_FIRST=41"))
	assert.Equal(t, "a\x00\nb", stdout.String())
	assert.Equal(t, "41\n", stderr.String())
}

func TestACommandNeedNotReadItsInput(t *testing.T) {
	c, _, _ := script(t, `exit 0`)
	assert.NoError(t, c.Run(t.Context(), t.Context(), bytes.Repeat([]byte("x"), 10<<20)))
}

func TestTheErrorOfACommandThatFailedHasItsStatus(t *testing.T) {
	c, _, _ := script(t, `exit 3`)
	err := c.Run(t.Context(), t.Context(), nil)
	var exit *ExitError
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, 3, exit.Code)

	c, _, _ = script(t, `kill -9 $$`)
	assert.EqualError(t, c.Run(t.Context(), t.Context(), nil), "signal: killed")
}

func TestACommandThatCannotBeStartedIsAnError(t *testing.T) {
	c, _, _ := script(t, "")
	c.Argv = []string{filepath.Join(t.TempDir(), "none")}
	assert.ErrorContains(t, c.Run(t.Context(), t.Context(), nil), "no such file")
}

func TestAStopLeavesTheCommandItsGrace(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	c, stdout, _ := script(t, `: >"$READY"; sleep 0.2; echo finished`)
	stop, end := context.WithCancel(t.Context())
	go func() { processtest.WaitForFile(ready); end() }()
	require.NoError(t, c.Run(t.Context(), stop, nil, "READY="+ready))
	assert.Equal(t, "finished\n", stdout.String())
}

func TestAfterItsGraceTheCommandAndItsChildrenAreEnded(t *testing.T) {
	for name, text := range map[string]string{
		"ends on SIGTERM":  `sleep 1000 & echo $! >"$PIDS.tmp"; mv "$PIDS.tmp" "$PIDS"; wait`,
		"ignores SIGTERM":  `trap '' TERM; sleep 1000 & echo $! >"$PIDS.tmp"; mv "$PIDS.tmp" "$PIDS"; wait; wait`,
		"fails on SIGTERM": `trap 'exit 7' TERM; sleep 1000 & echo $! >"$PIDS.tmp"; mv "$PIDS.tmp" "$PIDS"; wait`,
		"is a pipeline":    `echo $$ >"$PIDS.tmp"; mv "$PIDS.tmp" "$PIDS"; sleep 1000 | sleep 1000`,
	} {
		t.Run(name, func(t *testing.T) {
			pids := filepath.Join(t.TempDir(), "pids")
			c, _, _ := script(t, text)
			c.Grace, c.KillAfter = 10*time.Millisecond, 50*time.Millisecond
			told := errors.New("told to stop")
			stop, end := context.WithCancelCause(t.Context())
			go func() { processtest.WaitForFile(pids); end(told) }()
			assert.ErrorIs(t, c.Run(t.Context(), stop, nil, "PIDS="+pids), told)
			processtest.AssertGone(t, pids)
		})
	}
}

func TestALostLeaseEndsTheCommandAtOnce(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	c, _, _ := script(t, `echo $$ >"$PIDS.tmp"; mv "$PIDS.tmp" "$PIDS"; sleep 1000`)
	lost := errors.New("lease lost")
	ctx, lose := context.WithCancelCause(t.Context())
	go func() { processtest.WaitForFile(pids); lose(lost) }()
	assert.ErrorIs(t, c.Run(ctx, t.Context(), nil, "PIDS="+pids), lost)
	processtest.AssertGone(t, pids)
}

func TestACommandThatWasToldToEndHasNotDoneItsBatchWhateverItsStatus(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	c, _, _ := script(t, `trap 'exit 0' TERM; : >"$READY"; sleep 1000 & wait`)
	c.Grace = time.Millisecond
	told := errors.New("told to stop")
	stop, end := context.WithCancelCause(t.Context())
	go func() { processtest.WaitForFile(ready); end(told) }()
	assert.ErrorIs(t, c.Run(t.Context(), stop, nil, "READY="+ready), told)
}

func TestWhatACommandLeftRunningIsWaitedFor(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "go")
	c, stdout, _ := script(t, `(while [ ! -e "$GO" ]; do sleep 0.01; done; echo loaded) & exit 0`)
	noticed := make(chan string, 1)
	c.Notice = func(text string) {
		noticed <- text
		assert.NoError(t, os.WriteFile(ready, nil, 0o600))
	}
	require.NoError(t, c.Run(t.Context(), t.Context(), nil, "GO="+ready))
	assert.Equal(t, "loaded\n", stdout.String())
	assert.Regexp(t, `^sh has ended, and left running: .+\. Milepost waits until they end$`, <-noticed)
}

func TestWhatACommandLeftRunningAndHasToBeEndedIsNotDone(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	c, _, _ := script(t, `sleep 1000 & echo $! >"$PIDS.tmp"; mv "$PIDS.tmp" "$PIDS"`)
	c.Grace = time.Millisecond
	told := errors.New("told to stop")
	stop, end := context.WithCancelCause(t.Context())
	go func() { processtest.WaitForFile(pids); end(told) }()
	assert.ErrorIs(t, c.Run(t.Context(), stop, nil, "PIDS="+pids), told)
	processtest.AssertGone(t, pids)
}

func TestWhatAFailedCommandLeftRunningIsEnded(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	c, _, _ := script(t, `sleep 1000 & echo $! >"$PIDS"; exit 3`)
	assert.EqualError(t, c.Run(t.Context(), t.Context(), nil, "PIDS="+pids), "exit status 3")
	processtest.AssertGone(t, pids)
}
