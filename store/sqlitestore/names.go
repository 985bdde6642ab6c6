package sqlitestore

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/milepost-dev/milepost/store"
)

// Expect implements [store.Store].
func (s *Store) Expect(ctx context.Context, key store.Key, observed, next *store.Expectation) error {
	_, err := s.write(ctx, s.commits, "Expect", key, func(ctx context.Context, w *conn) error {
		there, err := w.expectation(ctx, key)
		if err != nil {
			return err // a record that cannot be read is not overwritten
		}
		if !there.SameAs(observed) {
			return &store.ConflictError{Op: "Expect", Key: key, Expect: there}
		}
		if next == nil {
			_, err := w.exec(ctx, "DELETE FROM milepost_expect WHERE ns = ? AND name = ?", key.Namespace, key.Name)
			return err
		}
		_, err = w.exec(ctx, putExpect, key.Namespace, key.Name, store.Format,
			next.Every.Microseconds(), next.Grace.Microseconds(), next.SetBy, micros(next.SetAt))
		return err
	})
	return err
}

var putExpect = upsert("milepost_expect", 2, []string{"ns", "name", "fmt", "every_us", "grace_us", "set_by", "set_at"})

// expectation returns EXPECT, or nil if there is none.
func (c *conn) expectation(ctx context.Context, key store.Key) (*store.Expectation, error) {
	found, err := c.rows(ctx, "SELECT * FROM milepost_expect WHERE ns = ? AND name = ?", key.Namespace, key.Name)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	r := found[0]
	r.key()
	e := &store.Expectation{
		Every: r.duration("every_us", time.Microsecond), Grace: r.duration("grace_us", time.Microsecond),
		SetBy: r.text("set_by"), SetAt: r.time("set_at"),
	}
	return e, r.done(key, store.RecordExpect, func() error { return nil })
}

const (
	namesPage  = 500
	namesQuery = "SELECT name FROM milepost_head WHERE ns = ?1 AND name >= ?2 AND listed <> 0 " +
		"UNION SELECT name FROM milepost_expect WHERE ns = ?1 AND name >= ?2 ORDER BY name LIMIT ?3"
)

// Names implements [store.Store]. It does not lag. It reads in pages, so that no snapshot lasts as
// long as a slow caller.
func (s *Store) Names(ctx context.Context, namespace, prefix, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for {
			// There is one bound, because SQLite would seek by one and filter by the other.
			page, err := s.namesFrom(ctx, namespace, max(prefix, after))
			if err != nil {
				yield("", err)
				return
			}
			for _, r := range page {
				name := r.text("name")
				switch {
				case r.err != nil:
					yield("", fmt.Errorf("%w: a name in namespace %s: %w", store.ErrBadRecord, namespace, r.err))
					return
				case name <= after:
					continue
				case !strings.HasPrefix(name, prefix):
					return
				}
				if !yield(name, nil) {
					return
				}
				after = name
			}
			if len(page) < namesPage {
				return
			}
		}
	}
}

func (s *Store) namesFrom(ctx context.Context, namespace, first string) (page []*row, err error) {
	err = s.read(ctx, "Names", store.Key{Namespace: namespace, Name: first}, func(ctx context.Context, r *conn) error {
		page, err = r.rows(ctx, namesQuery, namespace, first, namesPage)
		return err
	})
	return page, err
}

// Peek implements [store.Store]. It is one snapshot, and does not lag.
func (s *Store) Peek(ctx context.Context, keys []store.Key) ([]store.Records, error) {
	if len(keys) > store.MaxPeek {
		return nil, fmt.Errorf("peek at %d keys: the limit is %d", len(keys), store.MaxPeek)
	}
	all := make([]store.Records, len(keys))
	if len(keys) == 0 {
		return all, nil
	}
	err := s.read(ctx, "Peek", keys[0], func(ctx context.Context, r *conn) (err error) {
		for i, key := range keys {
			if all[i], err = r.look(ctx, key); err != nil {
				return err
			}
			all[i].Clock = s.clock()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}
