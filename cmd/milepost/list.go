package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/internal/survey"
	"github.com/milepost-dev/milepost/store"
)

func (a *app) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list [PREFIX]",
		Short: "List checkpoints: how far each is, and who holds it",
		Long:  "List reads eventually consistent: at half the price, and possibly a moment behind.",
		Example: `  milepost list
  milepost list orders/
  milepost list -o json | jq -r 'select(.failed > 0) | .name'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return kinds.Usagef("list takes at most one prefix; it got %d arguments", len(args))
			}
			return nil
		},
		ValidArgsFunction: a.completeNames,
		RunE: a.with(mustExist, func(ctx context.Context, s *openStore, args []string) error {
			prefix := ""
			if len(args) == 1 {
				prefix = args[0]
			}
			return a.list(ctx, s, prefix)
		}),
	}
}

// list continues after a checkpoint that cannot be read, and then fails at the end.
func (a *app) list(ctx context.Context, s *openStore, prefix string) error {
	now := time.Now()
	t := newTable("NAME", "VERSION>", "CURSOR", "PROCESSED>", "FAILED>", "SAVED", "HELD BY", "LEASE")
	var failed error
	for l, err := range s.in(a.namespace).List(ctx, prefix) {
		switch {
		case err != nil:
			if failed != nil {
				a.say("%v", failed)
			}
			failed = err
			if l != nil && a.output != "json" {
				t.add(l.Name, "?", "unreadable: see below", "", "", "", "", "")
			}
		case a.output == "json":
			item, err := survey.ToListingJSON(l, listedWhole)
			if err != nil {
				return err
			}
			if err := a.printJSON(item); err != nil {
				return err
			}
		default:
			t.add(listingRow(l, now)...)
		}
	}
	if a.output != "json" {
		switch {
		case len(t.rows) > 0:
			if err := t.print(a.stdout); err != nil {
				return err
			}
		case failed == nil:
			a.sayNone(prefix, s)
		}
	}
	return failed
}

func listingRow(l *checkpoint.Listing, now time.Time) []string {
	holder, left := "–", "free"
	switch {
	case l.Lease == nil:
		left = "–"
	case l.Held && l.Left > 0:
		holder, left = cell(l.Lease.Holder.ID), human.Span(l.Left)
	case l.Held:
		holder, left = cell(l.Lease.Holder.ID), "held"
	case l.Lease.Status == store.Held:
		holder, left = cell(l.Lease.Holder.ID), "expired"
	}
	cp := l.Checkpoint
	switch {
	case l.Deleting:
		return []string{human.Line(l.Name), "–", "its deletion is not finished", "", "", "", holder, left}
	case cp == nil:
		return []string{human.Line(l.Name), "–", "never saved", "", "", "", holder, left}
	}
	return []string{human.Line(l.Name), human.Thousands(cp.Number), cell(cp.Cursor), human.Thousands(cp.Processed), human.Thousands(cp.Failed), human.Ago(cp.SavedAt, now), holder, left}
}

func listedWhole(cp *checkpoint.Checkpoint) (json.RawMessage, error) { return json.Marshal(cp) }
