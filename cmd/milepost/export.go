package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
)

func (a *app) exportCommand() *cobra.Command {
	var chosen selection
	var newest bool
	var to string
	cmd := &cobra.Command{
		Use:   "export [NAME…]",
		Short: "Write checkpoints as JSON lines, for import into another store",
		Long: `Export writes the versions of the checkpoints that are named, or of all in the
namespace, to standard output: one line a version, as get -o json prints it, oldest
first, and a last one that says how many there were. Milepost import reads them, into a
store of any kind, and refuses an export that was cut short. A job may run meanwhile; what
it saves from then on is not in it.`,
		Example: `  milepost export > checkpoints.jsonl
  milepost export flights --store sqlite:jobs.db | milepost import --store dynamodb://milepost --execute
  milepost export --prefix orders/ --newest --to orders.jsonl`,
		ValidArgsFunction: a.completeNames,
	}
	chosen.add(cmd)
	cmd.Flags().BoolVar(&newest, "newest", false, "write the newest version of each alone")
	cmd.Flags().StringVar(&to, "to", "", "write to this `FILE`, which is whole or not there, instead of to standard output")
	cmd.RunE = a.with(mustExist, func(ctx context.Context, s *openStore, names []string) error {
		e := &export{app: a, store: s, chosen: chosen, names: names, newest: newest}
		if to != "" {
			if err := writeWhole(to, func(w io.Writer) error { return e.run(ctx, w) }); err != nil {
				return err
			}
		} else if err := e.run(ctx, a.stdout); err != nil {
			return err
		}
		a.say("exported %s of %s", versionsText(e.versions), countText(int64(len(e.done)), "checkpoint"))
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

	done     []*checkpoint.Exported
	versions int64
}

// run ends with the first error: what is imported of an export must not depend on where it broke off.
func (e *export) run(ctx context.Context, w io.Writer) error {
	bar := e.app.newWorkBar("export")
	defer bar.clear()
	for name, err := range e.app.selected(ctx, e.store.storeOnly(e.app.namespace), &e.chosen, e.names) {
		if err != nil {
			return err
		}
		if err := e.one(ctx, w, name, bar.on(name)); err != nil {
			return err
		}
	}
	return checkpoint.EndExport(w, e.done...)
}

// one writes a checkpoint once all of it was read: half a history has an older newest version.
func (e *export) one(ctx context.Context, w io.Writer, name string, progress func(done, total int64)) (err error) {
	spool, err := os.CreateTemp("", "milepost-export-*.jsonl")
	if err != nil {
		return err
	}
	defer func() {
		_ = spool.Close()
		_ = os.Remove(spool.Name())
	}()
	done, err := e.store.in(e.app.namespace).Export(ctx, name, spool, &checkpoint.ExportOptions{
		Newest: e.newest, Open: true, Progress: progress,
	})
	if err != nil {
		return err
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := io.Copy(w, spool); err != nil {
		return fmt.Errorf("write the export of %q: %w", name, err)
	}
	e.done = append(e.done, done)
	e.versions += done.Versions
	return nil
}
