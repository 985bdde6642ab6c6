package checkpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// UpkeepOptions say how [Namespace.GC], [Namespace.Prune] and [Namespace.Sync] work. The zero value
// is useful.
type UpkeepOptions struct {
	// DryRun changes nothing, and returns what would be done.
	DryRun bool

	// AllHomes makes GC also remove the unused bodies of other stores: of copies of this one, and of
	// the store that this one was restored or imported from. It is a promise that no such store is
	// used any more.
	AllHomes bool

	// Progress is called during the work, with how many of how many bodies (GC) or versions were
	// handled.
	Progress func(done, total int64)
}

// GCResult is what [Namespace.GC] removed, or would remove without DryRun.
type GCResult struct {
	Bodies   []UnusedBody // the bodies that no version points at
	Kept     int64        // how many bodies stay
	Others   int64        // how many of Kept other stores have made, which are not judged without AllHomes
	Deleting bool         // an interrupted deletion was finished
	Versions int64        // versions of former lives that were removed; 0 with DryRun
}

// UnusedBody is one body in the archive.
type UnusedBody struct {
	archive.BodyID
	Object string // its key
	Size   int64  // bytes as stored
}

// GC removes the bodies of a checkpoint that no version points at and no version ever will, and
// finishes a deletion that was interrupted. It leaves bodies that another store has made, unless
// AllHomes is set. Where [Open] would be refused since the store went back, the error is that one,
// and no body is removed. It takes no lease, and may run at any time next to anything: a body stays if
// a version begins to point at it while GC runs. Without an Archive there are no bodies.
func (n Namespace) GC(ctx context.Context, name string, opts *UpkeepOptions) (*GCResult, error) {
	var o UpkeepOptions
	if opts != nil {
		o = *opts
	}
	one, err := n.named(name)
	if err != nil {
		return nil, err
	}
	found, err := one.look(ctx)
	if err != nil {
		return nil, err
	}
	done := &GCResult{}
	done.Deleting = found.Head != nil && found.Head.Deleted && found.Head.Listed
	var left error
	if !o.DryRun {
		var removed int
		removed, left, err = one.removeFormer(ctx, found)
		done.Versions = int64(removed)
		if err != nil {
			return done, err
		}
	}
	if one.Archive != nil {
		if left, err = leaving(left, one.collect(ctx, &o, done)); err != nil {
			return done, errors.Join(err, left)
		}
	}
	if o.DryRun {
		return done, left
	}
	return done, errors.Join(one.unlist(ctx, found, formerExpectation(found)), left)
}

// collect removes the bodies that no version points at.
func (n named) collect(ctx context.Context, o *UpkeepOptions, done *GCResult) error {
	var listed []archive.ListedBody
	home := archive.Home(n.Store)
	for body, err := range archive.Bodies(ctx, n.Archive, n.key) {
		switch {
		case err != nil:
			return wrap("list the bodies of", n.key, err)
		case body.Foreign:
		case body.ID.Home != home && !o.AllHomes:
			done.Others++
		default:
			listed = append(listed, body)
		}
	}
	total := int64(len(listed)) + done.Others
	// The mirror points at most bodies, forever. Those bodies need no other check.
	listed, err := n.withoutMirror(ctx, listed)
	if err != nil {
		return err
	}
	done.Kept = total - int64(len(listed))
	if len(listed) > 0 {
		if err := n.behind(ctx); err != nil {
			done.Kept = total
			return err
		}
	}
	slices.SortFunc(listed, byBodyVersion)
	for chunk := range slices.Chunk(listed, gcChunk) {
		unused, err := n.unreferenced(ctx, chunk)
		if err != nil {
			return err
		}
		if !o.DryRun {
			if err := n.discard(ctx, unused); err != nil {
				return err
			}
		}
		for _, body := range unused {
			done.Bodies = append(done.Bodies, UnusedBody{
				BodyID: body.ID, Object: body.Object.Key, Size: body.Object.Size,
			})
		}
		done.Kept += int64(len(chunk) - len(unused))
		if o.Progress != nil {
			o.Progress(done.Kept+int64(len(done.Bodies)), total)
		}
	}
	return nil
}

// behind returns a [*BehindError] where an open would be refused. What a store that went back does
// not point at may be all that is left of the versions that it has lost.
func (n named) behind(ctx context.Context) error {
	asked := n.ask(ctx)
	defer asked.close()
	<-asked.answered // HEAD is read after it
	found, err := n.look(ctx)
	if err != nil {
		return err
	}
	return asked.accept(ctx, found)
}

// gcChunk is how many bodies are checked before the unused ones among them are removed.
const gcChunk = 256

// unreferenced returns the listed bodies that no version points at and no version ever will. It
// reads HEAD, the copies and the mirror after the listing, and in this order: a pointer to a body
// moves in the same order, so unreferenced sees the pointer wherever it is. A body above HEAD may
// belong to a slow save.
func (n named) unreferenced(ctx context.Context, listed []archive.ListedBody) ([]archive.ListedBody, error) {
	found, err := n.look(ctx)
	if err != nil {
		return nil, err
	}
	if found.Head == nil {
		return nil, nil // everything is above it
	}
	head := &found.Head.Version
	unused := slices.DeleteFunc(slices.Clone(listed), func(b archive.ListedBody) bool {
		return b.ID.Version > head.Number || b.ID.Version == head.Number && b.ID.CommitID == head.CommitID
	})
	if unused, err = n.withoutCopy(ctx, unused); err != nil {
		return nil, err
	}
	return n.withoutMirror(ctx, unused)
}

func (n named) withoutCopy(ctx context.Context, bodies []archive.ListedBody) (unused []archive.ListedBody, err error) {
	for _, body := range bodies {
		c, err := n.Store.Version(ctx, n.key, body.ID.Version)
		if unlessAny(err, store.ErrNotFound) != nil {
			return nil, wrap(fmt.Sprintf("read version %d of", body.ID.Version), n.key, err)
		}
		if err != nil || c.CommitID != body.ID.CommitID {
			unused = append(unused, body)
		}
	}
	return unused, nil
}

func (n named) withoutMirror(ctx context.Context, bodies []archive.ListedBody) ([]archive.ListedBody, error) {
	mirrored, err := n.mirroredOf(ctx, bodies)
	return slices.DeleteFunc(bodies, func(b archive.ListedBody) bool { _, is := mirrored[commitOf(b.ID)]; return is }), err
}

// commit names a version, wherever its body is.
type commit struct {
	version int64
	id      string
}

func commitOf(body archive.BodyID) commit { return commit{body.Version, body.CommitID} }

// mirroredOf returns the versions in the mirror from the lowest to the highest that these bodies
// belong to.
func (n named) mirroredOf(ctx context.Context, bodies []archive.ListedBody) (map[commit]archive.ID, error) {
	if len(bodies) == 0 {
		return nil, nil
	}
	low := slices.MinFunc(bodies, byBodyVersion).ID.Version
	high := slices.MaxFunc(bodies, byBodyVersion).ID.Version
	mirrored := map[commit]archive.ID{}
	for listed, err := range archive.VersionsFrom(ctx, n.Archive, n.key, low) {
		switch {
		case err != nil:
			return nil, wrap("list the mirror of", n.key, err)
		case listed.Foreign:
			continue
		}
		if listed.ID.Version > high {
			break
		}
		mirrored[commit{listed.ID.Version, listed.ID.CommitID}] = listed.ID
	}
	return mirrored, nil
}

// discard removes bodies. It also removes an object of the mirror that has begun to point at one of
// them since the mirror was listed: a version that was mirrored after its copy had expired. A
// mirror checks for the body once its object is there, and discard checks for the object once the
// body is gone. So one of them sees the other.
func (n named) discard(ctx context.Context, bodies []archive.ListedBody) error {
	for _, body := range bodies {
		if err := n.Archive.Delete(ctx, body.Object.Key); err != nil {
			return wrap(fmt.Sprintf("remove the body %s of", body.Object.Key), n.key, err)
		}
	}
	mirrored, err := n.mirroredOf(ctx, bodies)
	if err != nil {
		return err
	}
	for _, body := range bodies {
		id, is := mirrored[commitOf(body.ID)]
		if !is {
			continue
		}
		m, err := archive.ReadVersion(ctx, n.Archive, n.key, id)
		if err == nil && m.State != nil && m.State.Body == body.Object.Key {
			err = n.Archive.Delete(ctx, archive.VersionKey(n.key, id))
		}
		if unlessAny(err, store.ErrNotFound, store.ErrBadRecord) != nil {
			return wrap(fmt.Sprintf("remove version %d from the mirror of", id.Version), n.key, err)
		}
	}
	return nil
}

func byBodyVersion(a, b archive.ListedBody) int { return cmp.Compare(a.ID.Version, b.ID.Version) }

// mostSwept is how many bodies a closing session checks at most.
const mostSwept = 10_000

// sweep removes the bodies that this session's failed saves have left. What others have left is
// gc's: a body that this store does not point at may be another store's, or that of a session which
// goes on elsewhere. It takes one listing, and more requests only if there is something to remove.
func (c *committer) sweep(ctx context.Context) {
	if err := c.sweepSince(ctx, c.from); err != nil {
		c.log.Warn("the session did not check for bodies that failed saves have left; gc removes them",
			"checkpoint", c.key.String(), "error", err)
	}
}

func (c *committer) sweepSince(ctx context.Context, from int64) error {
	var listed []archive.ListedBody
	own := func(id archive.BodyID) bool {
		return id.Home == c.archive.Home && strings.HasPrefix(id.CommitID, c.lease.Fence().LeaseID+"-")
	}
	looked := 0
	for body, err := range archive.Bodies(ctx, c.archive.Archive, c.key) {
		if err != nil {
			return err
		}
		if looked++; looked > mostSwept {
			break
		}
		current := body.ID.Version == c.base.Number && body.ID.CommitID == c.base.CommitID
		if body.Foreign || !own(body.ID) || body.ID.Version <= from || current || c.landed[body.ID.CommitID] {
			continue
		}
		listed = append(listed, body)
	}
	if len(listed) == 0 {
		return nil
	}
	n := named{Namespace{Store: c.st, Archive: c.archive.Archive}, c.key}
	unused, err := n.unreferenced(ctx, listed)
	if err != nil {
		return err
	}
	return n.discard(ctx, unused)
}
