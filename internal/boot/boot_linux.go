package boot

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

func id() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// Uptime returns the time since the boot, the machine's sleep included. It reports false where that
// is not known: a time namespace has its own boot-time clock.
func Uptime() (time.Duration, bool) {
	if !machinesClock() {
		return 0, false
	}
	var now unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
	return time.Duration(now.Nano()), err == nil
}

// machinesClock is asked once: a process with threads cannot enter another time namespace, and
// reading /proc at each save would take longer than some saves.
var machinesClock = sync.OnceValue(func() bool { return onMachinesClock(os.Readlink, os.ReadFile) })

// onMachinesClock reports whether this process's boot-time clock is that of the machine. The file
// has the offsets of the children's namespace, which is usually this process's own, too.
func onMachinesClock(readlink func(string) (string, error), read func(string) ([]byte, error)) bool {
	own, err := readlink("/proc/self/ns/time")
	if errors.Is(err, fs.ErrNotExist) {
		return true // the kernel has no time namespaces
	}
	childrens, err2 := readlink("/proc/self/ns/time_for_children")
	offsets, err3 := read("/proc/self/timens_offsets")
	if err != nil || err2 != nil || err3 != nil || childrens != own {
		return false
	}
	for line := range strings.Lines(string(offsets)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "boottime" {
			return fields[1] == "0" && fields[2] == "0"
		}
	}
	return false
}
