package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/store"
)

// pruneJSON is a [checkpoint.PruneResult] as JSON.
type pruneJSON struct {
	Namespace string  `json:"namespace"`
	Name      string  `json:"name"`
	Executed  bool    `json:"executed"`
	Versions  []int64 `json:"versions"` // newest first
	Kept      int64   `json:"kept"`

	Unmirrored int64 `json:"unmirrored,omitempty"`
}

func (a *app) pruneCommand() *cobra.Command {
	var chosen selection
	var execute bool
	age, starts := "30d", checkpoint.DefaultRetainStarts
	cmd := &cobra.Command{
		Use:   "prune [NAME…]",
		Short: "Remove old versions before they expire",
		Long: `Prune removes the versions that are older than --older-than, of the checkpoints that are
named or of all. It keeps the newest version, savepoints, and the versions that the newest
--keep-starts runs started from. With an archive, it keeps a version until the version is
mirrored, and never removes from the mirror. Gc removes the states in the archive that no
version refers to any more.`,
		Example: `  milepost prune --older-than 7d
  milepost prune flights --older-than 36h --keep-starts 2 --execute`,
		ValidArgsFunction: a.completeNames,
	}
	chosen.add(cmd)
	cmd.Flags().BoolVar(&execute, "execute", false, "do it; without this flag only the plan is shown")
	cmd.Flags().StringVar(&age, "older-than", age, "remove versions of at least this `age`, such as 36h or 7d; at least 1h")
	cmd.Flags().IntVar(&starts, "keep-starts", starts, "keep the starting version of the newest `N` runs, however old")
	cmd.RunE = a.with(mustExist, func(ctx context.Context, s *openStore, names []string) error {
		in := s.in(a.namespace)
		in.RetainStarts = starts
		var err error
		if in.RetainAge, err = parseAge(age); err != nil {
			return err
		}
		switch {
		case starts < 0:
			return kinds.Usagef("--keep-starts %d: it cannot be negative", starts)
		case starts == 0:
			in.RetainStarts = -1
		}
		bar := a.newWorkBar("prune")
		defer bar.clear()
		planned, left := false, int64(0)
		err = a.each(ctx, s, s.storeOnly(a.namespace), &chosen, names, func(name string) error {
			done, err := in.Prune(ctx, name, &checkpoint.UpkeepOptions{DryRun: !execute, Progress: bar.on(name)})
			if len(names) == 0 && errors.Is(err, store.ErrNotFound) {
				return nil // its deletion was interrupted, or came in between
			}
			if err != nil {
				return err
			}
			bar.clear()
			planned = planned || len(done.Versions) > 0
			left += done.Kept
			return a.printPruned(name, done, !execute)
		})
		switch {
		case planned:
			a.sayIfPlan(!execute)
		case err == nil && a.output != "json":
			_, err = fmt.Fprintf(a.stdout, "There is nothing to remove; %s stay.\n", versionsText(left))
		}
		return err
	})
	return cmd
}

// parseAge reads a duration, which may be given in days.
func parseAge(text string) (time.Duration, error) {
	age, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		if n, err = strconv.Atoi(days); err == nil && n > int(maxAge/day) {
			n = int(maxAge / day)
		}
		age = time.Duration(n) * day
	}
	if err != nil || age < checkpoint.MinRetainAge {
		return 0, kinds.Usagef("--older-than %q: write 36h or 7d; the least is %v", text, checkpoint.MinRetainAge)
	}
	return age, nil
}

const (
	day    = 24 * time.Hour
	maxAge = 1<<63 - 1
)

func (a *app) printPruned(name string, done *checkpoint.PruneResult, dryRun bool) error {
	versions := []int64{}
	for _, v := range done.Versions {
		versions = append(versions, v.Number)
	}
	if a.output == "json" {
		return a.printJSON(pruneJSON{a.namespace, name, !dryRun, versions, done.Kept, done.Unmirrored})
	}
	if done.Unmirrored > 0 {
		a.say("%s of %s stay until they are mirrored: run milepost archive sync", versionsText(done.Unmirrored), cell(name))
	}
	if len(versions) == 0 {
		return nil
	}
	verb := "Removed"
	if dryRun {
		verb = "Would remove"
	}
	_, err := fmt.Fprintf(a.stdout, "%s %s of %s (%s), the youngest saved at %s; %s stay.\n", verb, versionsText(int64(len(versions))),
		cell(name), strings.Join(runsOf(versions), ", "), human.Clock(done.Versions[0].SavedAt), human.Thousands(done.Kept))
	return err
}

// runsOf writes numbers as ranges, the lowest first: 1–40, 42.
func runsOf(numbers []int64) []string {
	sorted := slices.Sorted(slices.Values(numbers))
	var runs []string
	for i := 0; i < len(sorted); {
		j := i
		for j+1 < len(sorted) && sorted[j+1] == sorted[j]+1 {
			j++
		}
		run := human.Thousands(sorted[i])
		if j > i {
			run += "–" + human.Thousands(sorted[j])
		}
		runs = append(runs, run)
		i = j + 1
	}
	return runs
}
