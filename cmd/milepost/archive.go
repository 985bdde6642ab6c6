package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/kinds"
)

func (a *app) archiveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "archive",
		Short: "Complete the mirror, verify it, and restore a lost table from it",
		Args:  exactly(),
		RunE: func(*cobra.Command, []string) error {
			return kinds.Usagef("a command is missing: milepost archive sync, verify or restore")
		},
	}
	cmd.AddCommand(a.syncCommand(), a.verifyCommand(), a.restoreCommand())
	return cmd
}

// syncJSON is a [checkpoint.SyncResult] as JSON.
type syncJSON struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	Executed  bool      `json:"executed"`
	Mirrored  int64     `json:"mirrored"`
	Present   int64     `json:"present"`
	Gaps      []gapJSON `json:"gaps,omitempty"`
	Moved     bool      `json:"latest_moved,omitempty"`
}

type gapJSON struct {
	First int64 `json:"first_version"`
	Last  int64 `json:"last_version"`
}

func (a *app) syncCommand() *cobra.Command {
	var chosen selection
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "sync [NAME…]",
		Short: "Mirror the versions that the archive does not have",
		Long: `Sync completes the mirror of the checkpoints that are named, or of all. Jobs do so by
themselves. Use sync for jobs that will not run again, for a new archive, and after verify
has found something missing. It is safe to run at any time, and again. Sync names the
versions that expired before they were mirrored: they are lost.`,
		Example: `  milepost archive sync
  milepost archive sync flights --archive s3://my-bucket/milepost?region=eu-west-1
  milepost archive sync --prefix orders/ --dry-run`,
		ValidArgsFunction: a.completeNames,
	}
	chosen.add(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print what is missing, and write nothing")
	cmd.RunE = a.with(makesArchive, func(ctx context.Context, s *openStore, names []string) error {
		if err := s.archive.must(); err != nil {
			return err
		}
		if s.archive.url.Mirror == checkpoint.MirrorOff {
			return kinds.Usagef("archive %s: with mirror=off there is nothing to sync", s.archive.url)
		}
		bar := a.newWorkBar("sync")
		defer bar.clear()
		return a.each(ctx, s, s.storeOnly(a.namespace), &chosen, names, func(name string) error {
			done, err := s.in(a.namespace).Sync(ctx, name, &checkpoint.UpkeepOptions{
				DryRun: dryRun, Progress: bar.on(name),
			})
			if err != nil {
				return err
			}
			bar.clear()
			return a.printSynced(name, done, dryRun)
		})
	})
	return cmd
}

func (a *app) printSynced(name string, done *checkpoint.SyncResult, dryRun bool) error {
	if a.output == "json" {
		item := syncJSON{
			Namespace: a.namespace, Name: name, Executed: !dryRun,
			Mirrored: done.Mirrored, Present: done.Present, Moved: done.Moved,
		}
		for _, g := range done.Gaps {
			item.Gaps = append(item.Gaps, gapJSON(g))
		}
		return a.printJSON(item)
	}
	verb := "mirrored now"
	if dryRun {
		verb = "not mirrored yet"
	}
	text := fmt.Sprintf("%s: %s %s, %s before", cell(name), versionsText(done.Mirrored), verb, human.Thousands(done.Present))
	if len(done.Gaps) > 0 {
		var gaps []string
		for _, g := range done.Gaps {
			gaps = append(gaps, rangeText(g.First, g.Last))
		}
		text += "; lost, because they expired before they were mirrored: " + strings.Join(gaps, ", ")
	}
	_, err := fmt.Fprintln(a.stdout, text)
	return err
}

// versionsText returns "1 version" or "1,204 versions".
func versionsText(n int64) string { return countText(n, "version") }

func countText(n int64, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	if stem, ok := strings.CutSuffix(unit, "y"); ok {
		unit = stem + "ie"
	}
	return human.Thousands(n) + " " + unit + "s"
}

// rangeText returns "version 7" or "versions 7–12".
func rangeText(first, last int64) string {
	if first == last {
		return "version " + human.Thousands(first)
	}
	return fmt.Sprintf("versions %s–%s", human.Thousands(first), human.Thousands(last))
}
