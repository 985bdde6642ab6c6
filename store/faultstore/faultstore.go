// Package faultstore is a store that fails on purpose, for tests anywhere: it
// stands before a real one, and lets a chosen call lose its reply, come late, come
// twice, be throttled or hang. It also keeps the list of the calls made.
//
//	s := faultstore.New(memstore.New(nil))
//	s.On("Commit", 2, faultstore.LoseReply) // the second Commit from now on
package faultstore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/milepost-dev/milepost/store"
)

// Store is a [store.Store] that passes each call on to another one unless a rule
// says otherwise. It starts no goroutine.
type Store struct {
	mu    sync.Mutex
	inner store.Store
	rules []*rule
	calls []*Call
	held  []*Call
}

var _ store.Store = (*Store)(nil)

type rule struct {
	method string
	call   int // matching calls still to come until it strikes; 0: each
	fault  Fault
}

// New returns a store that does what inner does.
func New(inner store.Store) *Store { return &Store{inner: inner} }

// Use puts another store behind s from now on: the table was lost, or restored.
// Calls that are held go to it as well.
func (s *Store) Use(inner store.Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inner = inner
}

// On makes the call-th call of method from now on, counted from 1, meet the
// fault; with 0 each call does. An empty method is any. Of several
// rules that fit, the first one given strikes, and the others wait for the next call.
func (s *Store) On(method string, call int, fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, &rule{method: method, call: call, fault: fault})
}

// Clear forgets all rules. Calls that are held stay.
func (s *Store) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = nil
}

// Calls returns the calls made so far, in the order they began. An empty method
// is any.
func (s *Store) Calls(method string) []*Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.calls), func(c *Call) bool { return method != "" && c.Method != method })
}

// Held returns the calls that [Hold] and [Duplicate] kept back, oldest first.
func (s *Store) Held() []*Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.held)
}

// Call is one call of a method.
type Call struct {
	Method string
	Key    store.Key
	Arg    any // what is written, such as a [store.Commit]; nil for reads
	At     time.Time

	store *Store
	apply func(context.Context) error
}

func (c *Call) String() string { return c.Method + " " + c.Key.String() }

// Deliver passes the call on to the store behind, now and as often as asked, and
// returns what that said.
func (c *Call) Deliver(ctx context.Context) error { return c.apply(ctx) }

// do is the way of every call: it is recorded, then meets the first rule that fits.
func do[T any](ctx context.Context, s *Store, method string, key store.Key, arg any, pass func(context.Context, store.Store) (T, error)) (T, error) {
	var mu sync.Mutex // a late delivery may meet the reply
	var reply, none T
	c := &Call{Method: method, Key: key, Arg: arg, At: time.Now(), store: s}
	c.apply = func(ctx context.Context) error {
		s.mu.Lock()
		inner := s.inner
		s.mu.Unlock()
		r, err := pass(ctx, inner)
		mu.Lock()
		reply = r
		mu.Unlock()
		return err
	}
	if err := s.record(c)(ctx, c); err != nil {
		return none, err
	}
	mu.Lock()
	defer mu.Unlock()
	return reply, nil
}

func (s *Store) record(c *Call) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, c)
	struck := func(ctx context.Context, c *Call) error { return c.Deliver(ctx) }
	found := false
	s.rules = slices.DeleteFunc(s.rules, func(r *rule) bool {
		if r.method != "" && r.method != c.Method {
			return false
		}
		if r.call > 1 {
			r.call--
			return false
		}
		if found {
			return false // its turn is the next call that fits
		}
		found, struck = true, r.fault
		return r.call == 1
	})
	return struck
}

func (s *Store) hold(c *Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = append(s.held, c)
}

func (c *Call) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: "+format, append([]any{c}, args...)...)
}
