package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/milepost-dev/milepost/store"
)

// Copy implements [store.Store]. It also removes a few copies of any checkpoint that expired over
// an hour ago.
func (s *Store) Copy(ctx context.Context, key store.Key, next store.Copy) error {
	return s.writeCopy(ctx, "Copy", key, next.Number, func(ctx context.Context, w *conn, there *store.Copy) error {
		switch {
		case there == nil || there.CommitEpoch < next.CommitEpoch:
			if err := w.sweep(ctx, s.clock().Time()); err != nil {
				return err
			}
			return s.putCopy(ctx, w, key, &next)
		case there.CommitID == next.CommitID:
			return nil
		}
		return errConflict
	})
}

// KeepBase implements [store.Store].
func (s *Store) KeepBase(ctx context.Context, key store.Key, v store.Version) error {
	return s.writeCopy(ctx, "KeepBase", key, v.Number, func(ctx context.Context, w *conn, there *store.Copy) error {
		kept := store.Copy{Version: v, Kept: true}
		switch {
		case there == nil:
		case there.CommitID == v.CommitID || there.CommitEpoch < v.CommitEpoch:
			kept.Label = there.Label
		default:
			return errConflict
		}
		return s.putCopy(ctx, w, key, &kept)
	})
}

// Amend implements [store.Store].
func (s *Store) Amend(ctx context.Context, key store.Key, observed store.Copy, a store.Amendment) error {
	return s.writeCopy(ctx, "Amend", key, observed.Number, func(ctx context.Context, w *conn, there *store.Copy) error {
		if !there.SameAs(&observed) {
			return errConflict
		}
		amended := *there
		a.Apply(&amended)
		_, err := w.exec(ctx, "UPDATE milepost_version SET label = ?, expires_at = ?, kept = ? WHERE ns = ? AND name = ? AND version = ?",
			amended.Label, micros(amended.ExpiresAt), amended.Kept, key.Namespace, key.Name, observed.Number)
		return err
	})
}

// Remove implements [store.Store].
func (s *Store) Remove(ctx context.Context, key store.Key, observed store.Copy) error {
	return s.writeCopy(ctx, "Remove", key, observed.Number, func(ctx context.Context, w *conn, there *store.Copy) error {
		if there != nil && !there.SameAs(&observed) {
			return errConflict
		}
		_, err := w.exec(ctx, "DELETE FROM milepost_version WHERE ns = ? AND name = ? AND version = ?",
			key.Namespace, key.Name, observed.Number)
		return err
	})
}

// errConflict becomes a [store.ConflictError] with the copy that was found.
var errConflict = errors.New("conflict")

// writeCopy calls apply with the copy that it finds, or nil.
func (s *Store) writeCopy(ctx context.Context, op string, key store.Key, version int64, apply func(context.Context, *conn, *store.Copy) error) error {
	_, err := s.write(ctx, s.commits, op, key, func(ctx context.Context, w *conn) error {
		there, err := w.copied(ctx, key, version)
		if err != nil {
			return err
		}
		err = apply(ctx, w, there)
		if errors.Is(err, errConflict) {
			return &store.ConflictError{Op: op, Key: key, Copy: there}
		}
		return err
	})
	return err
}

var putCopy = upsert("milepost_version", 3, append([]string{"ns", "name", "version", "fmt", "label", "expires_at", "kept"}, versionColumns[1:]...))

func (s *Store) putCopy(ctx context.Context, w *conn, key store.Key, c *store.Copy) error {
	version, err := s.checkedValues(key, &c.Version)
	if err != nil {
		return err
	}
	_, err = w.exec(ctx, putCopy, slices.Concat(
		[]any{key.Namespace, key.Name, c.Number, store.Format, c.Label, micros(c.ExpiresAt), c.Kept}, version[1:])...)
	return err
}

// Each new copy removes a few expired ones, an hour after they expired. Until then a slow session
// can still read one to settle a save, and a clock that is set forward and back does no harm.
const (
	sweepAfter = time.Hour
	sweepMost  = 16
	sweepQuery = "DELETE FROM milepost_version WHERE rowid IN " +
		"(SELECT rowid FROM milepost_version WHERE expires_at < ? ORDER BY expires_at LIMIT ?)"
)

func (c *conn) sweep(ctx context.Context, now time.Time) error {
	_, err := c.exec(ctx, sweepQuery, now.Add(-sweepAfter).UnixMicro(), sweepMost)
	return err
}

// Version implements [store.Store].
func (s *Store) Version(ctx context.Context, key store.Key, version int64) (store.Copy, error) {
	var found store.Copy
	err := s.read(ctx, "Version", key, func(ctx context.Context, r *conn) error {
		there, err := r.copied(ctx, key, version)
		if err != nil {
			return err
		}
		if there == nil {
			return fmt.Errorf("version %d: %w", version, store.ErrNotFound)
		}
		found = *there
		return nil
	})
	return found, err
}

// versionsPage bounds the memory of a page, and how long its snapshot lasts.
const versionsPage = 32

// Versions implements [store.Store]. Each page is a snapshot.
func (s *Store) Versions(ctx context.Context, key store.Key, from, to int64) iter.Seq2[store.Copy, error] {
	return func(yield func(store.Copy, error) bool) {
		for from >= to {
			var page []*row
			err := s.read(ctx, "Versions", key, func(ctx context.Context, r *conn) (err error) {
				page, err = r.rows(ctx, "SELECT * FROM milepost_version WHERE ns = ? AND name = ? AND version <= ? AND version >= ? "+
					"ORDER BY version DESC LIMIT ?", key.Namespace, key.Name, from, to, versionsPage)
				return err
			})
			if err != nil {
				yield(store.Copy{}, err)
				return
			}
			for _, r := range page {
				c, err := r.copied(key)
				if err != nil {
					yield(store.Copy{}, s.failed("Versions", key, err, false))
					return
				}
				if !yield(*c, nil) {
					return
				}
				from = c.Number - 1
			}
			if len(page) < versionsPage {
				return
			}
		}
	}
}

// copied returns the copy of version, or nil if there is none.
func (c *conn) copied(ctx context.Context, key store.Key, version int64) (*store.Copy, error) {
	found, err := c.rows(ctx, "SELECT * FROM milepost_version WHERE ns = ? AND name = ? AND version = ?",
		key.Namespace, key.Name, version)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[0].copied(key)
}

func (r *row) copied(key store.Key) (*store.Copy, error) {
	r.key()
	c := &store.Copy{ExpiresAt: r.time("expires_at"), Label: r.text("label"), Kept: r.bool("kept"), Version: r.version()}
	return c, r.done(key, store.CopyRecord(c.Number), c.Validate)
}
