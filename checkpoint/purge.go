package checkpoint

import (
	"context"
	"fmt"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// PurgeResult counts what a deletion removes from the archive.
type PurgeResult struct {
	Objects int64 // of the mirror, including latest.json
	Bodies  int64
	Bytes   int64 // of both
}

// count adds bodies. On a nil Purged it does nothing.
func (p *PurgeResult) count(bodies []UnusedBody) {
	if p == nil {
		return
	}
	for _, b := range bodies {
		p.Bodies++
		p.Bytes += b.Size
	}
}

// countPurge counts all that the archive holds of a checkpoint.
func (n named) countPurge(ctx context.Context) (*PurgeResult, error) {
	p := &PurgeResult{}
	for object, err := range n.Archive.List(ctx, archive.VersionPrefix(n.key), &archive.ListOptions{Delimiter: true}) {
		if err != nil {
			return nil, wrap("list the mirror of", n.key, err)
		}
		if _, _, err := archive.ParseVersionKey(object.Key); err == nil || object.Key == archive.LatestKey(n.key) {
			p.Objects++
			p.Bytes += object.Size
		}
	}
	for body, err := range archive.Bodies(ctx, n.Archive, n.key) {
		if err != nil {
			return nil, wrap("list the bodies of", n.key, err)
		}
		if !body.Foreign {
			p.Bodies++
			p.Bytes += body.Object.Size
		}
	}
	return p, nil
}

// purgeMirror removes the mirror of a deleted checkpoint up to its tombstone. The next life may
// have begun already, and stays.
func (n named) purgeMirror(ctx context.Context, tombstone *store.Head, done *PurgeResult) error {
	size, removed, err := archive.DropLatest(ctx, n.Archive, n.key, tombstone.CommitEpoch)
	if err != nil {
		return err
	}
	if removed {
		done.Objects++
		done.Bytes += size
	}
	for listed, err := range archive.Versions(ctx, n.Archive, n.key) {
		if err != nil {
			return wrap("list the mirror of", n.key, err)
		}
		if listed.Foreign || listed.ID.Epoch > tombstone.CommitEpoch {
			continue
		}
		if err := n.Archive.Delete(ctx, listed.Object.Key); err != nil {
			return wrap(fmt.Sprintf("remove the object %s of", listed.Object.Key), n.key, err)
		}
		done.Objects++
		done.Bytes += listed.Object.Size
	}
	return nil
}
