// Serve runs a command, the tests of the Python package, with a DynamoDB and an S3 endpoint
// that packages dynamotest and s3test find or start:
//
//	go run ./test/python/serve python/.venv/bin/pytest python
//
// With -far 2ms, MILEPOST_FAR_DYNAMODB names the same DynamoDB endpoint with replies delayed by 2
// ms, for benchmarks.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/milepost-dev/milepost/test/dynamotest"
	"github.com/milepost-dev/milepost/test/s3test"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	far := flag.Duration("far", 0, "the delay of replies from MILEPOST_FAR_DYNAMODB")
	flag.Parse()
	if err := serve(ctx, *far, flag.Args()); err != nil {
		if status := (*exec.ExitError)(nil); errors.As(err, &status) {
			os.Exit(max(status.ExitCode(), 1))
		}
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, far time.Duration, command []string) error {
	if len(command) == 0 {
		return errors.New("name a command to run")
	}
	table, err := dynamotest.Start(ctx)
	if err != nil {
		return err
	}
	defer table.Stop()
	bucket, err := s3test.Start(ctx)
	if err != nil {
		return err
	}
	defer bucket.Stop()
	fmt.Fprintf(os.Stderr, "DynamoDB endpoint: %s %s\nS3 endpoint: %s %s\n", table.Name, table.URL, bucket.Name, bucket.URL)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// The S3 endpoint checks its credentials, and so comes last.
	cmd.Env = append(append(os.Environ(), table.Env()...), bucket.Env()...)
	if far > 0 {
		slow, err := later(table.URL, far)
		if err != nil {
			return err
		}
		defer slow.Close()
		cmd.Env = append(cmd.Env, "MILEPOST_FAR_DYNAMODB="+slow.URL)
	}
	return cmd.Run()
}

// later delays the endpoint's replies.
func later(endpoint string, delay time.Duration) (*httptest.Server, error) {
	target, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(*http.Response) error { time.Sleep(delay); return nil }
	return httptest.NewServer(proxy), nil
}
