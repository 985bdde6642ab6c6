// Command racer is a contender for one lease. At a line of input it tries once to acquire the lease
// and prints the result; at the next line it releases the lease.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/store/sqlitestore"
)

func main() {
	ctx := context.Background()
	st, err := open(ctx)
	if err == nil {
		err = race(ctx, st, os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "racer:", err)
		os.Exit(1)
	}
}

// open opens the file RACE_FILE, or the table RACE_TABLE behind RACE_ENDPOINT.
func open(ctx context.Context) (store.Store, error) {
	if path := os.Getenv("RACE_FILE"); path != "" {
		return sqlitestore.Open(ctx, path, nil)
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	client := dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) { o.BaseEndpoint = aws.String(os.Getenv("RACE_ENDPOINT")) })
	return dynamostore.New(client, os.Getenv("RACE_TABLE")), nil
}

func race(ctx context.Context, st store.Store, in io.Reader, out io.Writer) error {
	key := store.Key{Namespace: store.DefaultNamespace, Name: "raced"}
	lines := bufio.NewScanner(in)
	said := "ready"
	for {
		if _, err := fmt.Fprintln(out, said); err != nil {
			return err
		}
		if !lines.Scan() {
			return lines.Err()
		}
		l, err := lease.Acquire(ctx, st, key, nil)
		held, isHeld := errors.AsType[*lease.HeldError](err)
		switch {
		case isHeld:
			said = fmt.Sprintln("held by", held.Holder.PID, "of epoch", held.Epoch)
		case err != nil:
			return err
		default:
			said = fmt.Sprintln("won epoch", l.Epoch())
		}
		if _, err := fmt.Fprint(out, said); err != nil {
			return err
		}
		if !lines.Scan() {
			return lines.Err()
		}
		if l != nil {
			if err := l.Release(ctx); err != nil {
				return err
			}
		}
		said = "released"
	}
}
