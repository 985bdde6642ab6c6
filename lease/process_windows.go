package lease

import (
	"errors"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/windows"

	"github.com/milepost-dev/milepost/internal/boot"
	"github.com/milepost-dev/milepost/store"
)

// thisProcess identifies this process on this machine by boot id and start time.
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
	process, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION|windows.SYNCHRONIZE, false, uint32(pid))
	if err != nil {
		// Access denied, for one, is the answer for a process that runs.
		return sighting{absent: errors.Is(err, windows.ERROR_INVALID_PARAMETER)}
	}
	defer func() { _ = windows.CloseHandle(process) }()
	// A process that has ended can still be opened while another one has a handle to it.
	event, err := windows.WaitForSingleObject(process, 0)
	s := sighting{ended: err == nil && event == windows.WAIT_OBJECT_0}
	var created, exited, kernel, user windows.Filetime
	if windows.GetProcessTimes(process, &created, &exited, &kernel, &user) == nil {
		s.start = strconv.FormatInt(created.Nanoseconds(), 10)
	}
	return s
}
