package main

import (
	"context"
	"iter"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/kinds"
)

// selection chooses the checkpoints of a command that works on several: those that its arguments
// name, all of the namespace, or those whose names begin with a prefix.
type selection struct{ prefix string }

func (s *selection) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.prefix, "prefix", "", "instead of NAMEs: all checkpoints whose names begin with this prefix")
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if s.prefix != "" && len(args) > 0 {
			return kinds.Usagef("give names or --prefix, not both")
		}
		return nil
	}
}

// each calls do for each name. It continues after a name that fails, and then fails at the end.
// With an archive, it includes names that exist only there.
func (a *app) each(ctx context.Context, s *openStore, in checkpoint.Namespace, chosen *selection, names []string, do func(name string) error) error {
	var failed error
	fail := func(err error) {
		if failed != nil {
			a.say("%v", failed)
		}
		failed = err
	}
	found := 0
	for name, err := range a.selected(ctx, in, chosen, names) {
		if err != nil {
			fail(err)
			break
		}
		found++
		if err := do(name); err != nil {
			fail(err)
			if ctx.Err() != nil {
				break
			}
		}
	}
	if found == 0 && failed == nil {
		a.sayNone(chosen.prefix, s)
	}
	return failed
}

func (a *app) selected(ctx context.Context, in checkpoint.Namespace, chosen *selection, names []string) iter.Seq2[string, error] {
	if len(names) == 0 {
		return in.Names(ctx, chosen.prefix)
	}
	return func(yield func(string, error) bool) {
		for _, name := range names {
			if !yield(name, nil) {
				return
			}
		}
	}
}

// sayNone says that there are no checkpoints, or none with the prefix if there is one.
func (a *app) sayNone(prefix string, s *openStore) {
	if prefix == "" {
		a.say("there are no checkpoints in namespace %s of %s", a.namespace, s.url)
		return
	}
	a.say("no checkpoints begin with %q in namespace %s of %s", prefix, a.namespace, s.url)
}
