package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/survey"
	"github.com/milepost-dev/milepost/store"
)

func (a *app) runsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "runs NAME",
		Short: "List a job's runs, newest first: who, when, how far, how it ended",
		Example: `  milepost runs flights
  milepost runs flights -o json`,
		Args:              exactly("NAME"),
		ValidArgsFunction: a.completeNames,
		RunE: a.named(mustExist, func(ctx context.Context, s *openStore, key store.Key, _ []string) error {
			runs, err := s.in(key.Namespace).Runs(ctx, key.Name, nil)
			if err != nil {
				return err
			}
			return a.printRuns(key, runs)
		}),
	}
}

func (a *app) printRuns(key store.Key, runs []checkpoint.RunInfo) error {
	now := time.Now()
	t := newTable("EPOCH>", "BY", "RUN", "VERSIONS", "CURSOR", "PROCESSED>", "FAILED>", "LAST SAVED", "END", "ERROR")
	for _, r := range runs {
		if a.output == "json" {
			if err := a.printJSON(survey.ToRunJSON(key, r)); err != nil {
				return err
			}
			continue
		}
		t.add(human.Thousands(r.CommitEpoch), cell(r.By.ID), cell(r.By.RunID), fmt.Sprintf("%s–%s", human.Thousands(r.First.Number), human.Thousands(r.Number)),
			cell(r.Cursor), human.Thousands(r.Processed), human.Thousands(r.Failed), human.Ago(r.SavedAt, now), survey.RunEnd(r), cell(r.LastError))
	}
	if a.output == "json" {
		return nil
	}
	return t.print(a.stdout)
}
