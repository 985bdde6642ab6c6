package memstore

import (
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/milepost-dev/milepost/store"
)

// Expect implements [store.Store].
func (s *Store) Expect(ctx context.Context, key store.Key, observed, next *store.Expectation) error {
	_, err := s.write(ctx, "Expect", key, store.RecordExpect, func(c *checkpoint) error {
		if !c.expect.SameAs(observed) {
			return &store.ConflictError{Op: "Expect", Key: key, Expect: c.expect.Clone()}
		}
		c.expect = next.Clone()
		return nil
	})
	return err
}

// Names implements [store.Store]. It does not lag.
func (s *Store) Names(ctx context.Context, namespace, prefix, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, name := range s.listed(namespace, prefix, after) {
			if ctx.Err() != nil {
				break
			}
			if !yield(name, nil) {
				return
			}
		}
		if err := readable(ctx, "Names", store.Key{Namespace: namespace, Name: prefix}); err != nil {
			yield("", err)
		}
	}
}

func (s *Store) listed(namespace, prefix, after string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for key, c := range s.checkpoints {
		indexed := c.expect != nil || c.head != nil && c.head.Listed
		if indexed && key.Namespace == namespace && strings.HasPrefix(key.Name, prefix) && key.Name > after {
			names = append(names, key.Name)
		}
	}
	slices.Sort(names)
	return names
}
