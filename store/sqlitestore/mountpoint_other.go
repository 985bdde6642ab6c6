//go:build !linux

package sqlitestore

// isMountPoint reports false: only Linux mounts single files.
func isMountPoint(string) bool { return false }
