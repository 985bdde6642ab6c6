// Package faultstore is a store that fails on purpose, for tests. It passes calls on to another
// store. Rules make chosen calls lose the reply, come late, come twice, be throttled, or hang. It
// also keeps a list of the calls.
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

// Store is a [store.Store] that passes each call on to another store, unless a rule says otherwise.
// It starts no goroutine.
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
	call   int // how many matching calls there are until it strikes; 0: it strikes each
	fault  Fault
}

// New returns a store that passes all calls on to inner until a rule is given.
func New(inner store.Store) *Store { return &Store{inner: inner} }

// Use passes all further calls on to another store, as if the table was lost or restored. Calls
// that are held go to it too.
func (s *Store) Use(inner store.Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inner = inner
}

// On makes the call-th further call of method, counted from 1, meet the fault. With 0 each call
// does. An empty method is any method. If several rules fit, the one given first strikes, and the
// others wait for the next call.
func (s *Store) On(method string, call int, fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, &rule{method: method, call: call, fault: fault})
}

// Clear removes all rules. Calls that are held stay held.
func (s *Store) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = nil
}

// Calls returns the calls made so far, in the order in which they began. An empty method is any
// method.
func (s *Store) Calls(method string) []*Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.calls), func(c *Call) bool { return method != "" && c.Method != method })
}

// Held returns the calls that [Hold] and [Duplicate] held back, oldest first.
func (s *Store) Held() []*Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.held)
}

// Call is one call of a method of [store.Store].
type Call struct {
	Method string
	Key    store.Key
	Arg    any // what is written, such as a [store.Commit]; nil for reads
	At     time.Time

	store *Store
	apply func(context.Context) error
}

func (c *Call) String() string { return c.Method + " " + c.Key.String() }

// Deliver passes the call on to the other store, and returns its error. It may be called any number
// of times.
func (c *Call) Deliver(ctx context.Context) error { return c.apply(ctx) }

// do makes a call: it records the call, which then meets the first rule that fits.
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
			return false // it waits for the next call that fits
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
