package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/human"
)

// findingJSON is a [checkpoint.Finding] as JSON.
type findingJSON struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Object    string `json:"object,omitempty"`
	First     int64  `json:"first_version,omitempty"`
	Last      int64  `json:"last_version,omitempty"`
	Detail    string `json:"detail,omitempty"`
	Note      bool   `json:"note,omitempty"` // no action is needed
}

// verifyJSON is the last line that verify prints as JSON.
type verifyJSON struct {
	Checkpoints int64 `json:"checkpoints"`
	Objects     int64 `json:"objects"`
	Bodies      int64 `json:"bodies"`
	Bytes       int64 `json:"bytes"`
	Waiting     int64 `json:"waiting"`
	Findings    int64 `json:"findings"`
	Notes       int64 `json:"notes"`
}

func (a *app) verifyCommand() *cobra.Command {
	var chosen selection
	var knownBefore string
	cmd := &cobra.Command{
		Use:   "verify [NAME…]",
		Short: "Check every object of the archive against its hash and against the store",
		Long: `Verify reads every mirrored version and every body that a version refers to, of the
checkpoints that are named or of all. It prints what is damaged, missing, foreign or lost,
and whether latest.json is the newest version. It changes nothing, and exits with 1 if it
has found anything. Versions that are not mirrored yet are not a finding. Versions that
expired before there was an archive are only noted.

What a mirror has lost never comes back. Once you have looked into a gap, use
--known-before: gaps that end before that time are noted, too, and do not fail.`,
		Example: `  milepost archive verify
  milepost archive verify flights -o json
  milepost archive verify --known-before 2026-11-24T02:00:00Z`,
		ValidArgsFunction: a.completeNames,
	}
	chosen.add(cmd)
	cmd.Flags().StringVar(&knownBefore, "known-before", "", "gaps that end before this `time` are known: only note them, and do not fail")
	cmd.RunE = a.with(mustExist, func(ctx context.Context, s *openStore, names []string) error {
		if err := s.archive.must(); err != nil {
			return err
		}
		var options checkpoint.VerifyOptions
		if knownBefore != "" {
			var err error
			if options.KnownBefore, err = parseTime("known-before", knownBefore, time.Now()); err != nil {
				return err
			}
		}
		bar := a.newWorkBar("verify")
		defer bar.clear()
		var sum verifyJSON
		t := newTable("NAME", "FINDING", "VERSIONS", "OBJECT", "DETAIL")
		failed := a.each(ctx, s, s.in(a.namespace), &chosen, names, func(name string) error {
			one := options
			one.Progress = bar.on(name)
			done, err := s.in(a.namespace).Verify(ctx, name, &one)
			if err != nil {
				return err
			}
			bar.clear()
			return a.addVerified(&sum, t, name, done)
		})
		return errors.Join(a.printVerified(s, &sum, t), failed)
	})
	return cmd
}

func (a *app) addVerified(sum *verifyJSON, t *table, name string, done *checkpoint.VerifyResult) error {
	sum.Checkpoints++
	sum.Objects += done.Objects
	sum.Bodies += done.Bodies
	sum.Bytes += done.Bytes
	sum.Waiting += done.Waiting
	sum.Findings += int64(len(done.Findings))
	sum.Notes += int64(len(done.Notes))
	for _, f := range done.Findings {
		if err := a.addFinding(t, name, f, false); err != nil {
			return err
		}
	}
	for _, f := range done.Notes {
		if err := a.addFinding(t, name, f, true); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) addFinding(t *table, name string, f checkpoint.Finding, note bool) error {
	if a.output == "json" {
		return a.printJSON(findingJSON{a.namespace, name, string(f.Kind), f.Object, f.First, f.Last, f.Detail, note})
	}
	kind := string(f.Kind)
	if note {
		kind += " (note)"
	}
	about := "–"
	if f.First > 0 {
		about = fmt.Sprint(f.First)
	}
	if f.Last > f.First {
		about += fmt.Sprintf("–%d", f.Last)
	}
	object := f.Object // not shortened: people search for it
	if object == "" {
		object = "–"
	}
	t.add(cell(name), kind, about, object, f.Detail)
	return nil
}

func (a *app) printVerified(s *openStore, sum *verifyJSON, t *table) error {
	if a.output == "json" {
		if err := a.printJSON(sum); err != nil {
			return err
		}
	} else {
		if len(t.rows) > 0 {
			if err := t.print(a.stdout); err != nil {
				return err
			}
		}
		also := ""
		if sum.Notes > 0 {
			also = ", " + countText(sum.Notes, "note")
		}
		if sum.Waiting > 0 {
			also += fmt.Sprintf("; %s not mirrored yet", versionsText(sum.Waiting))
		}
		_, err := fmt.Fprintf(a.stdout, "%s, %s and %s read, %s: %s%s\n",
			countText(sum.Checkpoints, "checkpoint"), countText(sum.Objects, "object"), countText(sum.Bodies, "body"), human.Size(sum.Bytes),
			countText(sum.Findings, "finding"), also)
		if err != nil {
			return err
		}
	}
	if sum.Findings > 0 {
		return fmt.Errorf("archive %s has errors: see above", s.archive.url)
	}
	return nil
}
