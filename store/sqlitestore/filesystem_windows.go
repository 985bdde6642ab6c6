package sqlitestore

import (
	"path/filepath"

	"golang.org/x/sys/windows"
)

// filesystem reports whether dir is on another machine's disk. It does not know the filesystem's
// name.
func filesystem(dir string) (name string, network bool) {
	root, err := windows.UTF16PtrFromString(filepath.VolumeName(dir) + `\`)
	if err != nil {
		return "", false
	}
	if windows.GetDriveType(root) == windows.DRIVE_REMOTE {
		return "remote drive", true
	}
	return "", false
}
