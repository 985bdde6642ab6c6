package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
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
}

// verifyJSON is the last line of what verify prints as JSON.
type verifyJSON struct {
	Checkpoints int64 `json:"checkpoints"`
	Objects     int64 `json:"objects"`
	Bodies      int64 `json:"bodies"`
	Bytes       int64 `json:"bytes"`
	Waiting     int64 `json:"waiting"`
	Findings    int64 `json:"findings"`
}

func (a *app) verifyCommand() *cobra.Command {
	var chosen selection
	cmd := &cobra.Command{
		Use:   "verify [NAME…]",
		Short: "Hold every object of the archive to its hash, and all of them to the store",
		Long: `Verify reads every mirrored version and every body that one points at, of the
checkpoints that are named or of all, and says what is damaged, missing, foreign or
lost, and whether latest.json is the newest. It changes nothing, and exits with 1 if
it has found anything. Versions that wait to be mirrored are no finding.`,
		Example: `  milepost archive verify
  milepost archive verify flights -o json`,
		ValidArgsFunction: a.completeNames,
	}
	chosen.add(cmd)
	cmd.RunE = a.with(mustExist, func(ctx context.Context, s *openStore, names []string) error {
		if err := s.archive.must(); err != nil {
			return err
		}
		bar := a.newWorkBar("verify")
		defer bar.clear()
		var sum verifyJSON
		t := newTable("NAME", "FINDING", "VERSIONS", "OBJECT", "DETAIL")
		failed := a.each(ctx, s, s.archive.Archive, &chosen, names, func(name string) error {
			done, err := checkpoint.Verify(ctx, s, s.archive.Archive, name, &checkpoint.VerifyOptions{
				Namespace: a.namespace, Mirror: s.archive.url.Mirror, Progress: bar.on(name),
			})
			if err != nil {
				return err
			}
			bar.clear()
			return a.addVerified(&sum, t, done)
		})
		return errors.Join(a.printVerified(s, &sum, t), failed)
	})
	return cmd
}

func (a *app) addVerified(sum *verifyJSON, t *table, done *checkpoint.Verified) error {
	sum.Checkpoints++
	sum.Objects += done.Objects
	sum.Bodies += done.Bodies
	sum.Bytes += done.Bytes
	sum.Waiting += done.Waiting
	for _, f := range done.Findings {
		sum.Findings++
		if a.output == "json" {
			if err := a.printJSON(findingJSON{done.Namespace, done.Name, string(f.Kind), f.Object, f.First, f.Last, f.Detail}); err != nil {
				return err
			}
			continue
		}
		about := "–"
		if f.First > 0 {
			about = fmt.Sprint(f.First)
		}
		if f.Last > f.First {
			about += fmt.Sprintf("–%d", f.Last)
		}
		object := f.Object // whole: it is what one has to look for
		if object == "" {
			object = "–"
		}
		t.add(cell(done.Name), string(f.Kind), about, object, f.Detail)
	}
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
		waiting := ""
		if sum.Waiting > 0 {
			waiting = fmt.Sprintf("; %s not mirrored yet", versionsText(sum.Waiting))
		}
		_, err := fmt.Fprintf(a.stdout, "%s, %s and %s read, %s: %s%s\n",
			countText(sum.Checkpoints, "checkpoint"), countText(sum.Objects, "object"), countText(sum.Bodies, "body"), sizeText(sum.Bytes),
			countText(sum.Findings, "finding"), waiting)
		if err != nil {
			return err
		}
	}
	if sum.Findings > 0 {
		return fmt.Errorf("archive %s is not as it should be: see above", s.archive.url)
	}
	return nil
}
