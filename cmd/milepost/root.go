package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// app is one invocation of the command.
type app struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer // for the command's own words: a write to it never blocks for long
	rawErr io.Writer // standard error itself, for the user's program
	env    []string

	storeText, archiveText, namespace, output string
	verbose                                   bool

	telemetry *telemetry // sends metrics; nil: no metrics

	begun bool // the arguments were valid, and the command has begun
}

// run runs the command once and returns its exit code. It reads and writes only what it is given,
// except for the files, processes and services that args name, and what the AWS SDK finds by
// itself.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env []string) int {
	if _, file := stderr.(*os.File); !file {
		stderr = &turns{w: stderr}
	}
	a := &app{stdin: stdin, stdout: stdout, rawErr: stderr, env: env}
	said := newWords(stderr, a.lost)
	defer said.flush()
	a.stderr = said
	if stderr == io.Writer(os.Stderr) {
		log.SetOutput(said) // net/http writes there what it has to say
	}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(a.stderr)
	err := answerUnread(root.ExecuteContext(ctx))
	if err != nil && !a.begun {
		err = kinds.Usage(err)
	}
	if err != nil {
		a.report(err)
	}
	return kinds.Of(err).Exit
}

// turns lets the commands, the log and the user's program write to one writer: their outputs may be
// the same file.
type turns struct {
	mu sync.Mutex
	w  io.Writer
}

func (t *turns) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.w.Write(p)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "milepost",
		Short: "Data jobs that resume where they stopped, and never run twice at once",
		Long: `Milepost keeps the progress of data jobs. A job that dies resumes from its last
checkpoint. While one run holds the checkpoint's lease, no other run can advance it.`,
		Example: `  milepost batch flights flights.jsonl.zst --every 1000 -- ./load.sh
  milepost list
  milepost rollback flights --to 40`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.begun = true
			return cmd.Help()
		},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.storeText, "store", "", "`URL` of the store: sqlite:PATH or dynamodb://TABLE?region=…&endpoint=…&profile=…\n"+
		"(default: $MILEPOST_STORE, else an SQLite file in your state directory)")
	flags.StringVar(&a.archiveText, "archive", "", "`URL` of the archive: s3://BUCKET/PREFIX?region=…&endpoint=…&profile=…, file:DIR, or none\n"+
		"(default: $MILEPOST_ARCHIVE, else a directory next to the default store, and none for another store);\n"+
		"&mirror=every, sessions or off says which versions are mirrored there")
	flags.StringVar(&a.namespace, "namespace", store.DefaultNamespace, "`namespace` of the checkpoint")
	flags.StringVarP(&a.output, "output", "o", "table", "what to print: table, or json with one line for each item")
	flags.BoolVarP(&a.verbose, "verbose", "v", false, "print on standard error where the store is, and what the requests cost")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))

	root.AddCommand(
		a.emits(a.batchCommand()), a.emits(a.runCommand()), a.emits(a.agentCommand()),
		a.expectCommand(), a.monitorCommand(), a.staleCommand(), a.statusCommand(), a.serveCommand(),
		a.markCommand(), a.saveCommand(), a.stateCommand(),
		a.getCommand(), a.listCommand(), a.historyCommand(), a.runsCommand(),
		a.rollbackCommand(), a.resetCommand(), a.setCommand(), a.deleteCommand(),
		a.pinCommand(), a.unpinCommand(),
		a.archiveCommand(), a.exportCommand(), a.importCommand(), a.gcCommand(), a.pruneCommand(),
		a.leaseCommand(), a.tableCommand(), a.checkCommand(), a.versionCommand(), a.manCommand(),
		exitCodesTopic(),
	)
	return root
}

// begin checks the flags that all commands share, before anything is done.
func (a *app) begin() error {
	if a.output != "table" && a.output != "json" {
		a.output = "table"
		return kinds.Usagef("--output must be table or json")
	}
	if err := store.ValidateNamespace(a.namespace); err != nil {
		return err
	}
	a.begun = true
	return nil
}

// beginOn is begin for a command on the checkpoint of that name.
func (a *app) beginOn(name string) (store.Key, error) {
	if err := a.begin(); err != nil {
		return store.Key{}, err
	}
	key := store.Key{Namespace: a.namespace, Name: name}
	return key, key.Validate()
}

// named makes the RunE of a command on one checkpoint, whose first argument is NAME. ctx ends at
// SIGINT and SIGTERM.
func (a *app) named(open openMode, do func(ctx context.Context, s *openStore, key store.Key, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		key, err := a.beginOn(args[0])
		if err != nil {
			return err
		}
		return a.with(open, func(ctx context.Context, s *openStore, _ []string) error {
			return do(ctx, s, key, args[1:])
		})(cmd, args)
	}
}

// with makes the RunE of a command that works on the store.
func (a *app) with(open openMode, do func(ctx context.Context, s *openStore, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := a.begin(); err != nil {
			return err
		}
		ctx, _, release := untilSignal(cmd.Context())
		defer release()
		s, err := a.open(ctx, open)
		if err != nil {
			return err
		}
		defer s.close()
		return stoppedOr(ctx, do(ctx, s, args))
	}
}

// stoppedOr returns the signal that ended ctx, if err has no other cause, and otherwise err.
func stoppedOr(ctx context.Context, err error) error {
	if _, stopped := errors.AsType[*kinds.SignalError](context.Cause(ctx)); stopped && errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}

// leaseOptions returns the options of a command that is not a job: it does not wait for a lease.
func (a *app) leaseOptions() lease.Options {
	return lease.Options{Logger: a.logger(), Observer: a.observer()}
}

func (a *app) logger() *slog.Logger { return slog.New(a.logHandler(a.stderr)) }

func (a *app) logHandler(w io.Writer) slog.Handler {
	level := slog.LevelWarn
	if a.verbose {
		level = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: level}
	if a.output == "json" {
		return slog.NewJSONHandler(w, options)
	}
	return slog.NewTextHandler(w, options)
}

func (a *app) getenv(name string) string { return lookUp(runtime.GOOS, a.env, name) }

// lookUp returns the variable of that name: the last one, as the system does. Windows does not
// distinguish the case of names.
func lookUp(goos string, env []string, name string) string {
	for _, variable := range slices.Backward(env) {
		its, value, ok := strings.Cut(variable, "=")
		if ok && (its == name || goos == "windows" && strings.EqualFold(its, name)) {
			return value
		}
	}
	return ""
}

// exactly is [cobra.ExactArgs] with an error that names the arguments.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return kinds.Usagef("%s needs %s; it got %d arguments\nsee %s --help",
				cmd.CommandPath(), strings.Join(names, " and "), len(args), cmd.CommandPath())
		}
		return nil
	}
}
