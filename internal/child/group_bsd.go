//go:build unix && !linux

package child

import "syscall"

// dieWithParent does nothing: the system cannot kill a child together with its parent.
func dieWithParent(*syscall.SysProcAttr) {}
