//go:build unix && !linux

package child

import "syscall"

// dieWithParent does nothing: the system offers no such thing.
func dieWithParent(*syscall.SysProcAttr) {}
