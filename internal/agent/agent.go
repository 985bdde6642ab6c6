// Package agent holds sessions for programs in any language. It speaks the JSON lines of
// docs/agent-protocol.md.
//
// An [Agent] serves the client on standard input and output, or, with [Share], the processes of a
// command under milepost run. [Dial] is the client of the latter.
//
// The package opens no store by itself, and starts no process.
package agent

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/later"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// Options are the options of an agent. All except Observer are required.
type Options struct {
	Namespace string // the namespace of clients that name none
	Release   string // the release of this binary, which the agent reports to clients
	Logger    *slog.Logger
	Observer  func(store.Key, lease.Event) // of all leases and sessions; may be nil

	// Open opens a store. It is called by one goroutine at a time, once for each place.
	Open func(context.Context, Place) (*Store, error)
}

// Place is how a client names a store and its archive. "" is the agent's default.
type Place struct {
	Store, Archive string

	// Create is set if what is missing may be made.
	Create bool
}

// Store is an open store with the archive that belongs to it.
type Store struct {
	Namespace checkpoint.Namespace // without a name: each request names its namespace

	Close func()
}

// in returns the namespace of that name.
func (s *Store) in(name string) checkpoint.Namespace {
	n := s.Namespace
	n.Name = name
	return n
}

// Agent has what the conversations with all clients share.
type Agent struct {
	o Options

	mu   sync.Mutex
	open map[Place]*Store
}

// New returns an agent that has opened nothing yet.
func New(o Options) *Agent {
	o.Logger = later.Logger(o.Logger) // one queue for all sessions, and no request waits for the log
	return &Agent{o: o, open: map[Place]*Store{}}
}

// Converse begins a conversation with a client that reads w.
func (a *Agent) Converse(w io.Writer) *Conversation { return newConversation(a, nil, w) }

// Close closes the stores. Every conversation must have ended.
func (a *Agent) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, st := range a.open {
		st.Close()
	}
	later.Flush(a.o.Logger, time.Second)
}

// store returns the store of a place. A client that only reads uses a store that was opened for
// writing, if there is one.
func (a *Agent) store(ctx context.Context, p Place) (*Store, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, create := range []bool{mayCreate, p.Create} {
		if st := a.open[Place{p.Store, p.Archive, create}]; st != nil {
			return st, nil
		}
	}
	st, err := a.o.Open(ctx, p)
	if err != nil {
		return nil, err
	}
	a.open[p] = st
	return st, nil
}

// Whether a request creates a store that is missing.
const (
	mustExist = false
	mayCreate = true
)

// target is the checkpoint that a request names.
type target struct {
	agent           *Agent
	url, archive    string
	namespace, name string
}

func (c *Conversation) target(f *fields) target {
	t := target{agent: c.agent, url: f.text("store"), archive: f.text("archive"), namespace: c.agent.o.Namespace, name: f.required("name")}
	if f.has("namespace") {
		t.namespace = f.text("namespace")
	}
	return t
}

func (t target) open(ctx context.Context, create bool) (*Store, error) {
	if err := t.key().Validate(); err != nil {
		return nil, err
	}
	return t.agent.store(ctx, Place{t.url, t.archive, create})
}

func (t target) key() store.Key { return store.Key{Namespace: t.namespace, Name: t.name} }
