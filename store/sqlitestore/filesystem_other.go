//go:build !linux && !darwin && !freebsd && !windows

package sqlitestore

// filesystem returns nothing, because this system does not say.
func filesystem(string) (name string, network bool) { return "", false }
