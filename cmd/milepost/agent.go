package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/internal/agent"
	"github.com/milepost-dev/milepost/internal/kinds"
)

// agentGrace is how long the agent continues after SIGTERM, so that its client can close.
const agentGrace = 5 * time.Second

func (a *app) agentCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "agent",
		Short: "Hold sessions for a program in any language, over standard input and output",
		Long: `Agent speaks JSON lines with the program that started it: one request and one reply on a
line, as docs/agent-protocol.md describes. It holds any number of sessions. When the
program ends, the agent saves what the program had marked, and releases its leases.

--store and --namespace are the defaults for what the program opens.`,
		Example: `  echo '{"id":1,"method":"hello","protocol":1}' | milepost agent`,
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			if err := a.begin(); err != nil {
				return err
			}
			a.output = "json" // its log is JSON
			return a.runAgent()
		},
	}
}

// runAgent runs milepost agent until its input ends. The input of a client that is killed ends,
// too.
func (a *app) runAgent() error {
	// A terminal sends SIGINT and SIGHUP to the client as well, and the client decides.
	ignored, terminate := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(ignored, os.Interrupt, syscall.SIGHUP)
	signal.Notify(terminate, syscall.SIGTERM)
	defer signal.Stop(ignored)
	defer signal.Stop(terminate)

	served := agent.New(a.agentOptions())
	defer served.Close()
	c := served.Converse(a.stdout)
	read := make(chan error, 1)
	go func() { read <- c.Read(polled(a.stdin)) }()
	var err error
	select {
	case err = <-read:
	case told := <-terminate:
		err = &kinds.SignalError{Signal: told}
		c.SaveSoon()
		select {
		case failed := <-read:
			err = errors.Join(err, failed)
		case <-time.After(agentGrace):
		}
	}
	return errors.Join(err, c.End())
}

// agentOptions returns the options of an agent. Its clients use the command's store unless they
// name another.
func (a *app) agentOptions() agent.Options {
	return agent.Options{
		Namespace: a.namespace, Release: buildVersion().Version, Logger: a.logger(), Observer: a.observer(),
		Open: func(ctx context.Context, p agent.Place) (*agent.Store, error) {
			named := *a
			if p.Store != "" {
				named.storeText = p.Store
			}
			if p.Archive != "" {
				named.archiveText = p.Archive
			}
			mode := mustExist
			if p.Create {
				mode = mayCreate
			}
			st, err := named.open(ctx, mode)
			if err != nil {
				return nil, err
			}
			return st.forAgent(), nil
		},
	}
}

// forAgent returns the store in the form that package agent takes.
func (s *openStore) forAgent() *agent.Store {
	return &agent.Store{
		Namespace: s.in(""), Close: s.close,
	}
}

// polled returns r. If r is standard input and a pipe, polled returns a separate, non-blocking file
// of that pipe. A read then waits in Go's poller, and its goroutine continues at once. A read that
// blocks in the system would make the scheduler move to another thread, which costs a fifth of each
// round trip. Standard input itself stays blocking, since other processes may share it.
func polled(r io.Reader) io.Reader {
	// Elsewhere that path is no pipe of this process. On Windows any user may have put a file there.
	if r != io.Reader(os.Stdin) || runtime.GOOS != "linux" {
		return r
	}
	if info, err := os.Stdin.Stat(); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		return r
	}
	f, err := os.OpenFile("/proc/self/fd/0", os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil { // another user's pipe
		return r
	}
	return f
}
