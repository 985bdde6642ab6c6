package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/store"
)

// setFlags say what the new version has.
type setFlags struct {
	cursor, state, contentType, from string
	processed, failed                int64
}

func (a *app) setCommand() *cobra.Command {
	var f editFlags
	var content setFlags
	cmd := &cobra.Command{
		Use:   "set NAME --cursor C [--state FILE]",
		Short: "Write a new version by hand: cursor, counts, state",
		Long: `Set writes a new version; what you do not give stays as it is. It makes a checkpoint that
does not exist. Set takes the lease, so it is refused while a job runs.

The cursor of a batch job is the number of records that are done: the job finds the place
in its input by itself.`,
		Example: `  milepost set flights --cursor 41000
  milepost set orders/eu --cursor ord-87910 --state state.json --reason "INC-123" --execute
  milepost get a -o json | milepost set b --from - --execute`,
		Args:              exactly("NAME"),
		ValidArgsFunction: a.completeNames,
	}
	flags := cmd.Flags()
	flags.StringVar(&content.cursor, "cursor", "", "where the job is to resume")
	flags.Int64Var(&content.processed, "processed", 0, "how many records were processed")
	flags.Int64Var(&content.failed, "failed", 0, "how many records failed")
	flags.StringVar(&content.state, "state", "", "`FILE` with the job's state, - for standard input")
	flags.StringVar(&content.contentType, "content-type", "application/json", "the media type of the state")
	flags.StringVar(&content.from, "from", "", "`FILE` with the output of get -o json, - for standard input; other flags win over it")
	cmd.MarkFlagsOneRequired("cursor", "state", "from", "processed", "failed")
	f.add(cmd)
	f.addReason(cmd, "the new version")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		open := mustExist
		if f.execute {
			open = mayCreate
		}
		return a.named(open, func(ctx context.Context, s *openStore, key store.Key, _ []string) error {
			options, err := f.options(a, cmd)
			if err != nil {
				return err
			}
			c, err := content.read(a, cmd)
			if err != nil {
				return err
			}
			e, err := s.in(key.Namespace).Set(ctx, key.Name, c, options)
			if err != nil {
				return err
			}
			return a.printEdit("set", key, e, options, "")
		})(cmd, args)
	}
	return cmd
}

// read gathers the content from the flags that were given.
func (f *setFlags) read(a *app, cmd *cobra.Command) (checkpoint.Content, error) {
	var c checkpoint.Content
	given := cmd.Flags().Changed
	if f.from == "-" && f.state == "-" {
		return c, kinds.Usagef("--from and --state cannot both be standard input")
	}
	if f.processed < 0 || f.failed < 0 {
		return c, kinds.Usagef("--processed and --failed cannot be negative")
	}
	if given("from") {
		data, err := a.readFile(f.from)
		if err != nil {
			return c, err
		}
		var cp checkpoint.Checkpoint
		if err := json.Unmarshal(data, &cp); err != nil {
			return c, fmt.Errorf("read %s, which should have the output of get -o json: %w", f.from, err)
		}
		c = checkpoint.ContentOf(&cp)
	}
	if given("cursor") {
		c.Cursor = &f.cursor
	}
	if given("processed") {
		c.Processed = &f.processed
	}
	if given("failed") {
		c.Failed = &f.failed
	}
	if given("state") {
		data, err := a.readFile(f.state)
		if err != nil {
			return c, err
		}
		if f.contentType == "application/json" && !json.Valid(data) {
			return c, kinds.Usagef("--state %s is not valid JSON; for another format give --content-type", f.state)
		}
		c.State, c.ContentType = data, f.contentType
	}
	return c, nil
}

// readFile reads a file, or standard input for "-".
func (a *app) readFile(path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(a.stdin)
	}
	return os.ReadFile(path)
}
