// Serve finds or starts a DynamoDB endpoint as package dynamotest does, for
// shell tests and for people.
//
//	go run ./test/dynamotest/serve                   print its variables, serve until interrupted
//	go run ./test/dynamotest/serve go test ./...     run a command with them, exit as it does
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/milepost-dev/milepost/test/dynamotest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, os.Args[1:]); err != nil {
		if status := (*exec.ExitError)(nil); errors.As(err, &status) {
			os.Exit(max(status.ExitCode(), 1))
		}
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, command []string) error {
	server, err := dynamotest.Start(ctx)
	if err != nil {
		return err
	}
	defer server.Stop()
	fmt.Fprintf(os.Stderr, "DynamoDB endpoint: %s %s\n", server.Name, server.URL)
	if len(command) == 0 {
		for _, variable := range server.Env() {
			fmt.Println("export", variable)
		}
		<-ctx.Done()
		return nil
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), server.Env()...)
	return cmd.Run()
}
