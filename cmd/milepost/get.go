package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/store"
)

func (a *app) getCommand() *cobra.Command {
	var version int64
	var at, stateTo string
	cmd := &cobra.Command{
		Use:   "get NAME",
		Short: "Show a checkpoint: where the job is, its counts, its state",
		Example: `  milepost get flights
  milepost get flights --version 40 -o json
  milepost get flights --at 2026-11-24T02:00:00Z
  milepost get flights --at 90m              # 90 minutes ago
  milepost get flights --state-to state.json # of any size`,
		Args:              exactly("NAME"),
		ValidArgsFunction: a.completeNames,
	}
	cmd.Flags().Int64Var(&version, "version", 0, "show this version (default: the newest)")
	cmd.Flags().StringVar(&at, "at", "", "show the newest version at this `time`: 2026-11-24T02:00:00Z, 2026-11-24 02:00 (UTC), or 90m for 90 minutes ago")
	cmd.Flags().StringVar(&stateTo, "state-to", "", "write the state, as it was saved, to this `FILE`, which is never left half written; - for standard output")
	cmd.MarkFlagsMutuallyExclusive("version", "at")
	cmd.RunE = a.named(mustExist, func(ctx context.Context, s *openStore, key store.Key, _ []string) error {
		options := &checkpoint.ReadOptions{Version: version}
		if cmd.Flags().Changed("version") && version < 1 {
			return kinds.Usagef("--version %d: versions count from 1", version)
		}
		if at != "" {
			var err error
			if options.At, err = parseTime("at", at, time.Now()); err != nil {
				return err
			}
		}
		cp, err := s.in(key.Namespace).Get(ctx, key.Name, options)
		if err != nil {
			return err
		}
		if stateTo != "" {
			if err := a.writeState(ctx, s, cp, stateTo); err != nil || stateTo == "-" {
				return err
			}
		}
		if a.output == "json" {
			return a.printJSON(cp)
		}
		return a.printCheckpoint(cp)
	})
	return cmd
}

// parseTime reads a time as people write it, or a duration before now.
func parseTime(flag, text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.UTC); err == nil {
			return t, nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, kinds.Usagef("--%s %q: write 2026-11-24T02:00:00Z, 2026-11-24 02:00 (UTC), or 90m for 90 minutes ago", flag, text)
}

func (a *app) printCheckpoint(cp *checkpoint.Checkpoint) error {
	now := time.Now()
	t := newTable("checkpoint", cp.Key.String())
	t.add("version", human.Thousands(cp.Number)+endedText(cp.Ended))
	t.add("cursor", cell(cp.Cursor))
	t.add("processed", human.Thousands(cp.Processed))
	t.add("failed", human.Thousands(cp.Failed))
	t.add("saved", since(cp.SavedAt, now))
	t.add("by", cp.By.String())
	t.add("epoch", fmt.Sprintf("%s, committed in %s", human.Thousands(cp.Epoch), human.Thousands(cp.CommitEpoch)))
	t.add("commit", cp.CommitID)
	for _, optional := range [][2]string{
		{"last error", cp.LastError}, {"identity", cp.Identity}, {"reason", cp.Reason}, {"label", cp.Label},
	} {
		if optional[1] != "" {
			t.add(optional[0], cell(optional[1]))
		}
	}
	if cp.Schema != 0 {
		t.add("schema", human.Thousands(cp.Schema))
	}
	if cp.RestoredFrom != 0 {
		t.add("content of", "version "+human.Thousands(cp.RestoredFrom))
	}
	if len(cp.Finished) > 0 {
		t.add("finished", fmt.Sprintf("%d ranges above the cursor", len(cp.Finished)))
	}
	if !cp.ExpiresAt.IsZero() {
		t.add("expires", human.Clock(cp.ExpiresAt))
	}
	if cp.Archived {
		t.add("kept", "only in the archive")
	}
	state := stateText(cp)
	if cp.Body != "" {
		state += ": --state-to FILE writes them"
	}
	t.add("state", state)
	return t.print(a.stdout)
}

func endedText(ended store.Ended) string {
	if ended == "" {
		return ""
	}
	return ", the session's last: " + string(ended)
}

// writeState writes the state, of any size, to a file or to standard output. On standard output a
// damaged state shows only at its end.
func (a *app) writeState(ctx context.Context, s *openStore, cp *checkpoint.Checkpoint, path string) error {
	bar := a.newWorkBar("state of")
	defer bar.clear()
	write := func(w io.Writer) error {
		state, err := cp.OpenState(ctx, s.archive.Archive)
		if err != nil {
			return err
		}
		defer state.Close()
		progress := bar.on(cp.Name)
		_, err = io.Copy(&counted{w: w, told: func(done int64) { progress(done, cp.StateSize) }}, state)
		return err
	}
	if path == "-" {
		return write(a.stdout)
	}
	return writeWhole(path, write)
}

// counted reports how many bytes went through it.
type counted struct {
	w    io.Writer
	n    int64
	told func(int64)
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	c.told(c.n)
	return n, err
}

// stateText returns a JSON state on one line, and the size of any other state.
func stateText(cp *checkpoint.Checkpoint) string {
	switch {
	case cp.Body != "":
		return fmt.Sprintf("%s bytes of %s, in the archive", human.Thousands(cp.StateSize), cp.ContentType)
	case cp.State == nil:
		return "–"
	case json.Valid(cp.State):
		var line bytes.Buffer
		if json.Compact(&line, cp.State) == nil {
			return line.String()
		}
	}
	return fmt.Sprintf("%s bytes of %s", human.Thousands(int64(len(cp.State))), cp.ContentType)
}
