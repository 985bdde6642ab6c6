package child

import (
	"os"

	"golang.org/x/sys/unix"
)

// fileOf returns a file that holds data and has no name. The file is in memory, so a read-only or
// very small disk of a container does not matter.
func fileOf(data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("batch", unix.MFD_CLOEXEC)
	if err != nil {
		return tempFileOf(data)
	}
	return filled(os.NewFile(uintptr(fd), "batch"), data)
}
