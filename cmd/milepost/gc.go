package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/human"
)

// gcJSON is a [checkpoint.GCResult] as JSON.
type gcJSON struct {
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	Executed  bool       `json:"executed"`
	Bodies    []bodyJSON `json:"bodies"`
	Kept      int64      `json:"kept"`
	Others    int64      `json:"of_other_stores,omitempty"`
	Deleting  bool       `json:"deleting,omitempty"`
	Versions  int64      `json:"versions,omitempty"`
}

type bodyJSON struct {
	Object   string `json:"object"`
	Version  int64  `json:"version"`
	CommitID string `json:"commit_id"`
	Size     int64  `json:"size"`
}

func (a *app) gcCommand() *cobra.Command {
	var chosen selection
	var execute, allHomes bool
	cmd := &cobra.Command{
		Use:   "gc [NAME…]",
		Short: "Remove states in the archive that no version refers to, and finish interrupted deletions",
		Long: `Gc works on the checkpoints that are named, or on all. It removes states that were left
by processes that died while they saved, and states of versions that have expired. It
keeps every state that a version or a mirrored object refers to, or that a save in
progress may still refer to. It is safe to run at any time.

The states that another store has written stay: the store that this one was restored or
imported from, or a copy of this one. --all-homes removes those as well that nothing here
refers to. Use it only when no such store is used any more.`,
		Example: `  milepost gc
  milepost gc flights --execute`,
		ValidArgsFunction: a.completeNames,
	}
	chosen.add(cmd)
	cmd.Flags().BoolVar(&execute, "execute", false, "do it; without this flag only the plan is shown")
	cmd.Flags().BoolVar(&allHomes, "all-homes", false, "also remove states of other stores: no copy of this store may be in use")
	cmd.RunE = a.with(mustExist, func(ctx context.Context, s *openStore, names []string) error {
		bar := a.newWorkBar("gc")
		defer bar.clear()
		planned, left := false, int64(0)
		err := a.each(ctx, s, s.in(a.namespace), &chosen, names, func(name string) error {
			done, err := s.in(a.namespace).GC(ctx, name, &checkpoint.UpkeepOptions{
				DryRun: !execute, AllHomes: allHomes, Progress: bar.on(name),
			})
			if err != nil {
				return err
			}
			bar.clear()
			planned = planned || len(done.Bodies) > 0 || done.Deleting
			left += done.Kept
			return a.printCollected(name, done, !execute)
		})
		switch {
		case planned:
			a.sayIfPlan(!execute)
		case err == nil && a.output != "json":
			_, err = fmt.Fprintf(a.stdout, "There is nothing to remove; %s stay.\n", countText(left, "body"))
		}
		return err
	})
	return cmd
}

func (a *app) printCollected(name string, done *checkpoint.GCResult, dryRun bool) error {
	if a.output == "json" {
		item := gcJSON{
			Namespace: a.namespace, Name: name, Executed: !dryRun, Bodies: []bodyJSON{},
			Kept: done.Kept, Others: done.Others, Deleting: done.Deleting, Versions: done.Versions,
		}
		for _, b := range done.Bodies {
			item.Bodies = append(item.Bodies, bodyJSON{b.Object, b.Version, b.CommitID, b.Size})
		}
		return a.printJSON(item)
	}
	verb, finish := "Removed", "Finished"
	if dryRun {
		verb, finish = "Would remove", "Would finish"
	}
	if done.Deleting {
		left := ""
		if !dryRun {
			left = ", which had left " + versionsText(done.Versions)
		}
		if _, err := fmt.Fprintf(a.stdout, "%s the deletion of %s%s.\n", finish, cell(name), left); err != nil {
			return err
		}
	}
	if len(done.Bodies) == 0 {
		return nil
	}
	var bytes int64
	for _, b := range done.Bodies {
		bytes += b.Size
	}
	_, err := fmt.Fprintf(a.stdout, "%s %s of %s, %s, that no version refers to (%s stay):\n",
		verb, countText(int64(len(done.Bodies)), "body"), cell(name), human.Size(bytes), human.Thousands(done.Kept))
	for _, b := range done.Bodies {
		if err == nil {
			_, err = fmt.Fprintf(a.stdout, "  %s  %s\n", b.Object, human.Size(b.Size))
		}
	}
	return err
}
