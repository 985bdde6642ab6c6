//go:build unix && !aix && !solaris

package dirarchive

import (
	"errors"
	"os"
	"syscall"
)

// tryLock takes the lock on a file, which lasts until it is closed or its process ends.
func tryLock(file *os.File) (bool, error) {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return false, nil
	}
	return err == nil, err
}
