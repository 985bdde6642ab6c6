package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/store"
)

// deleteJSON is a deletion as JSON.
type deleteJSON struct {
	editJSON
	Purged *purgedJSON `json:"purged,omitempty"`
}

type purgedJSON struct {
	Objects int64 `json:"objects"`
	Bodies  int64 `json:"bodies"`
	Bytes   int64 `json:"bytes"`
}

func (a *app) deleteCommand() *cobra.Command {
	var f editFlags
	var purge bool
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a checkpoint and all its versions, including savepoints",
		Long: `Delete takes the lease, so it is refused while a job runs. It also deletes what milepost
expect has set. If the name is used again, epochs and versions continue from where they
were. Another delete, or gc, finishes an interrupted delete.

The mirror in the archive stays: milepost archive restore NAME --at TIME restores the
checkpoint from it, as of a time before the deletion. --purge removes the mirror, too, and
all states in the archive. A bucket with versioning keeps what is removed from it.`,
		Example: `  milepost delete flights
  milepost delete flights --purge
  milepost delete flights --if-version 62 --execute`,
		Args:              exactly("NAME"),
		ValidArgsFunction: a.completeNames,
	}
	cmd.Flags().BoolVar(&purge, "purge", false, "also remove its mirror and states in the archive")
	f.add(cmd)
	f.addReason(cmd, "the version that marks it as deleted")
	cmd.RunE = a.named(mustExist, func(ctx context.Context, s *openStore, key store.Key, _ []string) error {
		options, err := f.options(a, cmd)
		if err != nil {
			return err
		}
		if options.Purge = purge; purge {
			if err := s.archive.must(); err != nil {
				return err
			}
		}
		e, err := s.in(key.Namespace).Delete(ctx, key.Name, options)
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.printJSON(deleteJSON{editJSON{"delete", !options.DryRun, e.Before, e.After}, (*purgedJSON)(e.Purged)})
		}
		verb := "Deleted"
		if options.DryRun {
			verb = "Would delete"
		}
		what := "what an earlier delete left"
		if e.Before != nil {
			what = fmt.Sprintf("version %d (cursor %s, saved %s) and all before it, including savepoints",
				e.Before.Number, cell(e.Before.Cursor), human.Ago(e.Before.SavedAt, time.Now()))
		}
		if _, err := fmt.Fprintf(a.stdout, "%s %s: %s.\n", verb, key, what); err != nil {
			return err
		}
		if p := e.Purged; p != nil {
			if _, err := fmt.Fprintf(a.stdout, "%s in %s: %s of the mirror and %s, %s. A bucket with versioning keeps them.\n", verb,
				s.archive.url, countText(p.Objects, "object"), countText(p.Bodies, "body"), human.Size(p.Bytes)); err != nil {
				return err
			}
		}
		return a.unlessExecuted(options.DryRun, e.Before)
	})
	return cmd
}
