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

// ReadOptions choose what is read. The zero value is the newest version.
type ReadOptions struct {
	// Version chooses one version. At chooses the newest version that was saved at that time or
	// before. At most one of them is set. A history begins at the chosen version.
	Version int64
	At      time.Time
}

// reading validates the options of a read, and returns the checkpoint that is read.
func (n Namespace) reading(name string, opts *ReadOptions) (named, ReadOptions, error) {
	var o ReadOptions
	if opts != nil {
		o = *opts
	}
	if o.Version < 0 || o.Version > 0 && !o.At.IsZero() {
		return named{}, o, errors.New("read options: a version is 1 or higher, and excludes a time")
	}
	one, err := n.named(name)
	return one, o, err
}

// maxGetState is the most bytes of a state in the archive that [Namespace.Get] loads.
const maxGetState = 64 << 20

// Get reads one version: the newest, or the one that opts chooses. It takes no lease, and the read
// is strongly consistent. The error is [store.ErrNotFound] if there is no such checkpoint, if it
// was deleted, and if the version has expired or never was. A damaged record is a
// [*store.BadRecordError]. The end of ctx ends the read.
//
// A state that lies in the archive is loaded if n has the Archive and the state has at most 64 MiB.
// Otherwise Body says where the state is, and [Checkpoint.OpenState] reads it. A state that is
// missing or damaged is an [*archive.BodyError].
func (n Namespace) Get(ctx context.Context, name string, opts *ReadOptions) (*Checkpoint, error) {
	one, o, err := n.reading(name, opts)
	if err != nil {
		return nil, err
	}
	cp, err := one.get(ctx, o)
	if errors.Is(err, archive.ErrBodyMissing) { // HEAD may have moved since, and point at another body
		return one.get(ctx, o)
	}
	return cp, err
}

func (n named) get(ctx context.Context, o ReadOptions) (*Checkpoint, error) {
	r, err := n.existing(ctx)
	if err != nil {
		return nil, err
	}
	cp, err := r.choose(ctx, o)
	if err != nil || cp.Body == "" || n.Archive == nil || cp.StateSize > maxGetState {
		return cp, err
	}
	cp.State, err = loadBody(ctx, n.Archive, n.key, &cp.Version)
	if err != nil {
		return nil, wrap("read", n.key, err)
	}
	return cp, nil
}

func (r *reader) choose(ctx context.Context, o ReadOptions) (*Checkpoint, error) {
	switch {
	case o.Version > 0:
		return r.version(ctx, o.Version)
	case !o.At.IsZero():
		return r.at(ctx, o.At)
	}
	return viewHead(r.key, r.head)
}

// History reads the versions from the newest, or from the one that opts chooses, back to the first
// of this life. It leaves out expired versions, unless n has an Archive that holds them. It loads
// no state that lies in the archive: [Checkpoint.OpenState] reads those. A damaged version is
// yielded as its error, and the next one follows. An error of the store or the archive ends the
// history. If there is no such checkpoint, the error is [store.ErrNotFound].
func (n Namespace) History(ctx context.Context, name string, opts *ReadOptions) iter.Seq2[*Checkpoint, error] {
	return func(yield func(*Checkpoint, error) bool) {
		one, o, err := n.reading(name, opts)
		if err != nil {
			yield(nil, err)
			return
		}
		r, err := one.existing(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		for e, err := range r.history(ctx, o.Version, o.At) {
			cp := (*Checkpoint)(nil)
			if err == nil {
				cp, err = r.view(e)
			}
			if !yield(cp, err) {
				return
			}
		}
	}
}

// reader reads the versions of one checkpoint. It has read HEAD before it reads any V#.
type reader struct {
	named
	head        *store.Head // nil: absent
	lease       *store.Lease
	expect      *store.Expectation
	clock       store.Clock
	now         time.Time
	fromArchive *archivedVersions // nil: the archive was not asked yet
}

func (n named) reader(found store.Records) *reader {
	return &reader{named: n, head: found.Head, lease: found.Lease, expect: found.Expect, clock: found.Clock, now: found.Clock.Time()}
}

// existing reads HEAD. A checkpoint that does not exist is [store.ErrNotFound].
func (n named) existing(ctx context.Context) (*reader, error) {
	found, err := n.look(ctx)
	if err != nil {
		return nil, err
	}
	r := n.reader(found)
	return r, r.exists()
}

// entry is one version of a history, and whether it came from the archive.
type entry struct {
	store.Copy
	archived bool
}

// exists returns an error that matches [store.ErrNotFound] if the checkpoint does not exist.
func (r *reader) exists() error {
	if r.head == nil || !r.head.Exists() {
		return fmt.Errorf("checkpoint %s: %w", r.key, store.ErrNotFound)
	}
	return nil
}

// newest returns HEAD's version, even if HEAD is a tombstone.
func (r *reader) newest() int64 {
	if r.head == nil {
		return 0
	}
	return r.head.Number
}

// regressed reports whether the store has gone backward: HEAD is older than LEASE says.
func (r *reader) regressed() bool { return r.lease != nil && r.newest() < r.lease.Version }

// shown reports whether readers may see the copy.
func (r *reader) shown(c *store.Copy) bool {
	return c.Number >= r.head.Born && !c.Deleted && !c.Expired(r.now)
}

// version reads one version.
func (r *reader) version(ctx context.Context, version int64) (*Checkpoint, error) {
	e, err := r.raw(ctx, version)
	if err != nil {
		return nil, err
	}
	return r.view(e)
}

// view returns a version as readers see it. HEAD is shown for the newest version.
func (r *reader) view(e entry) (*Checkpoint, error) {
	if e.CommitID == r.head.CommitID {
		return viewHead(r.key, r.head)
	}
	return viewCopy(r.key, &e)
}

// raw reads one version as it is stored. V#k may be missing because a session is still writing it
// after HEAD. Then raw reads HEAD again. If V#k has expired, raw reads it from the archive.
func (r *reader) raw(ctx context.Context, version int64) (entry, error) {
	for {
		newest := r.head.Number
		if version == newest {
			return entry{Copy: store.Copy{Version: r.head.Version}}, nil
		}
		copied, err := r.Store.Version(ctx, r.key, version)
		switch {
		case err == nil && r.shown(&copied) && version < newest:
			return entry{Copy: copied}, nil
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return entry{}, wrap(fmt.Sprintf("read version %d of", version), r.key, err)
		case version < newest:
			return r.archived(ctx, version)
		}
		again, err := r.existing(ctx)
		if err != nil {
			return entry{}, err
		}
		if again.head.Number < version {
			return entry{}, fmt.Errorf("version %d of checkpoint %s, which is at version %d: %w",
				version, r.key, again.head.Number, store.ErrNotFound)
		}
		*r = *again
	}
}

// at reads the newest version that was saved at that time or before.
func (r *reader) at(ctx context.Context, t time.Time) (*Checkpoint, error) {
	for e, err := range r.history(ctx, 0, t) {
		if err != nil {
			return nil, err
		}
		return r.view(e)
	}
	return nil, fmt.Errorf("a version of checkpoint %s as of %s: %w", r.key, t.UTC().Format(time.RFC3339), store.ErrNotFound)
}

// history yields the versions that readers may see, newest first. It begins at version from (0: the
// newest), and leaves out versions that were saved after until (zero: leaves out none). Versions
// that the store does not have come from the archive, if the archive has them.
func (r *reader) history(ctx context.Context, from int64, until time.Time) iter.Seq2[entry, error] {
	late := func(saved time.Time) bool { return !until.IsZero() && saved.After(until) }
	return func(yield func(entry, error) bool) {
		newest := r.head.Number
		if from == 0 || from >= newest {
			if !late(r.head.SavedAt) && !yield(entry{Copy: store.Copy{Version: r.head.Version}}, nil) {
				return
			}
			from = newest - 1
		}
		old := r.archivedUntil(until)
		next := from // the version that comes next, if it is kept
		if from >= r.head.Born {
			for copied, err := range r.copies(ctx, from, r.head.Born) {
				if err != nil && copied.Number == 0 {
					yield(entry{}, wrap("read the history of", r.key, err))
					return
				}
				if err == nil && !r.shown(&copied) {
					continue
				}
				if !old.yield(ctx, next, copied.Number+1, yield) {
					return
				}
				next = copied.Number - 1
				if err != nil {
					err = wrap(fmt.Sprintf("read version %d of", copied.Number), r.key, err)
				}
				if (err != nil || !late(copied.SavedAt)) && !yield(entry{Copy: copied}, err) {
					return
				}
			}
		}
		old.yield(ctx, next, r.head.Born, yield)
	}
}

// copies reads the copies from version from down to version low. For a damaged copy it yields only
// the number and the error, and continues. Any other error ends it.
func (n named) copies(ctx context.Context, from, low int64) iter.Seq2[store.Copy, error] {
	return func(yield func(store.Copy, error) bool) {
		for from >= low {
			var failed error
			for c, err := range n.Store.Versions(ctx, n.key, from, low) {
				if failed = err; err != nil {
					break
				}
				if from = c.Number - 1; !yield(c, nil) {
					return
				}
			}
			if failed == nil {
				return
			}
			version := damaged(failed)
			if version > from { // without this check, the loop might never end
				version = 0
			}
			if !yield(store.Copy{Version: store.Version{Number: version}}, failed) || version == 0 {
				return
			}
			from = version - 1
		}
	}
}

// damaged returns the version of a damaged copy, from the name of its record. For any other error
// it returns 0.
func damaged(err error) int64 {
	bad, ok := errors.AsType[*store.BadRecordError](err)
	if !ok {
		return 0
	}
	version, _ := store.CopyVersion(bad.Record)
	return version
}
