package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/survey"
	"github.com/milepost-dev/milepost/store"
)

// runJSON is a [checkpoint.RunInfo] as JSON.
type runJSON struct {
	Namespace string             `json:"namespace"`
	Name      string             `json:"name"`
	Epoch     int64              `json:"epoch"`
	Holder    *survey.HolderJSON `json:"holder"`
	First     int64              `json:"first_version"`
	Last      int64              `json:"last_version"`
	Began     time.Time          `json:"began_at"`
	Saved     time.Time          `json:"saved_at"`
	Cursor    string             `json:"cursor"`
	Processed int64              `json:"processed"`
	Failed    int64              `json:"failed"`
	LastError string             `json:"last_error"`
	Reason    string             `json:"reason,omitempty"`
	Ended     string             `json:"ended"` // done, error, yielded, stopped, running, or died
}

func (a *app) runsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "runs NAME",
		Short: "List a job's runs, newest first: who, when, how far, how it ended",
		Example: `  milepost runs flights
  milepost runs flights -o json`,
		Args:              exactly("NAME"),
		ValidArgsFunction: a.completeNames,
		RunE: a.named(mustExist, func(ctx context.Context, s *openStore, key store.Key, _ []string) error {
			runs, err := checkpoint.Runs(ctx, s, key.Name, s.reading(key))
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
			if err := a.printJSON(runJSON{
				Namespace: key.Namespace, Name: key.Name, Epoch: r.Epoch, Holder: survey.ToHolderJSON(r.By), First: r.First, Last: r.Last,
				Began: r.Began, Saved: r.Saved, Cursor: r.Cursor, Processed: r.Processed, Failed: r.Failed,
				LastError: r.LastError, Reason: r.Reason, Ended: runEnd(r),
			}); err != nil {
				return err
			}
			continue
		}
		t.add(thousands(r.Epoch), cell(r.By.ID), cell(r.By.RunID), fmt.Sprintf("%s–%s", thousands(r.First), thousands(r.Last)),
			cell(r.Cursor), thousands(r.Processed), thousands(r.Failed), ago(r.Saved, now), runEnd(r), cell(r.LastError))
	}
	if a.output == "json" {
		return nil
	}
	return t.print(a.stdout)
}

func runEnd(r checkpoint.RunInfo) string {
	switch {
	case r.Ended != "":
		return string(r.Ended)
	case r.Live:
		return "running"
	}
	return "died"
}
