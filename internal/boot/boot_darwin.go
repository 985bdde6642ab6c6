package boot

import (
	"time"

	"golang.org/x/sys/unix"
)

func id() string {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return ""
	}
	return id
}

// Uptime returns the time since the boot, the machine's sleep included. It reports false where that
// is not known.
func Uptime() (time.Duration, bool) {
	var now unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_MONOTONIC_RAW, &now)
	return time.Duration(now.Nano()), err == nil
}
