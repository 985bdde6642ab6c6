// Package metered counts what goes through a store: saves and how they ended, records, leases won and lost,
// requests that were throttled. It stands before any [store.Store], in OpenTelemetry's API, so that the numbers go wherever
// the caller's MeterProvider sends them:
//
//	st, err := metered.New(st, otel.GetMeterProvider(), nil)
//
// docs/metrics.md lists what is emitted. Nothing of a job's own is in it: no cursor, no state, no error's text.
package metered

import (
	"context"
	"fmt"
	"sync"

	"go.opentelemetry.io/otel/metric"

	"github.com/milepost-dev/milepost/store"
)

// Scope is the name of the instrumentation scope.
const Scope = "github.com/milepost-dev/milepost"

// DefaultMaxSeries is how many checkpoints have series of their own if Options.MaxSeries is 0.
const DefaultMaxSeries = 100

// Options say how finely is counted. The zero value counts by namespace.
type Options struct {
	// Detail counts by checkpoint as well.
	Detail bool

	// MaxSeries is how many checkpoints may have series of their own with Detail; the rest
	// counts together as [Other]. Default: 100.
	MaxSeries int
}

// Store is a [store.Store] that counts what it passes on to another one. It changes no call and no reply, and starts no goroutine. A save that
// succeeded is counted behind it: with the next call, or when the numbers are collected. Counting cannot fail.
type Store struct {
	store.Store
	in *instruments

	mu      sync.Mutex
	jobs    map[store.Key]*job
	watched map[Session]struct{}
	last    Saved
	landed  []landed
}

// Session is what [Store.Watch] needs of a session; checkpoint.Session has it.
type Session interface {
	Context() context.Context // ends with the session
	Namespace() string
	Name() string
	Processed() int64
	Failed() int64
}

// Saved says what was saved last, for people to read beside the numbers.
type Saved struct {
	Key     store.Key
	Version int64
	By      store.Holder
}

// New returns a store that does what inner does, and counts it with instruments of the provider's. It fails if
// the provider refuses one of them.
func New(inner store.Store, provider metric.MeterProvider, opts *Options) (*Store, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.MaxSeries == 0 {
		o.MaxSeries = DefaultMaxSeries
	}
	s := &Store{Store: inner, jobs: map[store.Key]*job{}, watched: map[Session]struct{}{}}
	var err error
	if s.in, err = newInstruments(provider.Meter(Scope), NewSeries(o), s.observe); err != nil {
		return nil, fmt.Errorf("make the instruments of metrics: %w", err)
	}
	return s, nil
}

// Watch counts the marks of a session that wait to be saved, until its context ends. The session
// must have been opened over this store.
func (s *Store) Watch(session Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watched[session] = struct{}{}
	context.AfterFunc(session.Context(), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watched, session)
	})
}

// LastSaved is what was saved last through this store; zero: nothing was.
func (s *Store) LastSaved() Saved {
	s.lock()
	defer s.mu.Unlock()
	return s.last
}

// observe reports the marks that wait.
func (s *Store) observe(_ context.Context, o metric.Observer) error {
	s.lock()
	sessions := make(map[Session]int64, len(s.watched)) // and the records that are saved
	for session := range s.watched {
		key := store.Key{Namespace: session.Namespace(), Name: session.Name()}
		if j := s.jobs[key]; j != nil {
			sessions[session] = j.processed + j.failed
		}
	}
	s.mu.Unlock()
	waiting := map[store.Key]int64{} // by series
	for session, saved := range sessions {
		key := store.Key{Namespace: session.Namespace(), Name: session.Name()}
		key.Name = s.in.series.Name(key)
		waiting[key] += max(session.Processed()+session.Failed()-saved, 0)
	}
	for key, n := range waiting {
		o.ObserveInt64(s.in.waiting, n, metric.WithAttributeSet(attributesOf(key.Namespace, key.Name)))
	}
	return nil
}

// of returns the job on a key, which is made where there is none. The caller holds s.mu.
func (s *Store) of(key store.Key) *job {
	j := s.jobs[key]
	if j == nil {
		j = &job{}
		s.jobs[key] = j
	}
	return j
}
