package sqlitestore

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// renameNew renames a file, and fails with [fs.ErrExist] if the new name is taken.
func renameNew(from, to string) error {
	err := unix.RenamexNp(from, to, unix.RENAME_EXCL)
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EINVAL) { // not every filesystem can
		return linkNew(from, to)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}
