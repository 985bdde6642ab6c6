package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/internal/tempfile"
	"github.com/milepost-dev/milepost/store"
)

// importJSON is a [checkpoint.ImportResult] as JSON.
type importJSON struct {
	Action    string                 `json:"action"`
	Executed  bool                   `json:"executed"`
	Namespace string                 `json:"namespace"`
	Name      string                 `json:"name"`
	Versions  int64                  `json:"versions"`
	Present   int64                  `json:"present"`
	Newest    *checkpoint.Checkpoint `json:"newest"`
}

// importFlags are the flags of milepost import.
type importFlags struct {
	from, reason string
	execute      bool
	partial      bool
	skip         []string
}

func (a *app) importCommand() *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "import [FILE] | import --from s3-json s3://BUCKET/PREFIX NAME",
		Short: "Import the history of checkpoints from an export, or from home-made files in S3",
		Long: `Import reads what export has written, from FILE or standard input, and makes the same
history in this store: a commit for each version, under the lease. A checkpoint that
exists is refused, except when an import of the same export was interrupted: then it
continues. Import reads and checks everything first. It refuses an export that was cut
short; if you cannot export again, --partial takes what is there.

With --from s3-json it reads the files of jobs that keep their checkpoints in S3 without
Milepost: one file checkpoint_<unix seconds>.json for each save, with last_processed_id,
timestamp, batch_statistics or records_processed, custom_state and error. They become the
history of the checkpoint NAME, in the order of the times in their names and then of
their timestamps. The state of each version is the whole file. Import names the files
that cannot be read and those whose order is unknown. If the newest file may be one of
these, nothing is imported until --skip says which to leave out.`,
		Example: `  milepost import checkpoints.jsonl
  milepost export --store sqlite:jobs.db | milepost import --store dynamodb://milepost --execute
  milepost import --from s3-json s3://my-checkpoint-bucket/my-job/checkpoints my-job --execute`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case f.from == "s3-json" && len(args) != 2:
				return kinds.Usagef("import --from s3-json needs s3://BUCKET/PREFIX and the NAME of a checkpoint; it got %d arguments", len(args))
			case f.from == "milepost" && len(args) > 1:
				return kinds.Usagef("import takes at most one FILE, or standard input; it got %d arguments", len(args))
			case f.from == "milepost" && len(f.skip) > 0:
				return kinds.Usagef("--skip works only with --from s3-json")
			case f.from == "s3-json" && f.partial:
				return kinds.Usagef("--partial works only with an export, not with --from s3-json")
			case f.from != "milepost" && f.from != "s3-json":
				return kinds.Usagef("--from %q: write milepost or s3-json", f.from)
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.from, "from", "milepost", "what to read: milepost, the format of export, or s3-json")
	flags.BoolVar(&f.execute, "execute", false, "do it; without this flag everything is read and checked, and only the plan is shown")
	flags.BoolVar(&f.partial, "partial", false, "import an export that was cut short: the newest versions may be missing")
	flags.StringVar(&f.reason, "reason", "", "why; it is kept with the versions")
	flags.StringArrayVar(&f.skip, "skip", nil, "with s3-json, leave out the object of this `KEY`, as the report names it; may be repeated")
	_ = cmd.RegisterFlagCompletionFunc("from", cobra.FixedCompletions([]string{"milepost", "s3-json"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		mode := mustExist
		if f.execute {
			mode = mayCreate
		}
		return a.with(mode, func(ctx context.Context, s *openStore, args []string) error {
			options, in := f.options(a), s.in("")
			if f.from == "s3-json" {
				place, name := args[0], args[1]
				if strings.HasPrefix(name, "s3:") {
					place, name = name, place
				}
				return a.importHomeMade(ctx, s.in(a.namespace), place, name, f.skip, options)
			}
			if cmd.Flags().Changed("namespace") {
				in.Name = a.namespace
			}
			lines := a.stdin
			if len(args) == 1 && args[0] != "-" {
				file, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer file.Close()
				lines = file
			}
			if f.execute {
				spool, remove, err := readTwice(lines)
				if err != nil {
					return err
				}
				defer remove()
				lines = spool
			}
			return hintCutShort(a.importLines(ctx, in, lines, options))
		})(cmd, args)
	}
	return cmd
}

func (f *importFlags) options(a *app) *checkpoint.ImportOptions {
	return &checkpoint.ImportOptions{
		Reason: f.reason, DryRun: !f.execute, Partial: f.partial, Lease: a.leaseOptions(),
	}
}

// readTwice copies a pipe into a file, so that everything can be checked before anything is
// imported.
func readTwice(in io.Reader) (spool io.Reader, remove func(), err error) {
	if seeker, ok := in.(io.Seeker); ok {
		if _, err := seeker.Seek(0, io.SeekCurrent); err == nil {
			return in, func() {}, nil
		}
	}
	file, err := tempfile.New("milepost-import-*.jsonl")
	if err != nil {
		return nil, nil, err
	}
	remove = func() { _ = file.Close() }
	if _, err = io.Copy(file, in); err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		remove()
		return nil, nil, fmt.Errorf("read the export: %w", err)
	}
	return file, remove, nil
}

func hintCutShort(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w\nexport again; if you cannot, --partial takes what is there, but the newest versions may be missing", err)
	}
	return err
}

// importLines continues after a checkpoint that fails, and then fails at the end.
func (a *app) importLines(ctx context.Context, in checkpoint.Namespace, lines io.Reader, options *checkpoint.ImportOptions) error {
	bar := a.newWorkBar("import")
	defer bar.clear()
	options.Progress = func(name string, done int64) { bar.update(name, done, 0) }
	planned := false
	var failed error
	for done, err := range in.Import(ctx, lines, options) {
		bar.clear()
		if err != nil {
			if failed != nil {
				a.say("%v", failed)
			}
			failed = err
			continue
		}
		planned = true
		if err := a.printImported(done, options.DryRun); err != nil {
			return err
		}
	}
	if planned {
		a.sayIfPlan(options.DryRun)
	}
	return failed
}

func (a *app) printImported(done *checkpoint.ImportResult, dryRun bool) error {
	if a.output == "json" {
		return a.printJSON(importJSON{"import", !dryRun, done.Namespace, done.Name, done.Versions, done.Present, done.Newest})
	}
	verb := "Imported"
	if dryRun {
		verb = "Would import"
	}
	text := fmt.Sprintf("%s %s of %s", verb, versionsText(done.Versions), store.Key{Namespace: done.Namespace, Name: done.Name})
	if done.Present > 0 {
		text += fmt.Sprintf(", of which %s are already there", human.Thousands(done.Present))
	}
	if cp := done.Newest; cp != nil {
		text += fmt.Sprintf(": the newest is at cursor %s, %s processed, saved at %s", cell(cp.Cursor), human.Thousands(cp.Processed), human.Clock(cp.SavedAt))
	}
	_, err := fmt.Fprintln(a.stdout, text)
	return err
}
