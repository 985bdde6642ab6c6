package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/internal/agent"
	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/kinds"
)

// markFlags say how far a process inside milepost run is.
type markFlags struct {
	cursor            string
	processed, failed int64
	state             string
}

func (f *markFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.cursor, "cursor", "", "where the job is: everything up to here is processed")
	cmd.Flags().Int64Var(&f.processed, "processed", 0, "how many records were processed since the last mark (default 1, if --failed is not given)")
	cmd.Flags().Int64Var(&f.failed, "failed", 0, "how many records have failed since the last mark")
	cmd.Flags().StringVar(&f.state, "state", "", "`FILE` with the job's new state as JSON, or - for standard input")
}

// progress returns what the given flags say.
func (f *markFlags) progress(a *app, cmd *cobra.Command) (p agent.Progress, err error) {
	if f.processed < 0 || f.failed < 0 {
		return p, kinds.Usagef("--processed and --failed cannot be negative")
	}
	if cmd.Flags().Changed("cursor") {
		p.Cursor = &f.cursor
	}
	if cmd.Flags().Changed("processed") {
		p.Processed = &f.processed
	}
	if cmd.Flags().Changed("failed") {
		p.Failed = &f.failed
	}
	if f.state != "" {
		p.State, err = a.readState(f.state)
	}
	return p, err
}

func (a *app) readState(path string) ([]byte, error) {
	from := a.stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, kinds.Usage(err)
		}
		defer func() { _ = file.Close() }()
		from = file
	}
	state, err := io.ReadAll(io.LimitReader(from, agent.MaxLine))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the state: %w", err)
	case len(state) == agent.MaxLine:
		return nil, kinds.Usagef("--state %s: it is larger than %s bytes", path, human.Thousands(agent.MaxLine))
	case !json.Valid(state):
		return nil, kinds.Usagef("--state %s: it is not valid JSON", path)
	}
	return bytes.TrimSpace(state), nil
}

func (a *app) markCommand() *cobra.Command {
	var f markFlags
	cmd := &cobra.Command{
		Use:   "mark --cursor CURSOR",
		Short: "Inside milepost run: report how far the job is",
		Long: `Mark tells milepost run, which started this command, how far the job is and what its
state is. The mark is saved in the background; milepost save waits until it is saved. If
the lease was lost, mark exits with 7.`,
		Example: `  milepost mark --cursor ord-88123 --processed 100
  milepost mark --cursor ord-88123 --state state.json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("cursor") {
				return kinds.Usagef("--cursor is missing: it says up to where everything is processed")
			}
			return a.inside(func(run *agent.Client) error {
				p, err := f.progress(a, cmd)
				if err != nil {
					return err
				}
				return run.Mark(p)
			})
		},
	}
	f.add(cmd)
	return cmd
}

func (a *app) saveCommand() *cobra.Command {
	var f markFlags
	cmd := &cobra.Command{
		Use:   "save",
		Short: "Inside milepost run: save the last mark, and return when it is durable",
		Example: `  milepost save --state state.json
  jq -n --argjson sum 12 '{$sum}' | milepost save --cursor ord-88123 --processed 100 --state -`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("cursor") && (cmd.Flags().Changed("processed") || cmd.Flags().Changed("failed")) {
				return kinds.Usagef("--cursor is missing: --processed and --failed need it")
			}
			return a.inside(func(run *agent.Client) error {
				p, err := f.progress(a, cmd)
				if err != nil {
					return err
				}
				reply, err := run.Save(p)
				if err != nil || a.output != "json" {
					return err
				}
				return a.printLine(reply)
			})
		},
	}
	f.add(cmd)
	return cmd
}

func (a *app) stateCommand() *cobra.Command {
	var cursor bool
	cmd := &cobra.Command{
		Use:   "state",
		Short: "Inside milepost run: print the job's state, as last marked",
		Long: `State prints the job's state byte for byte, and nothing if it has none. With -o json it
prints cursor and state.`,
		Example: `  milepost state | jq .sum
  milepost state --cursor`,
		Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			return a.inside(func(run *agent.Client) error {
				reply, err := run.State()
				if err != nil {
					return err
				}
				if a.output == "json" {
					return a.printLine(reply)
				}
				var marked struct {
					Cursor string
					State  json.RawMessage
					Coded  []byte `json:"state_base64"`
				}
				if err := json.Unmarshal(reply, &marked); err != nil {
					return err
				}
				switch {
				case cursor:
					return a.printLine([]byte(marked.Cursor))
				case marked.Coded != nil:
					return a.printLine(marked.Coded)
				case marked.State != nil:
					return a.printLine(marked.State)
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&cursor, "cursor", false, "print the cursor instead")
	return cmd
}

func (a *app) printLine(line []byte) error {
	_, err := a.stdout.Write(append(line, '\n'))
	return err
}

// inside does something in a conversation with the milepost run that started this process.
func (a *app) inside(do func(*agent.Client) error) error {
	if err := a.begin(); err != nil {
		return err
	}
	path := a.getenv("MILEPOST_SOCKET")
	if path == "" {
		return kinds.Usagef("MILEPOST_SOCKET is not set: this works only in a command under milepost run NAME -- CMD")
	}
	run, err := agent.Dial(path)
	if err != nil {
		return err
	}
	defer run.Close()
	return do(run)
}
