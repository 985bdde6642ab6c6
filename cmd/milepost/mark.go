package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/kinds"
)

// markFlags say what a process inside milepost run has done.
type markFlags struct {
	cursor            string
	processed, failed int64
	state             string
}

func (f *markFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.cursor, "cursor", "", "where the job is: everything up to here is done with")
	cmd.Flags().Int64Var(&f.processed, "processed", 0, "how many records were processed since the last mark (default 1, if --failed is not given)")
	cmd.Flags().Int64Var(&f.failed, "failed", 0, "how many records have failed since")
	cmd.Flags().StringVar(&f.state, "state", "", "`FILE` with the job's new state as JSON, or - for standard input")
}

// request is the mark as a request, or as what it has in common with a save.
func (f *markFlags) request(a *app, cmd *cobra.Command, fields map[string]any) ([]byte, error) {
	for _, name := range []string{"cursor", "processed", "failed"} {
		if cmd.Flags().Changed(name) {
			fields[name] = map[string]any{"cursor": f.cursor, "processed": f.processed, "failed": f.failed}[name]
		}
	}
	if f.processed < 0 || f.failed < 0 {
		return nil, kinds.Usagef("--processed and --failed cannot be negative")
	}
	if f.state == "" {
		return toJSON(fields), nil
	}
	state, err := a.readState(f.state)
	if err != nil {
		return nil, err
	}
	return withState(toJSON(fields), state, ""), nil
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
	state, err := io.ReadAll(io.LimitReader(from, maxLine))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the state: %w", err)
	case len(state) == maxLine:
		return nil, kinds.Usagef("--state %s: it is larger than %s bytes", path, human.Thousands(maxLine))
	case !json.Valid(state):
		return nil, kinds.Usagef("--state %s: it is not valid JSON", path)
	}
	return bytes.TrimSpace(state), nil
}

func (a *app) markCommand() *cobra.Command {
	var f markFlags
	cmd := &cobra.Command{
		Use:   "mark --cursor CURSOR",
		Short: "Inside milepost run: say how far the job is",
		Long: `Mark tells the milepost run around it how far the job is, and what its state is there.
It is saved in the background; milepost save waits for that. When the lease was lost
it exits with 7.`,
		Example: `  milepost mark --cursor ord-88123 --processed 100
  milepost mark --cursor ord-88123 --state state.json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("cursor") {
				return kinds.Usagef("--cursor is missing: it says up to where everything is done with")
			}
			return a.inside(func(in *inside) error {
				line, err := f.request(a, cmd, map[string]any{"method": "mark", "session": in.session})
				if err != nil {
					return err
				}
				if err := in.send(line); err != nil {
					return err
				}
				// A mark has no reply; this one says that it arrived, and whether it still counts.
				reply, err := in.ask(toJSON(map[string]any{"id": 1, "method": "info", "session": in.session}))
				if err != nil {
					return err
				}
				var info struct{ Ended *kinds.ErrorJSON }
				if err := json.Unmarshal(reply, &info); err != nil {
					return err
				}
				if info.Ended != nil {
					return &toldError{*info.Ended}
				}
				return nil
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
		Short: "Inside milepost run: save what was marked, and return when it is durable",
		Example: `  milepost save --state state.json
  jq -n --argjson sum 12 '{$sum}' | milepost save --cursor ord-88123 --processed 100 --state -`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("cursor") && (cmd.Flags().Changed("processed") || cmd.Flags().Changed("failed")) {
				return kinds.Usagef("--cursor is missing: counts belong to one")
			}
			return a.inside(func(in *inside) error {
				line, err := f.request(a, cmd, map[string]any{"id": 1, "method": "save", "session": in.session})
				if err != nil {
					return err
				}
				reply, err := in.ask(line)
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
		Short: "Inside milepost run: print the job's state, as marked last",
		Long: `State prints the job's state byte for byte, and nothing where it has none. With
-o json it prints cursor and state.`,
		Example: `  milepost state | jq .sum
  milepost state --cursor`,
		Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			return a.inside(func(in *inside) error {
				reply, err := in.ask(toJSON(map[string]any{"id": 1, "method": "state", "session": in.session}))
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

// inside is a conversation with the milepost run around this process.
type inside struct {
	conn    net.Conn
	replies *bufio.Reader
	session int64
}

func (a *app) inside(do func(*inside) error) error {
	if err := a.begin(); err != nil {
		return err
	}
	path := a.getenv("MILEPOST_SOCKET")
	if path == "" {
		return kinds.Usagef("MILEPOST_SOCKET is not set: this is for a command that runs under milepost run NAME -- CMD")
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		return fmt.Errorf("reach the milepost run around this: %w", err)
	}
	defer func() { _ = conn.Close() }()
	in := &inside{conn: conn, replies: bufio.NewReader(conn)}
	reply, err := in.ask(toJSON(map[string]any{"id": 0, "method": "hello", "protocol": protocol, "client": "milepost"}))
	if err != nil {
		return err
	}
	var hello struct{ Session int64 }
	if err := json.Unmarshal(reply, &hello); err != nil {
		return err
	}
	in.session = hello.Session
	return do(in)
}

func (in *inside) send(line []byte) error {
	_, err := in.conn.Write(append(line, '\n'))
	return err
}

// ask sends a request and returns its result. What a line before it got wrong is an error as well.
func (in *inside) ask(line []byte) (json.RawMessage, error) {
	if err := in.send(line); err != nil {
		return nil, err
	}
	for {
		line, err := in.replies.ReadBytes('\n')
		if err != nil {
			return nil, fmt.Errorf("the milepost run around this has ended: %w", err)
		}
		var reply struct {
			Event  string
			Error  *kinds.ErrorJSON
			Result json.RawMessage
		}
		switch err := json.Unmarshal(line, &reply); {
		case err != nil:
			return nil, fmt.Errorf("the milepost run around this said %.100q: %w", line, err)
		case reply.Event != "":
		case reply.Error != nil:
			return nil, &toldError{*reply.Error}
		default:
			return reply.Result, nil
		}
	}
}

// toldError is an error that an agent told: it has the same kind here.
type toldError struct{ kinds.ErrorJSON }

func (e *toldError) Error() string { return e.ErrorJSON.Error }

func (e *toldError) Is(target error) bool {
	return kinds.Named(e.Kind).Is(target)
}
