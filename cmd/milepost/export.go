package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/tempfile"
	"github.com/milepost-dev/milepost/store"
)

func (a *app) exportCommand() *cobra.Command {
	var chosen selection
	var newest bool
	var to string
	cmd := &cobra.Command{
		Use:   "export [NAME…]",
		Short: "Write checkpoints as JSON lines, for import into another store",
		Long: `Export writes the versions of the checkpoints that are named, or of all in the namespace, to
standard output: one line for each version, as get -o json prints it, oldest first. A last
line says how many there were. Milepost import reads the lines into a store of any kind, and
refuses an export that was cut short. A job may run meanwhile; the export does not have
what the job saves from then on.`,
		Example: `  milepost export > checkpoints.jsonl
  milepost export flights --store sqlite:jobs.db | milepost import --store dynamodb://milepost --execute
  milepost export --prefix orders/ --newest --to orders.jsonl`,
		ValidArgsFunction: a.completeNames,
	}
	chosen.add(cmd)
	cmd.Flags().BoolVar(&newest, "newest", false, "write only the newest version of each checkpoint")
	cmd.Flags().StringVar(&to, "to", "", "write to this `FILE`, which is never left half written, instead of to standard output")
	cmd.RunE = a.with(mustExist, func(ctx context.Context, s *openStore, names []string) error {
		e := &export{app: a, store: s, chosen: chosen, names: names, newest: newest}
		if to != "" {
			if err := writeWhole(to, func(w io.Writer) error { return e.run(ctx, w) }); err != nil {
				return err
			}
		} else if err := e.run(ctx, a.stdout); err != nil {
			return err
		}
		a.say("exported %s of %s", versionsText(e.versions), countText(e.checkpoints, "checkpoint"))
		return nil
	})
	return cmd
}

type export struct {
	app    *app
	store  *openStore
	chosen selection
	names  []string
	newest bool

	checkpoints, versions int64
}

// run ends at the first error: an import of the export must not depend on where it stopped. A
// checkpoint goes to w once all of it was read: half a history would have an older newest version.
func (e *export) run(ctx context.Context, w io.Writer) error {
	spool, err := tempfile.New("milepost-export-*.jsonl")
	if err != nil {
		return err
	}
	defer func() { _ = spool.Close() }()
	bar := e.app.newWorkBar("export")
	defer bar.clear()
	x := checkpoint.NewExporter(spool)
	for name, err := range e.app.selected(ctx, e.store.storeOnly(e.app.namespace), &e.chosen, e.names) {
		if err != nil {
			return err
		}
		n, err := x.Add(ctx, e.store.in(e.app.namespace), name, &checkpoint.ExportOptions{Newest: e.newest, Progress: bar.on(name)})
		if len(e.names) == 0 && n == 0 && errors.Is(err, store.ErrNotFound) {
			continue // it was deleted since it was listed, or its deletion was interrupted
		}
		if err == nil {
			err = move(spool, w)
		}
		if err != nil {
			return err
		}
		e.checkpoints++
		e.versions += n
	}
	if err := x.Close(); err != nil {
		return err
	}
	return move(spool, w)
}

// move writes what spool has to w, and empties spool.
func move(spool *os.File, w io.Writer) error {
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := io.Copy(w, spool); err != nil {
		return fmt.Errorf("write the export: %w", err)
	}
	if err := spool.Truncate(0); err != nil {
		return err
	}
	_, err := spool.Seek(0, io.SeekStart)
	return err
}
