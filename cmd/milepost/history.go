package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/store"
)

func (a *app) historyCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "history NAME",
		Short: "List a checkpoint's versions, newest first",
		Example: `  milepost history flights --limit 20
  milepost history flights -o json | jq -c '{version, cursor}'`,
		Args:              exactly("NAME"),
		ValidArgsFunction: a.completeNames,
		RunE: a.named(mustExist, func(ctx context.Context, s *openStore, key store.Key, _ []string) error {
			if limit < 0 {
				return kinds.Usagef("--limit %d: it cannot be negative", limit)
			}
			return a.history(ctx, s, key, limit)
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", 0, "how many versions to list (0: all)")
	return cmd
}

// history continues after a version that cannot be read, and then fails at the end.
func (a *app) history(ctx context.Context, s *openStore, key store.Key, limit int) error {
	now := time.Now()
	t := newTable("VERSION>", "CURSOR", "PROCESSED>", "FAILED>", "SAVED", "EPOCH>", "BY", "NOTE")
	var failed error
	listed := 0
	for cp, err := range s.in(key.Namespace).History(ctx, key.Name, nil) {
		if err != nil {
			if failed != nil {
				a.say("%v", failed)
			}
			failed = err
			continue
		}
		if a.output == "json" {
			if err := a.printJSON(cp); err != nil {
				return err
			}
		} else {
			note := human.Note(cp)
			if note != "" && cp.LastError != "" {
				note += "; "
			}
			note += cp.LastError
			t.add(human.Thousands(cp.Number), cell(cp.Cursor), human.Thousands(cp.Processed), human.Thousands(cp.Failed),
				human.Ago(cp.SavedAt, now), human.Thousands(cp.CommitEpoch), cell(cp.By.ID), cell(note))
		}
		if listed++; listed == limit {
			break
		}
	}
	if a.output != "json" && listed > 0 {
		if err := t.print(a.stdout); err != nil {
			return err
		}
	}
	return failed
}
