package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// restoreJSON is a [checkpoint.RestoreResult] as JSON.
type restoreJSON struct {
	editJSON
	From   *checkpoint.Checkpoint `json:"from"`
	Copies int64                  `json:"copies"`
}

func (a *app) restoreCommand() *cobra.Command {
	var chosen selection
	var execute, behind, keepStore bool
	var ifVersion int64
	var at, reason string
	cmd := &cobra.Command{
		Use:   "restore [NAME…]",
		Short: "Restore checkpoints that the store has lost from their mirror",
		Long: `Restore makes a checkpoint that the store has lost again: it writes a version with the
content of the newest mirrored version. It works on the checkpoints that are named, or
on all in the namespace. The new epoch is far above any seen, so a job that was running
before the loss is fenced and can no longer save. Until restore is done such a job is
refused, and no job starts from zero. Older versions are read from the archive. When
restore works on the whole namespace, it leaves alone the checkpoints that are not lost
and those that were deleted.

To restore a deleted checkpoint, give its name and a time before its deletion.

--behind does the same for a table that was restored from a backup and has older
versions than the mirror. --keep-store goes on from the older version in the store on
purpose, such as after a bad deploy: it makes a new version above both. A version in
the store that the mirror does not have is a second history. Then restore names both,
and --behind gives up the store's only with --if-version.`,
		Example: `  milepost table create && milepost archive restore
  milepost archive restore --execute --reason "table deleted, INC-123"
  milepost archive restore flights --at 2026-11-24T02:00:00Z
  milepost archive restore --behind --execute
  milepost archive restore flights --keep-store --execute --reason "back to before the deploy"`,
		ValidArgsFunction: a.completeNames,
	}
	chosen.add(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&execute, "execute", false, "do it; without this flag only the plan is shown")
	flags.BoolVar(&behind, "behind", false, "restore into a store that has the checkpoint but is behind its mirror")
	flags.BoolVar(&keepStore, "keep-store", false, "go on from the store's version, though its mirror has a later one")
	flags.Int64Var(&ifVersion, "if-version", 0, "do it only if the store is at this version; with --behind it may be one that the mirror does not have")
	flags.StringVar(&at, "at", "", "restore the newest version at this `time`: 2026-11-24T02:00:00Z, 2026-11-24 02:00 (UTC), or 90m for 90 minutes ago")
	flags.StringVar(&reason, "reason", "", "why; kept with the new version")
	cmd.RunE = a.with(makesStore, func(ctx context.Context, s *openStore, names []string) error {
		if err := s.archive.must(); err != nil {
			return err
		}
		switch {
		case keepStore && (behind || at != ""):
			return kinds.Usagef("--keep-store goes on from what the store has: neither --behind nor --at goes with it")
		case (keepStore || ifVersion != 0) && len(names) != 1:
			return kinds.Usagef("--keep-store and --if-version are for one checkpoint: give its name")
		case cmd.Flags().Changed("if-version") && ifVersion < 1:
			return kinds.Usagef("--if-version %d: versions count from 1", ifVersion)
		}
		options := &checkpoint.RestoreOptions{
			KeepStore: keepStore, IfVersion: ifVersion,
			Behind: behind, Deleted: len(names) > 0 && !keepStore, Reason: reason, DryRun: !execute, Lease: a.leaseOptions(),
		}
		if at != "" {
			var err error
			if options.At, err = parseTime("at", at, time.Now()); err != nil {
				return err
			}
		}
		bar := a.newWorkBar("restore")
		defer bar.clear()
		planned := false
		err := a.each(ctx, s, s.in(a.namespace), &chosen, names, func(name string) error {
			one := *options
			one.Progress = bar.on(name)
			done, err := s.in(a.namespace).Restore(ctx, name, &one)
			if len(names) == 0 && nothingLost(ctx, s.in(a.namespace), name, &one, err) {
				bar.clear()
				a.say("%q is left unchanged: %v", name, err)
				return nil
			}
			if err != nil {
				return err
			}
			bar.clear()
			planned = true
			return a.printRestored(done, &one)
		})
		if planned {
			a.sayIfPlan(!execute)
		}
		return err
	})
	return cmd
}

// nothingLost reports whether a restore was refused because there is nothing to restore. For one of
// all checkpoints that is not an error: the store has what was mirrored, or the checkpoint was
// deleted or never mirrored.
func nothingLost(ctx context.Context, in checkpoint.Namespace, name string, options *checkpoint.RestoreOptions, refused error) bool {
	if errors.Is(refused, store.ErrNotFound) {
		return neverMirrored(ctx, in.Archive, store.Key{Namespace: in.Name, Name: name})
	}
	why, is := errors.AsType[*checkpoint.RefusedError](refused)
	if !is || why.What == checkpoint.RefusedHistory {
		return false
	}
	anyhow := *options
	anyhow.Behind, anyhow.DryRun = true, true
	_, err := in.Restore(ctx, name, &anyhow)
	return errors.Is(err, checkpoint.ErrRefused)
}

// neverMirrored reports whether the archive has only what a first save that died has left.
func neverMirrored(ctx context.Context, in archive.Archive, key store.Key) bool {
	for listed, err := range archive.Versions(ctx, in, key) {
		if err != nil || !listed.Foreign {
			return false
		}
	}
	return true
}

func (a *app) printRestored(done *checkpoint.RestoreResult, options *checkpoint.RestoreOptions) error {
	if a.output == "json" {
		return a.printJSON(restoreJSON{editJSON{"restore", !options.DryRun, done.Before, done.After}, done.From, done.Copies})
	}
	verb, epoch := "Wrote", ", in epoch "+human.Thousands(done.After.CommitEpoch)
	if options.DryRun {
		verb, epoch = "Would write", ""
	}
	_, err := fmt.Fprintf(a.stdout, "%s version %s of %s with the content of version %s of epoch %s (%s)%s:\n",
		verb, human.Thousands(done.After.Number), cell(done.After.Name), human.Thousands(done.From.Number), human.Thousands(done.From.CommitEpoch),
		human.Clock(done.From.SavedAt), epoch)
	if err != nil {
		return err
	}
	if err := printChanges(a, done.Before, done.After); err != nil {
		return err
	}
	if done.Copies > 0 {
		_, err = fmt.Fprintf(a.stdout, "  with %s before it\n", versionsText(done.Copies))
	}
	return err
}

// sayIfPlan prints the last line of a plan for several checkpoints.
func (a *app) sayIfPlan(dryRun bool) {
	if dryRun && a.output != "json" {
		_, _ = fmt.Fprintln(a.stdout, "Nothing was changed. Add --execute to do it.")
	}
}
