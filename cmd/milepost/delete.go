package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
)

func (a *app) deleteCommand() *cobra.Command {
	var f editFlags
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a checkpoint and all its versions, savepoints too",
		Long: `Delete takes the lease, so a job that runs is in its way. Epochs and versions go on
from where they were if the name is used again. An interrupted delete is finished
by another.`,
		Example: `  milepost delete flights
  milepost delete flights --if-version 62 --execute`,
		Args:              exactly("NAME"),
		ValidArgsFunction: a.completeNames,
	}
	f.add(cmd)
	f.addReason(cmd, "the version that says it is deleted")
	cmd.RunE = a.named(mustExist, func(ctx context.Context, s *openStore, key store.Key, _ []string) error {
		options, err := f.options(a, cmd)
		if err != nil {
			return err
		}
		e, err := checkpoint.Delete(ctx, s, key.Name, options)
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.printJSON(editJSON{"delete", !options.DryRun, e.Before, e.After})
		}
		verb := "Deleted"
		if options.DryRun {
			verb = "Would delete"
		}
		what := "what an interrupted delete has left"
		if e.Before != nil {
			what = fmt.Sprintf("version %d (cursor %s, saved %s) and all before it, savepoints too",
				e.Before.Version, cell(e.Before.Cursor), ago(e.Before.SavedAt, time.Now()))
		}
		if _, err := fmt.Fprintf(a.stdout, "%s %s: %s.\n", verb, key, what); err != nil {
			return err
		}
		return a.unlessExecuted(options.DryRun, e.Before)
	})
	return cmd
}
