//go:build darwin || freebsd

package sqlitestore

import "golang.org/x/sys/unix"

// filesystem returns the name of dir's filesystem, and whether it is on the network. Both are zero
// if the system does not say.
func filesystem(dir string) (name string, network bool) {
	var at unix.Statfs_t
	if err := unix.Statfs(dir, &at); err != nil {
		return "", false
	}
	return unix.ByteSliceToString(at.Fstypename[:]), uint64(at.Flags)&unix.MNT_LOCAL == 0
}
