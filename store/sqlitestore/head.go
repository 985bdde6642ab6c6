package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/milepost-dev/milepost/store"
)

// Look implements [store.Store]. It is one snapshot.
func (s *Store) Look(ctx context.Context, key store.Key) (store.Records, error) {
	var found store.Records
	err := s.read(ctx, "Look", key, func(ctx context.Context, r *conn) (err error) {
		found, err = r.look(ctx, key)
		return err
	})
	if err != nil {
		return store.Records{}, err
	}
	found.Clock = s.clock()
	return found, nil
}

func (c *conn) look(ctx context.Context, key store.Key) (found store.Records, err error) {
	if found.Head, err = c.head(ctx, key); err != nil {
		return store.Records{}, err
	}
	if found.Lease, err = c.lease(ctx, key); err != nil {
		return store.Records{}, err
	}
	if found.Expect, err = c.expectation(ctx, key); err != nil {
		return store.Records{}, err
	}
	return found, nil
}

// Raise implements [store.Store].
func (s *Store) Raise(ctx context.Context, key store.Key, fence store.Fence, holder store.Holder, create bool) (store.Head, store.Clock, error) {
	var raised store.Head
	clock, err := s.write(ctx, s.commits, "Raise", key, func(ctx context.Context, w *conn) error {
		there, err := w.head(ctx, key)
		if err != nil {
			return err
		}
		switch {
		case there == nil && create:
			there = &store.Head{}
		case there == nil || there.Fence.Epoch >= fence.Epoch:
			return &store.ConflictError{Op: "Raise", Key: key, Head: there}
		}
		raised = *there
		raised.Fence, raised.Holder = fence, holder.WithoutProcess()
		if err := raised.Validate(); err != nil {
			return err
		}
		return w.putHead(ctx, key, &raised)
	})
	if err != nil {
		return store.Head{}, store.Clock{}, err
	}
	return raised, clock, nil
}

// commitHead is the whole of a save that meets no conflict.
var commitHead = "UPDATE milepost_head SET listed = 1, holder_id = ?, holder_host = ?, holder_pid = ?, holder_run = ?, " +
	assignments(versionColumns, "%s = ?") +
	" WHERE ns = ? AND name = ? AND fmt = ? AND epoch = ? AND lease_id = ? AND version = ?"

// Commit implements [store.Store]. [Exec] makes its writes, which see the new HEAD.
func (s *Store) Commit(ctx context.Context, key store.Key, c store.Commit) (store.Clock, error) {
	clock, err := s.write(ctx, s.commits, "Commit", key, func(ctx context.Context, w *conn) error {
		writes, err := statements(c.Writes)
		if err != nil {
			return err
		}
		version, err := s.checkedValues(key, &c.Next)
		if err != nil {
			return err
		}
		changed, err := w.exec(ctx, commitHead, slices.Concat(holderValues(c.Next.By), version,
			[]any{key.Namespace, key.Name, store.Format, c.Fence.Epoch, c.Fence.LeaseID, c.Base})...)
		if err != nil {
			return err
		}
		if changed == 0 {
			there, err := w.head(ctx, key)
			if err != nil {
				return err
			}
			return &store.ConflictError{Op: "Commit", Key: key, Head: there}
		}
		return w.run(ctx, key, writes)
	})
	var refused *store.WriteError
	if len(c.Writes) > 0 && isConstraint(err) && !errors.As(err, &refused) {
		err = &store.WriteError{Key: key, Index: len(c.Writes) - 1, Err: fmt.Errorf("a deferred constraint, of this write or one before it: %w", err)}
	}
	return clock, err
}

// checkedValues are the values of v in versionColumns. They are an error if v is not valid or too
// large.
func (s *Store) checkedValues(key store.Key, v *store.Version) ([]any, error) {
	if err := v.Validate(); err != nil {
		return nil, err
	}
	values, err := versionValues(v)
	if err != nil {
		return nil, err
	}
	size := int64(len(key.Namespace) + len(key.Name))
	for _, value := range values {
		switch value := value.(type) {
		case string:
			size += int64(len(value))
		case []byte:
			size += int64(len(value))
		}
	}
	if size > s.maxRecord {
		return nil, &store.SizeError{Key: key, Size: size, Limit: s.maxRecord}
	}
	return values, nil
}

// Unlist implements [store.Store].
func (s *Store) Unlist(ctx context.Context, key store.Key, commitID string) error {
	_, err := s.write(ctx, s.commits, "Unlist", key, func(ctx context.Context, w *conn) error {
		there, err := w.head(ctx, key)
		if err != nil {
			return err
		}
		if there == nil || there.CommitID != commitID || !there.Deleted {
			return &store.ConflictError{Op: "Unlist", Key: key, Head: there}
		}
		_, err = w.exec(ctx, "UPDATE milepost_head SET listed = 0 WHERE ns = ? AND name = ?", key.Namespace, key.Name)
		return err
	})
	return err
}

var putHead = upsert("milepost_head", 2, append([]string{
	"ns", "name", "fmt", "listed", "epoch", "lease_id", "holder_id", "holder_host", "holder_pid", "holder_run",
}, versionColumns...))

func (c *conn) putHead(ctx context.Context, key store.Key, h *store.Head) error {
	version, err := versionValues(&h.Version)
	if err != nil {
		return err
	}
	_, err = c.exec(ctx, putHead, slices.Concat(
		[]any{key.Namespace, key.Name, store.Format, h.Listed, h.Fence.Epoch, h.Fence.LeaseID}, holderValues(h.Holder), version)...)
	return err
}

// head returns HEAD, or nil if there is none.
func (c *conn) head(ctx context.Context, key store.Key) (*store.Head, error) {
	found, err := c.rows(ctx, "SELECT * FROM milepost_head WHERE ns = ? AND name = ?", key.Namespace, key.Name)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	r := found[0]
	r.key()
	h := &store.Head{
		Listed: r.bool("listed"), Fence: store.Fence{Epoch: r.int("epoch"), LeaseID: r.text("lease_id")},
		Holder: r.holder("holder"), Version: r.version(),
	}
	return h, r.done(key, store.RecordHead, h.Validate)
}
