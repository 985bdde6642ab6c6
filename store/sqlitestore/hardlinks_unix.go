//go:build unix

package sqlitestore

import (
	"os"
	"syscall"
)

// hardLinks returns how many names the file has.
func hardLinks(path string) (uint64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return uint64(info.Sys().(*syscall.Stat_t).Nlink), nil //nolint:unconvert // its type depends on the system
}

// everyoneMayWrite reports whether all users may make files in dir.
func everyoneMayWrite(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && info.Mode().Perm()&0o002 != 0
}
