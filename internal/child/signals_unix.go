//go:build unix

package child

import (
	"os"
	"syscall"
)

// Forwarded are the signals that [Attached.Wait] can forward on this system.
var Forwarded = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2,
}
