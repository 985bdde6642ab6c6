package main

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }

// fileOf returns a file that holds data and has no name, in memory, where a
// container's read-only or tiny disk does not matter.
func fileOf(data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("batch", unix.MFD_CLOEXEC)
	if err != nil {
		return tempFileOf(data)
	}
	return filled(os.NewFile(uintptr(fd), "batch"), data)
}
