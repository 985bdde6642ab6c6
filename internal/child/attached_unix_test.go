//go:build unix

package child

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/test/processtest"
)

// attached starts a script that knows the path of a file to report to.
func attached(t *testing.T, grace time.Duration, text string) (a *Attached, report string) {
	t.Helper()
	report = filepath.Join(t.TempDir(), "report")
	cmd := exec.Command("sh", "-c", text)
	cmd.Env = append(os.Environ(), "REPORT="+report)
	a, err := Start(cmd, Options{Dir: filepath.Join(t.TempDir(), "socket"), Grace: grace, Confirm: func() error { return nil }, Notice: func(string) {}})
	require.NoError(t, err)
	return a, report
}

func TestASignalIsForwardedAndIsWhyTheCommandEnded(t *testing.T) {
	a, report := attached(t, time.Minute, `trap 'exit 3' TERM; : >"$REPORT"; sleep 1000 & wait`)
	signals := make(chan os.Signal, 1)
	go func() { processtest.WaitForFile(report); signals <- syscall.SIGTERM }()
	end := a.Wait(t.Context(), nil, signals)
	assert.Equal(t, syscall.SIGTERM, end.Signal)
	assert.EqualError(t, end.Err, "exit status 3")
}

func TestTheEndOfTheContextReplacesASignal(t *testing.T) {
	a, report := attached(t, 10*time.Millisecond, `trap : TERM; : >"$REPORT"; sleep 0.2; while :; do sleep 0.01; done`)
	lost := errors.New("lease lost")
	ctx, lose := context.WithCancelCause(t.Context())
	signals := make(chan os.Signal)
	go func() { processtest.WaitForFile(report); signals <- syscall.SIGTERM; lose(lost) }()
	end := a.Wait(ctx, nil, signals)
	assert.Equal(t, End{Err: end.Err, Lost: lost}, end)
	assert.EqualError(t, end.Err, "signal: killed")
}

func TestAHandoffEndsTheCommand(t *testing.T) {
	a, report := attached(t, time.Minute, `: >"$REPORT"; sleep 1000`)
	yield := make(chan struct{})
	go func() { processtest.WaitForFile(report); close(yield) }()
	end := a.Wait(t.Context(), yield, nil)
	assert.Equal(t, End{Err: end.Err, Yielded: true}, end)
}

func TestWhatAnAttachedCommandLeftRunningIsWaitedFor(t *testing.T) {
	a, report := attached(t, time.Minute, `(while [ ! -e "$REPORT" ]; do sleep 0.01; done; echo done >"$REPORT.done") & exit 0`)
	go func() { assert.NoError(t, os.WriteFile(report, nil, 0o600)) }()
	assert.Equal(t, End{}, a.Wait(t.Context(), nil, nil))
	assert.FileExists(t, report+".done")
}

func TestWhatAFailedAttachedCommandLeftRunningIsEnded(t *testing.T) {
	a, report := attached(t, time.Minute, `sleep 1000 & echo $! >"$REPORT"; exit 3`)
	assert.EqualError(t, a.Wait(t.Context(), nil, nil).Err, "exit status 3")
	processtest.AssertGone(t, report)
}

func TestALossEndsWhatAnAttachedCommandLeftRunning(t *testing.T) {
	a, report := attached(t, time.Minute, `sleep 1000 & echo $! >"$REPORT.tmp"; mv "$REPORT.tmp" "$REPORT"`)
	lost := errors.New("lease lost")
	ctx, lose := context.WithCancelCause(t.Context())
	go func() { processtest.WaitForFile(report); lose(lost) }()
	assert.Equal(t, lost, a.Wait(ctx, nil, nil).Lost)
	processtest.AssertGone(t, report)
}
