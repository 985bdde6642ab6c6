package lease

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/milepost-dev/milepost/internal/boot"
	"github.com/milepost-dev/milepost/store"
)

var thisProcess = sync.OnceValue(identify)

// identify returns what identifies this process on this machine: boot id, pid and time namespace,
// and start time in clock ticks. Without a boot id there is no rule (e), and rule (b) still knows
// this process by the rest. Where the system does not say the rest, identify returns nothing.
func identify() store.Holder {
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return store.Holder{}
	}
	times, err := os.Readlink("/proc/self/ns/time")
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a kernel before 5.6 has no time namespaces
		return store.Holder{}
	}
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return store.Holder{}
	}
	start := sightingOf(stat).start
	if start == "" {
		return store.Holder{}
	}
	return store.Holder{PID: os.Getpid(), Boot: boot.ID(), PIDSpace: space, PIDStart: start, TimeSpace: times}
}

func see(pid int) sighting {
	return view{kill: func(pid int) error { return syscall.Kill(pid, 0) }, read: os.ReadFile}.see(pid)
}

// view is how the system is asked about processes.
type view struct {
	kill func(pid int) error // sends signal 0
	read func(path string) ([]byte, error)
}

func (v view) see(pid int) sighting {
	if pid <= 0 {
		return sighting{} // not a process's
	}
	if errors.Is(v.kill(pid), syscall.ESRCH) {
		return sighting{absent: true}
	}
	if !v.procIsOurs() {
		return sighting{}
	}
	stat, err := v.read("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return sighting{} // hidden, or ended just now
	}
	return sightingOf(stat)
}

// procIsOurs reports whether /proc shows the pids of this process's own pid namespace, and not
// those of an outer one. There this process has more than one pid.
func (v view) procIsOurs() bool {
	status, err := v.read("/proc/self/status")
	if err != nil {
		return false
	}
	_, rest, _ := bytes.Cut(status, []byte("\nNSpid:"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	return len(bytes.Fields(line)) == 1
}

// sightingOf reads the content of a /proc/PID/stat.
func sightingOf(stat []byte) sighting {
	// The command, field 2, is in parentheses, and may contain spaces and parentheses itself.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const state, threads, start = 0, 17, 19 // fields 3, 20 and 22
	if len(fields) <= start {
		return sighting{}
	}
	// The first thread of a process that goes on in others is a zombie as well.
	return sighting{ended: fields[state] == "Z" && fields[threads] == "1", start: fields[start]}
}
