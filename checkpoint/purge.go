package checkpoint

import (
	"context"
	"errors"
	"fmt"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// Purged counts what a deletion removes from the archive.
type Purged struct {
	Objects int64 // of the mirror, latest.json among them
	Bodies  int64
	Bytes   int64 // of both
}

// count adds bodies; on nil, it does nothing.
func (p *Purged) count(bodies []Body) {
	if p == nil {
		return
	}
	for _, b := range bodies {
		p.Bodies++
		p.Bytes += b.Size
	}
}

// countPurge counts all that the archive has of a checkpoint.
func countPurge(ctx context.Context, a archive.Archive, key store.Key) (*Purged, error) {
	p := &Purged{}
	for object, err := range a.List(ctx, archive.VersionPrefix(key), &archive.ListOptions{Delimiter: true}) {
		if err != nil {
			return nil, wrap("list the mirror of", key, err)
		}
		if _, _, err := archive.ParseVersionKey(object.Key); err == nil || object.Key == archive.LatestKey(key) {
			p.Objects++
			p.Bytes += object.Size
		}
	}
	for body, err := range archive.Bodies(ctx, a, key) {
		if err != nil {
			return nil, wrap("list the bodies of", key, err)
		}
		if !body.Foreign {
			p.Bodies++
			p.Bytes += body.Object.Size
		}
	}
	return p, nil
}

// purgeMirror removes the mirror of a deleted checkpoint, up to its tombstone: the next life may have begun.
func purgeMirror(ctx context.Context, a archive.Archive, key store.Key, tombstone *store.Head, done *Purged) error {
	remove := func(object string, size int64) error {
		if err := a.Delete(ctx, object); err != nil {
			return wrap(fmt.Sprintf("remove the object %s of", object), key, err)
		}
		done.Objects++
		done.Bytes += size
		return nil
	}
	latest, err := archive.ReadLatest(ctx, a, key)
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err == nil && latest.CommitEpoch > tombstone.CommitEpoch:
	case err != nil && !errors.Is(err, store.ErrBadRecord):
		return wrap("read latest.json of", key, err)
	default:
		size, err := sizeOf(ctx, a, archive.LatestKey(key))
		if err != nil {
			return wrap("read latest.json of", key, err)
		}
		if err := remove(archive.LatestKey(key), size); err != nil {
			return err
		}
	}
	for listed, err := range archive.Versions(ctx, a, key) {
		if err != nil {
			return wrap("list the mirror of", key, err)
		}
		if listed.Foreign || listed.ID.Epoch > tombstone.CommitEpoch {
			continue
		}
		if err := remove(listed.Object.Key, listed.Object.Size); err != nil {
			return err
		}
	}
	return nil
}

// sizeOf is the size of an object; 0 if there is none any more.
func sizeOf(ctx context.Context, a archive.Archive, name string) (int64, error) {
	r, object, err := a.Open(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return object.Size, r.Close()
}
