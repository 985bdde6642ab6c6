package child

import (
	"os"

	"golang.org/x/sys/unix"
)

// fileOf returns a file that holds data and has no name. It is in memory, so that a container's
// read-only or tiny disk does not matter.
func fileOf(data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("batch", unix.MFD_CLOEXEC)
	if err != nil {
		return tempFileOf(data)
	}
	return filled(os.NewFile(uintptr(fd), "batch"), data)
}
