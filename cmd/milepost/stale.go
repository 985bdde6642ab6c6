package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/internal/survey"
	"github.com/milepost-dev/milepost/store"
)

// staleJSON is a stale checkpoint as JSON.
type staleJSON struct {
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	AgeMS     int64      `json:"age_ms"` // since its last save; if never saved, since a save is expected
	LimitMS   int64      `json:"limit_ms"`
	SavedAt   *time.Time `json:"saved_at"` // null: never
	Error     string     `json:"error,omitempty"`
}

func (a *app) staleCommand() *cobra.Command {
	var maxAge longDuration
	cmd := &cobra.Command{
		Use:   "stale [PREFIX]",
		Short: "List the checkpoints that have not been saved for too long, and exit with 11",
		Long: `Stale is for cron, Nagios and Kubernetes probes. It prints the checkpoints whose last save
is older than --max-age, and exits with 11 if there are any. Without --max-age it uses
what milepost expect says about each. A checkpoint that cannot be read counts as stale. If
no checkpoint begins with PREFIX, stale exits with 3.`,
		Example: `  milepost stale
  milepost stale --max-age 15m orders/`,
		Args: atMostOnePrefix,
		RunE: a.with(mustExist, func(ctx context.Context, s *openStore, args []string) error {
			return a.stale(ctx, s, prefixOf(args), time.Duration(maxAge))
		}),
	}
	cmd.Flags().Var(&maxAge, "max-age", "how old the last save may be, such as 15m or 1d (default: what milepost expect says)")
	return cmd
}

func atMostOnePrefix(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return kinds.Usagef("%s takes at most one prefix; it got %d arguments", cmd.Name(), len(args))
	}
	return nil
}

func prefixOf(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func (a *app) stale(ctx context.Context, s *openStore, prefix string, maxAge time.Duration) error {
	items, err := survey.Look(ctx, s, a.namespace, prefix)
	if err != nil {
		return err
	}
	if len(items) == 0 {
		return fmt.Errorf("no checkpoint begins with %q in namespace %s of %s: %w", prefix, a.namespace, s.url, store.ErrNotFound)
	}
	survey.Worst(items)
	t := newTable("NAME", "SAVED", "LIMIT")
	stale, judged := 0, 0
	for n := range items {
		i := &items[n]
		limit := maxAge
		if i.Expect != nil && maxAge == 0 {
			limit = i.Expect.Every + i.Expect.Grace
		}
		if limit == 0 && i.Err == nil || i.Deleting() {
			continue
		}
		judged++
		if i.Err == nil && i.Age() <= limit {
			continue
		}
		stale++
		if a.output == "json" {
			item := staleJSON{Namespace: i.Key.Namespace, Name: i.Key.Name, AgeMS: i.Age().Milliseconds(), LimitMS: limit.Milliseconds()}
			if i.Saved() {
				item.SavedAt = survey.TimeJSON(i.Head.SavedAt)
			}
			if i.Err != nil {
				item.Error = i.Err.Error()
			}
			if err := a.printJSON(item); err != nil {
				return err
			}
			continue
		}
		saved := "never"
		switch {
		case i.Err != nil:
			saved = cell("unreadable: " + i.Err.Error())
		case i.Saved():
			saved = human.Ago(i.Head.SavedAt, i.Now)
		}
		t.add(cell(i.Key.Name), saved, longDuration(limit).String())
	}
	if judged == 0 {
		a.say("no save is expected of any of the %s: set it with milepost expect, or give --max-age", countText(int64(len(items)), "checkpoint"))
	}
	if stale == 0 {
		return nil
	}
	if a.output != "json" {
		if err := t.print(a.stdout); err != nil {
			return err
		}
	}
	return fmt.Errorf("%d of %s: %w", stale, countText(int64(judged), "checkpoint"), kinds.ErrStale)
}
