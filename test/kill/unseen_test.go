//go:build linux

package kill_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// view is a place on this machine from which a process is not seen as it is.
type view struct {
	outer []string // the command that starts another one there
	// proof is a shell command that succeeds there if process $1 is not seen as it is.
	proof string
	dead  bool // whether the end of a process can be proved there
}

// hidden mounts a /proc that hides the processes of others, as systemd's ProtectProc=invisible
// does, and goes on as another user.
func hidden(options string) []string {
	return []string{"unshare", "--mount", "--propagation", "private", "sh", "-c",
		`mount -t proc -o hidepid=2 proc /proc && exec setpriv --reuid=65534 --regid=65534 --clear-groups ` + options + ` "$0" "$@"`}
}

var views = map[string]view{
	"a /proc that hides it":               {hidden(""), `! test -e /proc/$1 && ! kill -0 $1`, true},
	"a /proc that hides it, and CAP_KILL": {hidden("--inh-caps=+kill --ambient-caps=+kill"), `! test -e /proc/$1 && kill -0 $1`, true},
	"another time namespace": {[]string{"unshare", "--time", "--boottime", "3600", "--fork"},
		`test $(sed 's/.*) //' /proc/$1/stat | cut -d ' ' -f 20) != $2`, true},
	"another pid namespace": {[]string{"unshare", "--pid", "--fork", "--mount-proc"}, `! kill -0 $1`, false},
	// /proc still shows the outer namespace's processes.
	"another pid namespace, with a /proc of this one": {[]string{"unshare", "--pid", "--fork"}, `! kill -0 $1`, false},
	"a boot id of its own": {[]string{"unshare", "--mount", "--propagation", "private", "sh", "-c",
		`mount -t tmpfs none /mnt && cat /proc/sys/kernel/random/uuid >/mnt/id && mount --bind /mnt/id /proc/sys/kernel/random/boot_id && exec "$0" "$@"`},
		`kill -0 $1`, false},
	"AWS Lambda": {[]string{"env", "AWS_LAMBDA_FUNCTION_NAME=f"}, `kill -0 $1`, false},
}

// onEachView runs a test from each place that this system lets a test make.
func onEachView(t *testing.T, test func(*testing.T, engine, view)) {
	for name, v := range views {
		t.Run(name, func(t *testing.T) {
			if out, err := exec.Command(v.outer[0], append(v.outer[1:len(v.outer):len(v.outer)], "true")...).CombinedOutput(); err != nil {
				t.Logf("NOT TESTED from %s, because this system does not let the test make it (it needs root): %s: %v: %s; "+
					"TestNotSeeingAProcessIsNoProofThatItHasEnded has every case over injected answers",
					name, strings.Join(v.outer, " "), err, out)
				return
			}
			t.Run("sqlite", func(t *testing.T) {
				f := newFile(t)
				f.open(t)
				test(t, f, v)
			})
			t.Run("dynamodb", func(t *testing.T) { test(t, newTable(t), v) })
		})
	}
}

// open lets every user write to the file, and run the programs.
func (f *file) open(t *testing.T) {
	t.Helper()
	program(t, "milepost")
	dir := filepath.Dir(f.path)
	for path, mode := range map[string]os.FileMode{programs: 0o755, filepath.Dir(dir): 0o755, dir: 0o777} {
		require.NoError(t, os.Chmod(path, mode))
	}
	all, err := filepath.Glob(f.path + "*")
	require.NoError(t, err)
	for _, path := range all {
		require.NoError(t, os.Chmod(path, 0o666))
	}
}

// from starts another run of the job from there.
func (j *job) from(v view) *run {
	j.t.Helper()
	return j.within(v.outer, "run", j.key.Name, "--", "true")
}

func TestALiveHolderThatIsNotSeenAsItIsKeepsItsLease(t *testing.T) {
	onEachView(t, func(t *testing.T, e engine, v view) {
		j := someFlights(t, e, "unseen")
		j.shut()
		holder := j.start("--lease-duration", "1h")
		w := j.started(holder, 0, 1)
		j.halfway(w)
		pid := fmt.Sprint(holder.cmd.Process.Pid)
		out, err := exec.Command(v.outer[0], append(v.outer[1:len(v.outer):len(v.outer)],
			"sh", "-c", v.proof, "sh", pid, startOf(t, pid))...).CombinedOutput()
		require.NoError(t, err, "the place is not what it should be: %s", out)

		contender := j.from(v)
		require.Equal(t, 5, contender.exit(), contender.said())
		assert.Contains(t, contender.said(), "pid "+pid)
		assert.False(t, holder.ended(), holder.said())
		j.open()
		require.Zero(t, holder.exit(), holder.said())
		assert.Zero(t, j.checkDone(), "records processed again")
	})
}

func TestADeadHolderIsSeenToBeDeadWhereverThatCanBeProved(t *testing.T) {
	onEachView(t, func(t *testing.T, e engine, v view) {
		j := someFlights(t, e, "dead")
		j.crashed(long)
		contender := j.from(v)
		if v.dead {
			require.Zero(t, contender.exit(), contender.said())
		} else {
			require.Equal(t, 5, contender.exit(), contender.said())
		}
	})
}

func TestADeadHolderThatNoProcessHasWaitedForLosesItsLeaseAtOnce(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		j := someFlights(t, e, "zombie")
		holder := exec.Command(program(t, "milepost"), "run", j.key.Name, "--lease-duration", "1h", "--", "sleep", "1000")
		holder.Env = append(append(os.Environ(), e.env()...), "MILEPOST_STORE="+e.url())
		require.NoError(t, holder.Start())
		defer func() { _ = holder.Wait() }()
		defer func() { _ = holder.Process.Kill() }()
		wait(t, "the lease", func() bool { l := j.look().Lease; return l != nil && j.epoch() > 0 })
		require.NoError(t, holder.Process.Signal(syscall.SIGKILL))
		stat := fmt.Sprintf("/proc/%d/stat", holder.Process.Pid)
		wait(t, "a zombie", func() bool {
			content, err := os.ReadFile(stat)
			require.NoError(t, err)
			return strings.Contains(string(content), ") Z ")
		})
		next := j.command("run", j.key.Name, "--", "true")
		require.Zero(t, next.exit(), next.said())
	})
}

// startOf returns field 22 of /proc/PID/stat.
func startOf(t *testing.T, pid string) string {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	require.NoError(t, err)
	return strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))[19]
}
