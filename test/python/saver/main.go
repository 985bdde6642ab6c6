// Saver reads lines with two numbers each. It saves a checkpoint as often as the first says, with a
// pause of as many milliseconds as the second says before each save. It answers with the time of
// each save in nanoseconds. python/bench.py compares saves through the agent with it.
//
//	saver sqlite PATH NAME
//	saver dynamodb TABLE NAME      at MILEPOST_TEST_DYNAMODB
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/store/sqlitestore"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "saver:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 3 {
		return errors.New("name an engine, a place and a checkpoint")
	}
	st, err := open(ctx, args[0], args[1])
	if err != nil {
		return err
	}
	s, err := checkpoint.Open[json.RawMessage](ctx, checkpoint.Namespace{Store: st}, args[2], nil)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		var saves, pause int
		if _, err := fmt.Scan(&saves, &pause); err != nil {
			return s.Close(ctx, nil)
		}
		var took []string
		for n := range saves {
			time.Sleep(time.Duration(pause) * time.Millisecond)
			began := time.Now()
			if err := s.Save(ctx, strconv.Itoa(n), json.RawMessage(`{"n":1}`)); err != nil {
				return err
			}
			took = append(took, strconv.FormatInt(time.Since(began).Nanoseconds(), 10))
		}
		fmt.Println(strings.Join(took, " "))
	}
}

func open(ctx context.Context, engine, place string) (store.Store, error) {
	switch engine {
	case "sqlite":
		return sqlitestore.Open(ctx, place, nil)
	case "dynamodb":
		settings, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return nil, err
		}
		client := dynamodb.NewFromConfig(settings, func(o *dynamodb.Options) {
			o.BaseEndpoint = aws.String(os.Getenv("MILEPOST_TEST_DYNAMODB"))
		})
		return dynamostore.New(client, place), nil
	}
	return nil, fmt.Errorf("unknown engine %q", engine)
}
