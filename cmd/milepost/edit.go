package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/store"
)

// editFlags are the flags of every command that changes a checkpoint.
type editFlags struct {
	execute   bool
	ifVersion int64
	reason    string
}

func (f *editFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.execute, "execute", false, "do it; without this flag only the plan is shown")
	cmd.Flags().Int64Var(&f.ifVersion, "if-version", 0, "do it only if the checkpoint is at this version")
}

func (f *editFlags) addReason(cmd *cobra.Command, kept string) {
	cmd.Flags().StringVar(&f.reason, "reason", "", "why; it is kept with "+kept)
}

// options checks the flags.
func (f *editFlags) options(a *app, cmd *cobra.Command) (*checkpoint.EditOptions, error) {
	if cmd.Flags().Changed("if-version") && f.ifVersion < 1 {
		return nil, kinds.Usagef("--if-version %d: versions count from 1", f.ifVersion)
	}
	return &checkpoint.EditOptions{
		IfVersion: f.ifVersion, Reason: f.reason, DryRun: !f.execute, Lease: a.leaseOptions(),
	}, nil
}

// editJSON is a plan, or what was done, as JSON.
type editJSON struct {
	Action   string                 `json:"action"`
	Executed bool                   `json:"executed"`
	Before   *checkpoint.Checkpoint `json:"before"`
	After    *checkpoint.Checkpoint `json:"after"`
}

// printEdit prints a plan, or what was done: each field that changes, with its old and new value.
func (a *app) printEdit(action string, key store.Key, e *checkpoint.EditResult, options *checkpoint.EditOptions, detail string) error {
	if a.output == "json" {
		return a.printJSON(editJSON{action, !options.DryRun, e.Before, e.After})
	}
	verb := "Wrote"
	if options.DryRun {
		verb = "Would write"
	}
	_, err := fmt.Fprintf(a.stdout, "%s version %d of %s%s:\n", verb, e.After.Number, key, detail)
	if err != nil {
		return err
	}
	if err := printChanges(a, e.Before, e.After); err != nil {
		return err
	}
	return a.unlessExecuted(options.DryRun, e.Before)
}

func printChanges(a *app, before, after *checkpoint.Checkpoint) error {
	if before == nil {
		before = &checkpoint.Checkpoint{}
	}
	t := newTable("")
	changed := func(field, from, to string) {
		if from == to {
			return
		}
		t.add("  "+field, cell(from), "→", cell(to))
	}
	changed("cursor", before.Cursor, after.Cursor)
	changed("processed", human.Thousands(before.Processed), human.Thousands(after.Processed))
	changed("failed", human.Thousands(before.Failed), human.Thousands(after.Failed))
	changed("identity", before.Identity, after.Identity)
	changed("schema", human.Thousands(before.Schema), human.Thousands(after.Schema))
	changed("last error", before.LastError, after.LastError)
	if was, is, ok := stateFields(before, after); ok && before.Body == "" && after.Body == "" {
		for _, name := range slices.Sorted(maps.Keys(merged(was, is))) {
			changed("state."+name, string(was[name]), string(is[name]))
		}
	} else if !bytes.Equal(before.State, after.State) || before.Body != after.Body {
		t.add("  state", cell(stateText(before)), "→", cell(stateText(after)))
	}
	if len(t.rows) == 0 {
		t.add("  no field changes")
	}
	t.header = t.rows[0] // this table has no header
	t.rows = t.rows[1:]
	return t.print(a.stdout)
}

// stateFields returns the fields of two states, if both are JSON objects.
func stateFields(before, after *checkpoint.Checkpoint) (was, is map[string]json.RawMessage, ok bool) {
	ok = json.Unmarshal(before.State, &was) == nil && json.Unmarshal(after.State, &is) == nil
	return was, is, ok && was != nil && is != nil
}

func merged(was, is map[string]json.RawMessage) map[string]json.RawMessage {
	all := maps.Clone(was)
	maps.Copy(all, is)
	return all
}

// unlessExecuted prints that nothing was changed, if this is only a plan.
func (a *app) unlessExecuted(dryRun bool, before *checkpoint.Checkpoint) error {
	if !dryRun {
		return nil
	}
	_, err := fmt.Fprintln(a.stdout, "Nothing was changed. Add --execute to do it.")
	if err == nil && before != nil {
		_, err = fmt.Fprintf(a.stdout, "Add --if-version %d to do it only if nothing is saved until then.\n", before.Number)
	}
	return err
}
