package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/store"
)

func (a *app) resetCommand() *cobra.Command {
	var f editFlags
	cmd := &cobra.Command{
		Use:   "reset NAME",
		Short: "Start a job from scratch by writing a new, empty version",
		Long: `Reset writes a new version without cursor, state or identity, and with counts of 0. The
versions before it stay in the history, and rollback goes back to them. Reset takes the
lease, so it is refused while a job runs.`,
		Example: `  milepost reset flights
  milepost reset flights --reason "new input" --execute`,
		Args:              exactly("NAME"),
		ValidArgsFunction: a.completeNames,
	}
	f.add(cmd)
	f.addReason(cmd, "the new version")
	cmd.RunE = a.named(mustExist, func(ctx context.Context, s *openStore, key store.Key, _ []string) error {
		options, err := f.options(a, cmd)
		if err != nil {
			return err
		}
		e, err := s.in(key.Namespace).Reset(ctx, key.Name, options)
		if err != nil {
			return err
		}
		return a.printEdit("reset", key, e, options, ", from which the job starts from scratch")
	})
	return cmd
}
