package main

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// agentGrace is how long the agent goes on after SIGTERM, for its client to close.
const agentGrace = 5 * time.Second

func (a *app) agentCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "agent",
		Short: "Hold sessions for a program in any language, over standard input and output",
		Long: `Agent speaks JSON lines with the program that started it: one request and one reply a
line, as docs/agent-protocol.md describes. It holds any number of sessions. When the
program ends, what it had marked is saved and its leases are released.

--store and --namespace are the defaults of what the program opens.`,
		Example: `  echo '{"id":1,"method":"hello","protocol":1}' | milepost agent`,
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			if err := a.begin(); err != nil {
				return err
			}
			a.output = "json" // for what it logs
			return a.agent()
		},
	}
}

// agent is milepost agent. It ends with its input: a client that is killed closes that, too.
func (a *app) agent() error {
	// A terminal sends SIGINT and SIGHUP to the client as well, whose call it is; and a
	// client that does not read any more is no reason to die of SIGPIPE.
	ignored, terminate := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(ignored, os.Interrupt, syscall.SIGHUP, syscall.SIGPIPE)
	signal.Notify(terminate, syscall.SIGTERM)
	defer signal.Stop(ignored)
	defer signal.Stop(terminate)

	s := &stores{app: a, open: map[storeName]*openStore{}}
	defer s.close(nil)
	c := newConversation(a, s, nil, a.stdout)
	read := make(chan error, 1)
	go func() { read <- c.read(a.stdin) }()
	var err error
	select {
	case err = <-read:
	case told := <-terminate:
		err = &signalError{told}
		select {
		case failed := <-read:
			err = errors.Join(err, failed)
		case <-time.After(agentGrace):
		}
	}
	return errors.Join(err, c.end())
}
