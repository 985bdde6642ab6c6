package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// ReadOptions choose what is read. The zero value is the newest version in the default namespace.
type ReadOptions struct {
	Namespace string

	// Version chooses one version; At the newest one that was saved at that time or before. At the
	// most one of them is set. History begins there.
	Version int64
	At      time.Time

	// Archive is where large states lie, and the versions that the store does not hold any more:
	// with it, reading goes on there. Nil: none.
	Archive archive.Archive
}

func (o *ReadOptions) key(name string) (store.Key, *ReadOptions, error) {
	var f ReadOptions
	if o != nil {
		f = *o
	}
	if f.Namespace == "" {
		f.Namespace = store.DefaultNamespace
	}
	if f.Version < 0 || f.Version > 0 && !f.At.IsZero() {
		return store.Key{}, nil, errors.New("read options: a version is 1 or higher, and excludes a time")
	}
	key := store.Key{Namespace: f.Namespace, Name: name}
	return key, &f, key.Validate()
}

// Get reads one version without a lease, strongly consistent: the newest, or the one that opts
// chooses. No such checkpoint, one that was deleted, and a version that has expired or never was are
// [store.ErrNotFound]; a record that cannot be trusted is a [*store.BadRecordError].
func Get(ctx context.Context, st store.Store, name string, opts *ReadOptions) (*Checkpoint, error) {
	key, o, err := opts.key(name)
	if err != nil {
		return nil, err
	}
	r, err := look(ctx, st, key)
	if err != nil {
		return nil, err
	}
	switch {
	case o.Version > 0:
		return r.version(ctx, o.Version)
	case !o.At.IsZero():
		return r.at(ctx, o.At)
	}
	return viewHead(key, r.head)
}

// History reads the versions from the newest (or the one that opts chooses) back to the first of this
// life, without those that have expired. A version that cannot be trusted is yielded as its error, and
// the next one follows; an error of the store's ends it. No such checkpoint is [store.ErrNotFound].
func History(ctx context.Context, st store.Store, name string, opts *ReadOptions) iter.Seq2[*Checkpoint, error] {
	return func(yield func(*Checkpoint, error) bool) {
		key, o, err := opts.key(name)
		if err != nil {
			yield(nil, err)
			return
		}
		r, err := look(ctx, st, key)
		if err != nil {
			yield(nil, err)
			return
		}
		for c, err := range r.history(ctx, o.Version) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !o.At.IsZero() && c.SavedAt.After(o.At) {
				continue
			}
			if !yield(r.view(c)) {
				return
			}
		}
	}
}

// reader reads the versions of one checkpoint behind the HEAD that it has read: HEAD comes before any V#.
type reader struct {
	st    store.Store
	key   store.Key
	head  *store.Head // nil: absent
	lease *store.Lease
	clock store.Clock
	now   time.Time
}

func newReader(st store.Store, key store.Key, found store.Records) *reader {
	return &reader{st: st, key: key, head: found.Head, lease: found.Lease, clock: found.Clock, now: timeOf(found.Clock)}
}

// look reads HEAD. A checkpoint that does not exist is [store.ErrNotFound].
func look(ctx context.Context, st store.Store, key store.Key) (*reader, error) {
	found, err := st.Look(ctx, key)
	if err != nil {
		return nil, wrap("read", key, err)
	}
	r := newReader(st, key, found)
	return r, r.exists()
}

// exists returns an error that matches [store.ErrNotFound] unless there is a checkpoint.
func (r *reader) exists() error {
	if r.head == nil || !r.head.Exists() {
		return fmt.Errorf("checkpoint %s: %w", r.key, store.ErrNotFound)
	}
	return nil
}

// newest is HEAD's version, a tombstone's too.
func (r *reader) newest() int64 {
	if r.head == nil {
		return 0
	}
	return r.head.Version.Version
}

// regressed reports whether the store knows less than it did.
func (r *reader) regressed() bool { return r.lease != nil && r.newest() < r.lease.Version }

// timeOf is the store's time, or this machine's where the store has no clock.
func timeOf(c store.Clock) time.Time {
	if c.Wall.IsZero() {
		return time.Now()
	}
	return c.Wall
}

// shown reports whether readers may see the copy.
func (r *reader) shown(c *store.Copy) bool {
	return c.Version.Version >= r.head.Born && !c.Deleted && !c.Expired(r.now)
}

// version reads one version.
func (r *reader) version(ctx context.Context, version int64) (*Checkpoint, error) {
	copied, err := r.raw(ctx, version)
	if err != nil {
		return nil, err
	}
	return r.view(copied)
}

// view is a version as readers see it. HEAD stands for the newest.
func (r *reader) view(c store.Copy) (*Checkpoint, error) {
	if c.CommitID == r.head.CommitID {
		return viewHead(r.key, r.head)
	}
	return viewCopy(r.key, &c)
}

// raw reads one version as it is stored. V#k may be missing because it is being written behind HEAD:
// then HEAD is read again.
func (r *reader) raw(ctx context.Context, version int64) (store.Copy, error) {
	for {
		newest := r.head.Version.Version
		if version == newest {
			return store.Copy{Version: r.head.Version}, nil
		}
		copied, err := r.st.Version(ctx, r.key, version)
		switch {
		case err == nil && r.shown(&copied) && version < newest:
			return copied, nil
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return store.Copy{}, wrap(fmt.Sprintf("read version %d of", version), r.key, err)
		case version < newest:
			return store.Copy{}, fmt.Errorf("version %d of checkpoint %s: %w", version, r.key, store.ErrNotFound)
		}
		again, err := look(ctx, r.st, r.key)
		if err != nil {
			return store.Copy{}, err
		}
		if again.head.Version.Version < version {
			return store.Copy{}, fmt.Errorf("version %d of checkpoint %s, which is at version %d: %w",
				version, r.key, again.head.Version.Version, store.ErrNotFound)
		}
		*r = *again
	}
}

// at reads the newest version that was saved at that time or before.
func (r *reader) at(ctx context.Context, t time.Time) (*Checkpoint, error) {
	for c, err := range r.history(ctx, 0) {
		if err != nil {
			return nil, err
		}
		if !c.SavedAt.After(t) {
			return r.view(c)
		}
	}
	return nil, fmt.Errorf("a version of checkpoint %s as of %s: %w", r.key, t.UTC().Format(time.RFC3339), store.ErrNotFound)
}

// history yields the versions that are shown, newest first, from one on (0: the newest).
func (r *reader) history(ctx context.Context, from int64) iter.Seq2[store.Copy, error] {
	return func(yield func(store.Copy, error) bool) {
		newest := r.head.Version.Version
		if from == 0 || from >= newest {
			if !yield(store.Copy{Version: r.head.Version}, nil) {
				return
			}
			from = newest - 1
		}
		if from < r.head.Born {
			return
		}
		for copied, err := range r.st.Versions(ctx, r.key, from, r.head.Born) {
			if err != nil {
				yield(store.Copy{}, wrap("read the history of", r.key, err))
				return
			}
			if r.shown(&copied) && !yield(copied, nil) {
				return
			}
		}
	}
}
