//go:build darwin || freebsd

package sqlitestore

import "golang.org/x/sys/unix"

// filesystem returns the name of the filesystem that dir is on, and whether it is a
// network's. Both are zero where the system does not tell.
func filesystem(dir string) (name string, network bool) {
	var at unix.Statfs_t
	if err := unix.Statfs(dir, &at); err != nil {
		return "", false
	}
	return unix.ByteSliceToString(at.Fstypename[:]), uint64(at.Flags)&unix.MNT_LOCAL == 0
}
