//go:build unix

package processtest

import (
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// WaitForFile waits until the file is there.
func WaitForFile(path string) {
	for {
		if _, err := os.Stat(path); err == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// WaitForKeeper waits until the group of the first process that the file names has a keeper, which
// ends the group when its parent is killed.
func WaitForKeeper(t *testing.T, pids string) {
	t.Helper()
	WaitForFile(pids)
	if runtime.GOOS == "linux" {
		return // the keeper started it
	}
	content, err := os.ReadFile(pids)
	require.NoError(t, err)
	keeper := regexp.MustCompile(`(?m)^ *` + strings.Fields(string(content))[0] + ` .*kill -KILL 0`)
	require.Eventually(t, func() bool {
		all, err := exec.Command("ps", "-A", "-o", "pgid=,args=").Output()
		return err == nil && keeper.Match(all)
	}, time.Minute, 5*time.Millisecond)
}

// AssertGone checks that the processes that the file names end soon.
func AssertGone(t *testing.T, pids string) {
	t.Helper()
	content, err := os.ReadFile(pids)
	require.NoError(t, err)
	for field := range strings.FieldsSeq(string(content)) {
		pid, err := strconv.Atoi(field)
		require.NoError(t, err)
		assert.Eventually(t, func() bool { return !running(pid) }, time.Minute, time.Millisecond, "process %d", pid)
	}
}

// running reports whether a process runs. A zombie does not.
func running(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	out, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && !strings.HasPrefix(strings.TrimSpace(string(out)), "Z")
}
