package lease

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/milepost-dev/milepost/store"
)

// thisProcess identifies this process on this machine: boot id, pid namespace, and start time in
// clock ticks. It is empty if the system does not say.
var thisProcess = sync.OnceValue(func() store.Holder {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return store.Holder{}
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return store.Holder{}
	}
	start, err := processStart(os.Getpid())
	if err != nil {
		return store.Holder{}
	}
	return store.Holder{Boot: strings.TrimSpace(string(boot)), PIDSpace: space, PIDStart: start}
})

// processAlive reports whether the process that h recorded runs. It is called only for a holder on
// this machine and in this pid namespace. When in doubt, it reports true.
func processAlive(h store.Holder) bool {
	start, err := processStart(h.PID)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	return err != nil || start == h.PIDStart
}

// processStart reads field 22 of /proc/PID/stat. A zombie counts as ended.
func processStart(pid int) (string, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", err
	}
	// The command, field 2, is in parentheses, and may contain spaces and parentheses itself.
	_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return "", fmt.Errorf("/proc/%d/stat: %d fields after the command", pid, len(fields))
	}
	if state := fields[0]; state == "Z" || state == "X" {
		return "", fs.ErrNotExist
	}
	return fields[19], nil
}
