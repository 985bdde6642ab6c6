package checkpoint

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/milepost-dev/milepost/internal/parallel"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// VerifyOptions say how [Namespace.Verify] works. The zero value is useful.
type VerifyOptions struct {
	// KnownBefore says which gaps are known: those that end before a version of that time. They are
	// Notes and not Findings, because what a mirror has lost never comes back. Zero: no gap is
	// known.
	KnownBefore time.Time

	// Progress is called during the work, with how many of how many objects were read.
	Progress func(done, total int64)
}

// FindingKind says what [Namespace.Verify] found.
type FindingKind string

// What [Namespace.Verify] can find.
const (
	FindingDamaged      FindingKind = "damaged"       // an object that fails its hash, or is not what its key says
	FindingMissing      FindingKind = "missing"       // in the store, and missing in the mirror: sync repairs it
	FindingBodyMissing  FindingKind = "body_missing"  // a version points at a body that is not there
	FindingForeign      FindingKind = "foreign"       // an object that Milepost does not make
	FindingGap          FindingKind = "gap"           // versions that neither the store nor the mirror holds
	FindingDiffers      FindingKind = "differs"       // the mirror's version is not the store's
	FindingAhead        FindingKind = "ahead"         // the store has lost versions that the mirror has: restore repairs it
	FindingLatestBehind FindingKind = "latest_behind" // latest.json is older than the newest object: sync repairs it
	FindingLatestAhead  FindingKind = "latest_ahead"  // latest.json is of a version that has no object
)

// Finding is one thing that is wrong.
type Finding struct {
	Kind   FindingKind
	Object string // the key in the archive; "" if it is about versions
	First  int64  // the versions from First to Last; 0: none
	Last   int64
	Detail string
}

// VerifyResult is what [Namespace.Verify] read and found.
type VerifyResult struct {
	Objects  int64 // of the mirror, including latest.json
	Bodies   int64
	Bytes    int64 // how many were read
	Waiting  int64 // versions that are not mirrored yet, which is normal just after a save
	Findings []Finding

	// Notes are gaps that need no attention: those below the first version of the mirror, which are
	// from before there was an archive, and those that are known.
	Notes []Finding
}

// Verify reads every object of a checkpoint's mirror and every body that a version points at. It
// compares each with its hash, and all with the store. What is wrong is a Finding, not an error.
// Verify changes nothing. If neither store nor archive holds anything of the checkpoint, not even
// the body of a save that never landed, the error is [store.ErrNotFound].
func (n Namespace) Verify(ctx context.Context, name string, opts *VerifyOptions) (*VerifyResult, error) {
	var o VerifyOptions
	if opts != nil {
		o = *opts
	}
	one, err := n.named(name)
	if err == nil {
		err = one.mustArchive("verify the archive of")
	}
	if err != nil {
		return nil, err
	}
	w := &verifying{
		named: one, o: &o, found: &VerifyResult{},
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

// verifying is one Verify under way. It reads the store first: what is mirrored by then must be in
// the listing that follows.
type verifying struct {
	named
	o *VerifyOptions

	records store.Records
	ids     []archive.ID
	have    map[int64][]archive.ID
	stored  int // how many bodies there are, including those that no version points at

	mu     sync.Mutex
	found  *VerifyResult
	prints map[archive.ID][sha256.Size]byte // the fingerprints of the objects that match their hash
	bodies map[string]bool                  // the bodies that were read
	saved  map[int64]time.Time              // when each version was saved, wherever it is
	read   int64
}

func (w *verifying) finding(f Finding) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.found.Findings = append(w.found.Findings, f)
}

func (w *verifying) about(kind FindingKind, object string, version int64, detail string) {
	w.finding(Finding{Kind: kind, Object: object, First: version, Last: version, Detail: detail})
}

func (w *verifying) verify(ctx context.Context) error {
	var err error
	if w.records, err = w.look(ctx); err != nil {
		return err
	}
	if err := w.list(ctx); err != nil {
		return err
	}
	h := w.records.Head
	if (h == nil || h.Number == 0) && len(w.ids) == 0 && w.stored == 0 && len(w.found.Findings) == 0 {
		return fmt.Errorf("checkpoint %s: %w", w.key, store.ErrNotFound)
	}
	if err := w.objects(ctx); err != nil {
		return err
	}
	if h != nil && h.Number > 0 {
		if err := w.againstStore(ctx, h); err != nil {
			return err
		}
	}
	if err := w.ahead(ctx); err != nil {
		return err
	}
	return w.latest(ctx)
}

// list lists the mirror and the bodies, and finds foreign objects in both.
func (w *verifying) list(ctx context.Context) error {
	for listed, err := range archive.Versions(ctx, w.Archive, w.key) {
		switch {
		case err != nil:
			return wrap("list the mirror of", w.key, err)
		case listed.Foreign:
			w.about(FindingForeign, listed.Object.Key, 0, "it is in the mirror, and is not a version")
		default:
			w.ids = append(w.ids, listed.ID)
			w.have[listed.ID.Version] = append(w.have[listed.ID.Version], listed.ID)
		}
	}
	for body, err := range archive.Bodies(ctx, w.Archive, w.key) {
		if err != nil {
			return wrap("list the bodies of", w.key, err)
		}
		if body.Foreign {
			w.about(FindingForeign, body.Object.Key, 0, "it is among the bodies, and is not a body")
		}
		w.stored++
	}
	return nil
}

// verifyAtOnce is how many objects are read at once.
const verifyAtOnce = 8

// objects reads every object, some at once, and the bodies that the objects point at.
func (w *verifying) objects(ctx context.Context) error {
	return parallel.Each(ctx, len(w.ids), verifyAtOnce, func(ctx context.Context, i int) error {
		id := w.ids[i]
		name := archive.VersionKey(w.key, id)
		m, err := archive.ReadVersion(ctx, w.Archive, w.key, id)
		switch {
		case errors.Is(err, store.ErrBadRecord), errors.Is(err, store.ErrNewerFormat), errors.Is(err, store.ErrTooLarge):
			w.about(FindingDamaged, name, id.Version, err.Error())
		case errors.Is(err, store.ErrNotFound): // removed after the listing
			w.about(FindingMissing, name, id.Version, "it was listed, and is not there any more")
		case err != nil:
			return wrap("read "+name+" of", w.key, err)
		default:
			if err := w.sound(ctx, m); err != nil {
				return err
			}
		}
		w.progress()
		return nil
	})
}

func (w *verifying) progress() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.read++
	w.found.Objects++
	if w.o.Progress != nil {
		w.o.Progress(w.read, int64(len(w.ids)))
	}
}

// sound records an object that matches its hash, and reads its body.
func (w *verifying) sound(ctx context.Context, m *archive.Mirrored) error {
	sum, err := fingerprint(w.key, &m.Version)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.prints[m.ID()], w.saved[m.Number] = sum, m.SavedAt
	if m.State != nil {
		w.found.Bytes += int64(len(m.State.Data))
	}
	w.mu.Unlock()
	return w.body(ctx, &m.Version)
}

// fingerprint returns a hash of a version. The hash does not depend on where the version is kept,
// or where its state lies.
func fingerprint(key store.Key, v *store.Version) ([sha256.Size]byte, error) {
	m := archive.NewMirrored(key, v)
	if m.State != nil {
		m.State.Body, m.State.Data = "-", nil
	}
	data, err := archive.Encode(m)
	return sha256.Sum256(data), err
}

// body reads the body of a version, if it has one, once.
func (w *verifying) body(ctx context.Context, v *store.Version) error {
	if v.State == nil || v.State.Body == "" {
		return nil
	}
	body := v.State.Body
	w.mu.Lock()
	before := w.bodies[body]
	w.bodies[body] = true
	w.mu.Unlock()
	if before {
		return nil
	}
	n, err := w.readBody(ctx, v)
	w.mu.Lock()
	w.found.Bodies++
	w.found.Bytes += n
	w.mu.Unlock()
	damage, is := errors.AsType[*archive.BodyError](err)
	switch {
	case is && damage.Damaged:
		w.about(FindingDamaged, body, v.Number, damage.Err.Error())
	case is:
		w.about(FindingBodyMissing, body, v.Number, "the version points at it")
	case err != nil:
		return wrap("read the body "+body+" of", w.key, err)
	}
	return nil
}

func (w *verifying) readBody(ctx context.Context, v *store.Version) (int64, error) {
	r, err := openState(ctx, w.Archive, w.key, v)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return io.Copy(io.Discard, r)
}
