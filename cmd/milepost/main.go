// Command milepost runs data jobs that resume from their last checkpoint. It also shows, edits and
// repairs checkpoints.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// Without this, Go ends the process by SIGPIPE when it writes to standard output or error and the
	// reader has gone: a job would end with its lease held. The signal is caught, not ignored, so the
	// commands that milepost starts have its default action.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}
