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

func (a *app) pinCommand() *cobra.Command {
	var f editFlags
	var version int64
	var label string
	cmd := &cobra.Command{
		Use:   "pin NAME --label TEXT [--version N]",
		Short: "Make a savepoint of a version: it never expires",
		Example: `  milepost pin orders/eu --label "before the migration"
  milepost pin orders/eu --label "before the migration" --version 1200 --reason INC-123 --execute`,
		Args:              exactly("NAME"),
		ValidArgsFunction: a.completeNames,
	}
	cmd.Flags().Int64Var(&version, "version", 0, "the version (default: the newest)")
	cmd.Flags().StringVar(&label, "label", "", "the savepoint's label")
	f.add(cmd)
	f.addReason(cmd, "the label, in brackets")
	cmd.RunE = a.named(mustExist, func(ctx context.Context, s *openStore, key store.Key, _ []string) error {
		options, err := f.options(a, cmd)
		if err != nil {
			return err
		}
		if f.reason != "" && label != "" {
			label += " (" + f.reason + ")"
		}
		if label == "" || len(label) > checkpoint.MaxLabel {
			return kinds.Usagef("--label: write a text of 1 to %d bytes, the reason included", checkpoint.MaxLabel)
		}
		if err := checkVersion(cmd, version); err != nil {
			return err
		}
		cp, err := s.in(key.Namespace).Pin(ctx, key.Name, version, label, options)
		if err != nil {
			return err
		}
		return a.printPin("pin", key, cp, options, fmt.Sprintf("it never expires, and its label is %q", cp.Label), "")
	})
	return cmd
}

func (a *app) unpinCommand() *cobra.Command {
	var f editFlags
	var version int64
	cmd := &cobra.Command{
		Use:   "unpin NAME --version N",
		Short: "Remove the label of a savepoint: it expires like other versions",
		Example: `  milepost unpin orders/eu --version 1200
  milepost unpin orders/eu --version 1200 --reason INC-123 --execute`,
		Args:              exactly("NAME"),
		ValidArgsFunction: a.completeNames,
	}
	cmd.Flags().Int64Var(&version, "version", 0, "the version")
	f.add(cmd)
	cmd.Flags().StringVar(&f.reason, "reason", "", "why; only printed, since the label that held a reason is removed")
	cmd.RunE = a.named(mustExist, func(ctx context.Context, s *openStore, key store.Key, _ []string) error {
		options, err := f.options(a, cmd)
		if err != nil {
			return err
		}
		if version == 0 && !cmd.Flags().Changed("version") {
			return kinds.Usagef("--version is missing; for the versions see %s", a.call("history %s", key.Name))
		}
		if err := checkVersion(cmd, version); err != nil {
			return err
		}
		cp, err := s.in(key.Namespace).Unpin(ctx, key.Name, version, options)
		if err != nil {
			return err
		}
		becomes := "it has no label"
		if cp.ExpiresAt.IsZero() {
			becomes += ", and stays while it is among the newest session starts"
		} else {
			becomes += ", and expires at " + human.Clock(cp.ExpiresAt)
		}
		return a.printPin("unpin", key, cp, options, becomes, f.reason)
	})
	return cmd
}

func checkVersion(cmd *cobra.Command, version int64) error {
	if cmd.Flags().Changed("version") && version < 1 {
		return kinds.Usagef("--version %d: versions count from 1", version)
	}
	return nil
}

// pinJSON is a pin or an unpin as JSON.
type pinJSON struct {
	editJSON
	Reason string `json:"reason,omitempty"` // not kept in a record
}

func (a *app) printPin(action string, key store.Key, cp *checkpoint.Checkpoint, options *checkpoint.EditOptions, becomes, reason string) error {
	if a.output == "json" {
		return a.printJSON(pinJSON{editJSON{Action: action, Executed: !options.DryRun, After: cp}, reason})
	}
	if reason != "" {
		becomes += " (" + reason + ")"
	}
	verb := "Changed"
	if options.DryRun {
		verb = "Would change"
	}
	if _, err := fmt.Fprintf(a.stdout, "%s version %d of %s: %s.\n", verb, cp.Number, key, becomes); err != nil {
		return err
	}
	return a.unlessExecuted(options.DryRun, nil)
}
