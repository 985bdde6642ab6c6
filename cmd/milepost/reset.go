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
		Short: "Let a job begin afresh, by writing a new version that is empty",
		Long: `Reset writes a new version without cursor, state or identity, and counts of 0; those
before stay in the history, and rollback leads back to them. It takes the lease.`,
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
		return a.printEdit("reset", key, e, options, ", from which the job begins afresh")
	})
	return cmd
}
