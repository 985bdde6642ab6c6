package lease

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
)

// asHeadless makes the test's binary a process whose first thread ends.
const asHeadless = "TEST_AS_HEADLESS"

func TestNotSeeingAProcessIsNoProofThatItHasEnded(t *testing.T) {
	const pid = 4711
	stat := func(state string, threads int, start string) string {
		return fmt.Sprintf("%d (a (b) c) %s 1 %s %d 0 %s 0 0 0", pid, state, strings.Repeat("0 ", 15)[:29], threads, start)
	}
	stats := []struct {
		name, content string
		err           error
	}{
		{name: "none", err: fs.ErrNotExist},
		{name: "denied", err: fs.ErrPermission},
		{name: "ended meanwhile", err: syscall.ESRCH},
		{name: "empty", content: ""},
		{name: "cut", content: stat("S", 1, "8231")[:30]},
		{name: "itself", content: stat("S", 4, "8231")},
		{name: "stopped", content: stat("T", 4, "8231")},
		{name: "first thread ended", content: stat("Z", 3, "8231")},
		{name: "zombie", content: stat("Z", 1, "8231")},
		{name: "another start", content: stat("S", 1, "9999")},
		{name: "another's first thread ended", content: stat("Z", 2, "9999")},
	}
	kills := map[string]error{"no error": nil, "EPERM": syscall.EPERM, "EACCES": syscall.EACCES, "EINVAL": syscall.EINVAL, "ESRCH": syscall.ESRCH}
	procs := map[string]string{
		"own":             "Name:\tm\nNSpid:\t12\nNSpgid:\t12\n",
		"an outer":        "Name:\tm\nNSpid:\t4012\t12\nNSpgid:\t4012\t12\n",
		"one that is old": "Name:\tm\n",
		"none":            "",
	}
	for kill, answer := range kills {
		for proc, status := range procs {
			for _, shown := range stats {
				v := view{
					kill: func(got int) error {
						assert.Equal(t, pid, got)
						return answer
					},
					read: func(path string) ([]byte, error) {
						switch {
						case path == "/proc/self/status" && status != "":
							return []byte(status), nil
						case path == "/proc/4711/stat":
							return []byte(shown.content), shown.err
						}
						return nil, fs.ErrNotExist
					},
				}
				for _, times := range []string{"time:[1]", "time:[2]", ""} {
					var want bool // proved to have ended
					switch {
					case kill == "ESRCH":
						want = true
					case proc != "own":
					case shown.name == "zombie":
						want = true
					case shown.name == "another start", shown.name == "another's first thread ended":
						want = times == "time:[1]"
					}
					holder := store.Holder{PID: pid, PIDStart: "8231", TimeSpace: times}
					assert.Equal(t, want, v.see(pid).provesEnd(holder, store.Holder{TimeSpace: "time:[1]"}),
						"kill says %s, /proc is %s, stat is %s, holder's time namespace is %q", kill, proc, shown.name, times)
				}
			}
		}
	}
}

func TestAPIDThatIsNotAProcessProvesNothing(t *testing.T) {
	// kill takes these for groups of processes.
	for _, pid := range []int{0, -1, -4711} {
		v := view{kill: func(int) error { return syscall.ESRCH }, read: os.ReadFile}
		assert.Zero(t, v.see(pid), "%d", pid)
	}
}

func TestThisProcessIsSeenToRun(t *testing.T) {
	self := thisProcess()
	require.NotEmpty(t, self.Boot)
	assert.Equal(t, os.Getpid(), self.PID)
	assert.Equal(t, sighting{start: self.PIDStart}, see(os.Getpid()))
	assert.True(t, processAlive(self))
}

func TestWithoutABootIDAProcessIsStillItself(t *testing.T) {
	t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "load")
	self := identify()
	assert.Empty(t, self.Boot, "so there is no rule (e)")
	assert.NotEmpty(t, self.PIDStart, "rule (b) must tell a restart with the same pid from this process")
	assert.True(t, sameProcess(self, identify()))
	restarted := self
	restarted.PIDStart += "1"
	assert.False(t, sameProcess(self, restarted))
}

func TestAProcessThatWasKilledHasEndedBeforeAndAfterItsParentWaits(t *testing.T) {
	h, cmd := anotherProcess(t, "sleep", "1000")
	assert.True(t, processAlive(h))
	require.NoError(t, cmd.Process.Kill())
	require.Eventually(t, func() bool { return !processAlive(h) }, time.Minute, time.Millisecond, "as a zombie")
	assert.True(t, see(h.PID).ended)
	_ = cmd.Wait()
	assert.Equal(t, sighting{absent: true}, see(h.PID))
}

func TestAProcessWhoseFirstThreadHasEndedRuns(t *testing.T) {
	t.Setenv(asHeadless, "1")
	self, err := os.Executable()
	require.NoError(t, err)
	h, _ := anotherProcess(t, self)
	require.Eventually(t, func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", h.PID))
		return err == nil && strings.Contains(string(stat), ") Z ")
	}, time.Minute, time.Millisecond)
	assert.True(t, processAlive(h))
}

// anotherProcess starts a process and returns what it would record of itself.
func anotherProcess(t *testing.T, name string, args ...string) (store.Holder, *exec.Cmd) {
	t.Helper()
	cmd := exec.Command(name, args...)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	h := thisProcess()
	h.PID, h.PIDStart = cmd.Process.Pid, see(cmd.Process.Pid).start
	require.NotEmpty(t, h.PIDStart)
	return h, cmd
}

// The first thread is that of init functions and, if it is locked there, of main.
func init() {
	if os.Getenv(asHeadless) == "" {
		return
	}
	runtime.LockOSThread()
	go func() { time.Sleep(time.Hour) }()
	_, _, err := syscall.Syscall(syscall.SYS_EXIT, 0, 0, 0) // ends the thread alone
	panic(errors.New("the thread goes on: " + strconv.Itoa(int(err))))
}
