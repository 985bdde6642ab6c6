//go:build !linux && !darwin && !freebsd && !windows

package sqlitestore

// filesystem is not told by this system.
func filesystem(string) (name string, network bool) { return "", false }
