package lease

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/milepost-dev/milepost/internal/boot"
	"github.com/milepost-dev/milepost/store"
)

// thisProcess identifies this process on this machine by boot id and start time. macOS has no pid
// and time namespaces.
var thisProcess = sync.OnceValue(func() store.Holder {
	start := see(os.Getpid()).start
	if start == "" {
		return store.Holder{}
	}
	return store.Holder{PID: os.Getpid(), Boot: boot.ID(), PIDStart: start}
})

func see(pid int) sighting {
	if pid <= 0 {
		return sighting{} // not a process's
	}
	if errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
		return sighting{absent: true}
	}
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil || int(info.Proc.P_pid) != pid {
		return sighting{} // a sandbox hides it, or it ended just now
	}
	const zombie = 5 // SZOMB of sys/proc.h
	started := info.Proc.P_starttime
	return sighting{ended: info.Proc.P_stat == zombie, start: fmt.Sprintf("%d.%06d", started.Sec, started.Usec)}
}
