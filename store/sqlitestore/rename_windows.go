package sqlitestore

import (
	"os"

	"golang.org/x/sys/windows"
)

// renameNew renames a file, and fails with [fs.ErrExist] if the new name is taken. [os.Rename]
// would overwrite.
func renameNew(from, to string) error {
	old, err := windows.UTF16PtrFromString(from)
	if err != nil {
		return err
	}
	name, err := windows.UTF16PtrFromString(to)
	if err != nil {
		return err
	}
	if err := windows.MoveFileEx(old, name, windows.MOVEFILE_WRITE_THROUGH); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}
