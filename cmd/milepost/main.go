// Command milepost runs data jobs from checkpoint to checkpoint, and shows and
// mends what they left.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}
