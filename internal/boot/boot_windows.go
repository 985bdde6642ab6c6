package boot

import (
	"errors"
	"strconv"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// id is the id of the installation, and when its System process was started. Windows has no boot id
// of its own.
var id = sync.OnceValue(func() string {
	key, err := registry.OpenKey(registry.LOCAL_MACHINE, `SOFTWARE\Microsoft\Cryptography`, registry.QUERY_VALUE|registry.WOW64_64KEY)
	if err != nil {
		return ""
	}
	defer func() { _ = key.Close() }()
	machine, _, err := key.GetStringValue("MachineGuid")
	if err != nil || machine == "" {
		return ""
	}
	started := systemStarted()
	if started == 0 {
		return ""
	}
	return machine + "/" + strconv.FormatInt(started, 10)
})

// systemStarted returns when process 4, System, was started, in units of 100 ns. It returns 0 if
// that is not known.
func systemStarted() int64 {
	const system = 4
	for size := uint32(1 << 18); size <= 1<<26; size *= 2 {
		buffer := make([]uint64, size/8) // aligned
		err := windows.NtQuerySystemInformation(windows.SystemProcessInformation, unsafe.Pointer(&buffer[0]), size, nil)
		if errors.Is(err, windows.STATUS_INFO_LENGTH_MISMATCH) {
			continue
		}
		if err != nil {
			return 0
		}
		for at := uint32(0); ; {
			p := (*windows.SYSTEM_PROCESS_INFORMATION)(unsafe.Add(unsafe.Pointer(&buffer[0]), at))
			if p.UniqueProcessID == system {
				return p.CreateTime
			}
			if p.NextEntryOffset == 0 {
				return 0
			}
			at += p.NextEntryOffset
		}
	}
	return 0
}

// Uptime returns the time since the boot, the machine's sleep included.
func Uptime() (time.Duration, bool) { return windows.DurationSinceBoot(), true }
