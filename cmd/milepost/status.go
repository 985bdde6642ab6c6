package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/internal/survey"
	"github.com/milepost-dev/milepost/store"
)

func (a *app) statusCommand() *cobra.Command {
	var watch bool
	every := longDuration(2 * time.Second)
	cmd := &cobra.Command{
		Use:   "status [PREFIX]",
		Short: "Show the state of each checkpoint, the worst first: since when, and who holds it",
		Long: `Status shows one line for each checkpoint, the worst state first: unreadable, overdue
(milepost expect says when), deleting, died (the last run ended without releasing its
lease), failing (runs since the last save came to nothing), running, quiet. MOVED is when
the cursor last changed: a job that saves but does not move is stuck, too. The first look
shows the rate between the last two versions.

Status reads eventually consistent: at half the price, and possibly a moment behind. It
takes one request for 32 checkpoints, one for each page of names, and reads single
versions of at most 100 checkpoints.`,
		Example: `  milepost status
  milepost status --watch orders/
  milepost status -o json | jq 'select(.condition == "overdue")'`,
		Args: atMostOnePrefix,
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "refresh until interrupted")
	cmd.Flags().Var(&every, "every", "with --watch, how often to refresh")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if time.Duration(every) < 100*time.Millisecond {
			return kinds.Usagef("--every %s: it must be at least 100ms", every)
		}
		return a.with(mustExist, func(ctx context.Context, s *openStore, args []string) error {
			var memory survey.Memory
			if !watch {
				return a.status(ctx, s, prefixOf(args), &memory, 0)
			}
			return a.watchStatus(ctx, s, prefixOf(args), &memory, time.Duration(every))
		})(cmd, args)
	}
	return cmd
}

// watchStatus refreshes until ctx ends. It redraws a terminal; elsewhere it prints one table after
// another.
func (a *app) watchStatus(ctx context.Context, s *openStore, prefix string, memory *survey.Memory, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		rows := 0
		if f, ok := a.stdout.(*os.File); ok && a.output != "json" && term.IsTerminal(int(f.Fd())) {
			if _, height, err := term.GetSize(int(f.Fd())); err == nil {
				rows = max(height-4, 1)
			}
			if _, err := fmt.Fprint(a.stdout, "\x1b[H\x1b[2J"); err != nil {
				return err
			}
		}
		if err := a.status(ctx, s, prefix, memory, rows); err != nil {
			if ctx.Err() != nil || !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrThrottled) {
				return err
			}
			a.say("%v", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// status prints the table once. rows is how many rows fit; 0: all.
func (a *app) status(ctx context.Context, s *openStore, prefix string, memory *survey.Memory, rows int) error {
	seen, err := s.survey(ctx, a.namespace, prefix, memory)
	if err != nil {
		return err
	}
	if a.output == "json" {
		for n := range seen.Items {
			if err := a.printJSON(survey.ToStatusJSON(seen, n)); err != nil {
				return err
			}
		}
		return nil
	}
	if len(seen.Items) == 0 {
		a.sayNone(prefix, s)
		return nil
	}
	t := newTable("NAME", "STATE", "VERSION>", "CURSOR", "SAVED", "MOVED", "RATE>", "HELD BY", "LEASE", "FAILURES>", "ARCHIVE", "LAST ERROR")
	shown := len(seen.Items)
	if rows > 0 {
		shown = min(shown, rows)
	}
	for n := range shown {
		t.add(statusRow(seen, n)...)
	}
	if err := t.print(a.stdout); err != nil {
		return err
	}
	if hidden := len(seen.Items) - shown; hidden > 0 {
		_, err = fmt.Fprintf(a.stdout, "and %s in a better state\n", countText(int64(hidden), "checkpoint"))
		return err
	}
	if rows == 0 {
		a.adviseOn(&seen.Items[0])
	}
	return nil
}

// adviseOn prints what to type next about the worst checkpoint.
func (a *app) adviseOn(i *survey.Item) {
	next := map[survey.Condition]string{
		survey.Unreadable: "runs %s",
		survey.Overdue:    "runs %s",
		survey.Deleting:   "gc %s --execute",
		survey.Died:       "runs %s",
		survey.Failing:    "runs %s",
	}[i.Condition()]
	if i.Condition() == survey.Overdue && !i.Saved() {
		next = "expect %s"
	}
	if next != "" {
		a.say("%s is %s: %s", cell(i.Key.Name), i.Condition(), a.call(next, i.Key.Name))
	}
}

func statusRow(seen survey.Seen, n int) []string {
	i, m := &seen.Items[n], seen.Movements[n]
	name, is := cell(i.Key.Name), i.Condition().String()
	if i.Err != nil {
		return []string{name, is, "", "", "", "", "", "", "", "", "", cell(i.Err.Error())}
	}
	if i.Overdue() {
		is += " " + human.Span(i.Age()-i.Expect.Every-i.Expect.Grace)
	}
	version, cursor, saved, moved, rate, lastError := "–", "–", "never", "–", "–", "–"
	if i.Saved() {
		h := i.Head
		version, cursor, saved, moved = human.Thousands(h.Number), cell(h.Cursor), human.Ago(h.SavedAt, i.Now), human.Ago(m.Advanced, i.Now)
		lastError = cell(h.LastError)
		rate = human.Rate(m.Rate)
	}
	holder, lease := "–", i.LeaseStatus()
	if lease == "held" || lease == "expired" {
		holder = cell(i.Lease.Holder.ID)
	}
	if i.Held && i.Left > 0 {
		lease = human.Span(i.Left)
	}
	archived := "–"
	if seen.Mirrored != nil && i.Saved() {
		switch mirror := seen.Mirrored[n]; {
		case mirror.Gap:
			archived = "gap"
		case mirror.Lag > 0:
			archived = human.Span(mirror.Lag) + " behind"
		default:
			archived = "ok"
		}
	}
	return []string{name, is, version, cursor, saved, moved, rate, holder, lease, human.Thousands(i.Failures()), archived, lastError}
}
