package checkpoint

import (
	"cmp"
	"context"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// VerifyOptions say how [Verify] looks. The zero value is useful.
type VerifyOptions struct {
	Namespace string
	Mirror    MirrorPolicy // which versions the mirror is to hold; as in [Options]

	// KnownBefore says that gaps are known which end before a version of that time: they are Notes. What a mirror has
	// lost never comes back, and must not be told as news for ever. Zero: none is known.
	KnownBefore time.Time

	// Progress is called as the work goes on, with how many objects were read of how many.
	Progress func(done, total int64)
}

// FindingKind says what [Verify] found.
type FindingKind string

// What [Verify] can find.
const (
	FindingDamaged      FindingKind = "damaged"       // an object that fails its hash, or is not what its key says
	FindingMissing      FindingKind = "missing"       // a version is in the store, and ought to be in the mirror and is not: sync mends it
	FindingBodyMissing  FindingKind = "body_missing"  // a version points at a body that is not there
	FindingForeign      FindingKind = "foreign"       // an object that this project does not make
	FindingGap          FindingKind = "gap"           // versions that neither the store nor the mirror holds
	FindingDiffers      FindingKind = "differs"       // the mirror's version is another than the store's
	FindingAhead        FindingKind = "ahead"         // the mirror is ahead of the store, which has lost versions: restore mends it
	FindingLatestBehind FindingKind = "latest_behind" // latest.json is older than the newest object: sync mends it
	FindingLatestAhead  FindingKind = "latest_ahead"  // latest.json is of a version that has no object
)

// Finding is one thing that is not as it should be.
type Finding struct {
	Kind   FindingKind
	Object string // the key in the archive; "" where it is about versions
	First  int64  // the versions that it is about; 0: none
	Last   int64
	Detail string
}

// Verified is what [Verify] looked at, and found.
type Verified struct {
	Namespace, Name string
	Objects         int64 // of the mirror, latest.json among them
	Bodies          int64
	Bytes           int64 // that were read
	Waiting         int64 // versions that are not mirrored yet, as is normal just after they were saved
	Findings        []Finding

	// Notes are gaps that nobody need look into: those below the first version of the mirror, which are from before the archive was
	// set, and those that are known.
	Notes []Finding
}

// Verify reads every object of a checkpoint's mirror and every body that a version points at, holds each against its
// hash and all against the store. What is wrong is a Finding, not an error. It changes nothing. A checkpoint of which neither store nor
// archive holds anything, not even the body of a save that never landed, is [store.ErrNotFound].
func Verify(ctx context.Context, st store.Store, a archive.Archive, name string, opts *VerifyOptions) (*Verified, error) {
	var o VerifyOptions
	if opts != nil {
		o = *opts
	}
	key, err := keyOf(o.Namespace, name)
	if err != nil {
		return nil, err
	}
	w := &verifying{
		st: st, archive: a, key: key, o: &o, found: &Verified{Namespace: key.Namespace, Name: key.Name},
		have: map[int64][]archive.ID{}, prints: map[archive.ID][sha256.Size]byte{}, bodies: map[string]bool{},
		saved: map[int64]time.Time{},
	}
	if err := w.verify(ctx); err != nil {
		return nil, err
	}
	for _, findings := range [][]Finding{w.found.Findings, w.found.Notes} {
		slices.SortStableFunc(findings, func(a, b Finding) int {
			return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Object, b.Object))
		})
	}
	return w.found, nil
}
