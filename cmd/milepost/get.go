package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
)

func (a *app) getCommand() *cobra.Command {
	var version int64
	var at string
	cmd := &cobra.Command{
		Use:   "get NAME",
		Short: "Show a checkpoint: where the job is, its counts, its state",
		Example: `  milepost get flights
  milepost get flights --version 40 -o json
  milepost get flights --at 2026-11-24T02:00:00Z
  milepost get flights --at 90m              # as of 90 minutes ago`,
		Args:              exactly("NAME"),
		ValidArgsFunction: a.completeNames,
	}
	cmd.Flags().Int64Var(&version, "version", 0, "show this version (default: the newest)")
	cmd.Flags().StringVar(&at, "at", "", "show the newest version at this `time`: 2026-11-24T02:00:00Z, 2026-11-24 02:00 (UTC), or 90m for that long ago")
	cmd.MarkFlagsMutuallyExclusive("version", "at")
	cmd.RunE = a.named(mustExist, func(ctx context.Context, s *openStore, key store.Key, _ []string) error {
		options := &checkpoint.ReadOptions{Namespace: key.Namespace, Version: version}
		if cmd.Flags().Changed("version") && version < 1 {
			return usagef("--version %d: versions count from 1", version)
		}
		if at != "" {
			var err error
			if options.At, err = parseTime(at, time.Now()); err != nil {
				return err
			}
		}
		cp, err := checkpoint.Get(ctx, s, key.Name, options)
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.printJSON(cp)
		}
		return a.printCheckpoint(cp)
	})
	return cmd
}

// parseTime reads a time as people write it, or a duration before now.
func parseTime(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.UTC); err == nil {
			return t, nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, usagef("--at %q: write 2026-11-24T02:00:00Z, 2026-11-24 02:00 (UTC), or 90m for that long ago", text)
}

func (a *app) printCheckpoint(cp *checkpoint.Checkpoint) error {
	now := time.Now()
	t := newTable("checkpoint", store.Key{Namespace: cp.Namespace, Name: cp.Name}.String())
	t.add("version", thousands(cp.Version)+endedText(cp.Ended))
	t.add("cursor", cell(cp.Cursor))
	t.add("processed", thousands(cp.Processed))
	t.add("failed", thousands(cp.Failed))
	t.add("saved", since(cp.SavedAt, now))
	t.add("by", holderText(cp.By))
	t.add("epoch", fmt.Sprintf("%s, committed in %s", thousands(cp.Epoch), thousands(cp.CommitEpoch)))
	t.add("commit", cp.CommitID)
	for _, optional := range [][2]string{
		{"last error", cp.LastError}, {"identity", cp.Identity}, {"reason", cp.Reason}, {"label", cp.Label},
	} {
		if optional[1] != "" {
			t.add(optional[0], cell(optional[1]))
		}
	}
	if cp.Schema != 0 {
		t.add("schema", thousands(cp.Schema))
	}
	if cp.RestoredFrom != 0 {
		t.add("content of", "version "+thousands(cp.RestoredFrom))
	}
	if len(cp.Finished) > 0 {
		t.add("finished", fmt.Sprintf("%d ranges above the cursor", len(cp.Finished)))
	}
	if !cp.ExpiresAt.IsZero() {
		t.add("expires", clock(cp.ExpiresAt))
	}
	t.add("state", stateText(cp))
	return t.print(a.stdout)
}

func endedText(ended store.Ended) string {
	if ended == "" {
		return ""
	}
	return ", the session's last: " + string(ended)
}

// stateText is a JSON state on one line, and the size of any other.
func stateText(cp *checkpoint.Checkpoint) string {
	switch {
	case cp.State == nil:
		return "–"
	case json.Valid(cp.State):
		var line bytes.Buffer
		if json.Compact(&line, cp.State) == nil {
			return line.String()
		}
	}
	return fmt.Sprintf("%s bytes of %s", thousands(int64(len(cp.State))), cp.ContentType)
}
