package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/internal/kinds"
)

// untilSignal returns a context that ends at the first signal that asks to stop, and a second context
// that ends at the next one. Their cause is a [*kinds.SignalError].
func untilSignal(parent context.Context) (first, second context.Context, release func()) {
	first, cancelFirst := context.WithCancelCause(parent)
	second, cancelSecond := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) { // under nohup, and in the background of a shell, some are ignored
			signal.Notify(signals, s)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, cancel := range []context.CancelCauseFunc{cancelFirst, cancelSecond} {
			select {
			case s := <-signals:
				cancel(&kinds.SignalError{Signal: s})
			case <-second.Done():
				return
			}
		}
	}()
	return first, second, func() {
		signal.Stop(signals)
		cancelFirst(nil)
		cancelSecond(nil)
		<-done
	}
}

// exitCodesTopic is the topic of milepost help exit-codes.
func exitCodesTopic() *cobra.Command {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "EXIT\tKIND\tWHEN")
	for _, k := range kinds.ByExit() {
		_, _ = fmt.Fprintf(w, "%d\t%s\t%s\n", k.Exit, k.Name, k.When)
	}
	_ = w.Flush()
	return &cobra.Command{
		Use: "exit-codes", Short: "How the command ends: exit codes and kinds of error",
		Long: "With -o json an error is one line of JSON on standard error, with its kind.\n\n" + b.String(),
	}
}
