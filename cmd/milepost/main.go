// Command milepost runs data jobs that resume from their last checkpoint. It also shows, edits and
// repairs checkpoints.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}
