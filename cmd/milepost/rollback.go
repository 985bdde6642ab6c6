package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/store"
)

func (a *app) rollbackCommand() *cobra.Command {
	var f editFlags
	var to int64
	cmd := &cobra.Command{
		Use:   "rollback NAME --to N",
		Short: "Go back to an earlier version by writing a new version with its content",
		Long: `Rollback writes a new version with the content of an older version. The versions in
between stay in the history. Rollback takes the lease, so it is refused while a job runs.`,
		Example: `  milepost rollback orders/eu --to 1200
  milepost rollback orders/eu --to 1200 --if-version 1204 --reason "bad prices, INC-123" --execute`,
		Args:              exactly("NAME"),
		ValidArgsFunction: a.completeNames,
	}
	cmd.Flags().Int64Var(&to, "to", 0, "the `version` whose content the new version gets")
	f.add(cmd)
	f.addReason(cmd, "the new version")
	cmd.RunE = a.named(mustExist, func(ctx context.Context, s *openStore, key store.Key, _ []string) error {
		if to < 1 {
			return kinds.Usagef("--to is missing; for the versions see %s", a.call("history %s", key.Name))
		}
		options, err := f.options(a, cmd)
		if err != nil {
			return err
		}
		target, err := s.in(key.Namespace).Get(ctx, key.Name, &checkpoint.ReadOptions{Version: to})
		if err != nil {
			return err
		}
		e, err := s.in(key.Namespace).Rollback(ctx, key.Name, to, options)
		if err != nil {
			return err
		}
		return a.printEdit("rollback", key, e, options, fmt.Sprintf(" with the content of version %d (%s)", to, human.Clock(target.SavedAt)))
	})
	return cmd
}
