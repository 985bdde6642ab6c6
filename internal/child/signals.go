package child

import (
	"os"
	"syscall"
)

// Stops reports whether a signal asks to stop.
func Stops(s os.Signal) bool { return s == os.Interrupt || s == syscall.SIGTERM || s == syscall.SIGHUP }
