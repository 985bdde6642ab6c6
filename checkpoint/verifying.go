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

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// verifying is one Verify under way. The store is read first: what is mirrored by then must be in the listing that follows.
type verifying struct {
	st      store.Store
	archive archive.Archive
	key     store.Key
	o       *VerifyOptions

	records store.Records
	ids     []archive.ID
	have    map[int64][]archive.ID
	stored  int // bodies, whether anything points at them or not

	mu     sync.Mutex
	found  *Verified
	prints map[archive.ID][sha256.Size]byte // of the objects that are sound
	bodies map[string]bool                  // that were looked at
	saved  map[int64]time.Time              // when versions were, wherever they are
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
	if w.records, err = w.st.Look(ctx, w.key); err != nil {
		return wrap("read", w.key, err)
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

// list lists the mirror, and what is foreign there and among the bodies.
func (w *verifying) list(ctx context.Context) error {
	for listed, err := range archive.Versions(ctx, w.archive, w.key) {
		switch {
		case err != nil:
			return wrap("list the mirror of", w.key, err)
		case listed.Foreign:
			w.about(FindingForeign, listed.Object.Key, 0, "it lies in the mirror, and is no version's")
		default:
			w.ids = append(w.ids, listed.ID)
			w.have[listed.ID.Version] = append(w.have[listed.ID.Version], listed.ID)
		}
	}
	for body, err := range archive.Bodies(ctx, w.archive, w.key) {
		if err != nil {
			return wrap("list the bodies of", w.key, err)
		}
		if body.Foreign {
			w.about(FindingForeign, body.Object.Key, 0, "it lies among the bodies, and is none")
		}
		w.stored++
	}
	return nil
}

// objects reads every object, some at once, and the bodies that they point at.
func (w *verifying) objects(ctx context.Context) error {
	return atOnce(w.ids, func(id archive.ID) error {
		name := archive.VersionKey(w.key, id)
		m, err := archive.ReadVersion(ctx, w.archive, w.key, id)
		switch {
		case errors.Is(err, store.ErrBadRecord), errors.Is(err, store.ErrNewerFormat), errors.Is(err, store.ErrTooLarge):
			w.about(FindingDamaged, name, id.Version, err.Error())
		case errors.Is(err, store.ErrNotFound): // removed since it was listed
			w.about(FindingMissing, name, id.Version, "it was listed, and is not there")
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

// sound takes an object that is what its hash says, and looks at its body.
func (w *verifying) sound(ctx context.Context, m *archive.Mirrored) error {
	v := versionOf(m)
	sum, err := fingerprint(w.key, &v)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.prints[m.ID()], w.saved[m.Number] = sum, m.SavedAt
	if m.State != nil {
		w.found.Bytes += int64(len(m.State.Data))
	}
	w.mu.Unlock()
	return w.body(ctx, &v)
}

// fingerprint is the hash of all that is the same wherever a version is kept and wherever its state lies.
func fingerprint(key store.Key, v *store.Version) ([sha256.Size]byte, error) {
	m := mirrored(key, v)
	if m.State != nil {
		m.Body, m.State.Data = "-", nil
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
	damage, is := errors.AsType[*BodyError](err)
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
	r, err := openState(ctx, w.archive, w.key, v)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return io.Copy(io.Discard, r)
}

// againstStore holds the mirror against the store's versions, and the bodies of those.
func (w *verifying) againstStore(ctx context.Context, h *store.Head) error {
	s := &shortfall{
		st: w.st, key: w.key, policy: w.o.Mirror, have: w.have, born: h.Born, newest: h.Version, target: h.Number,
	}
	counting := map[int64][]archive.ID{}
	for _, id := range archive.Counting(w.ids) {
		counting[id.Version] = append(counting[id.Version], id)
	}
	for low := max(h.Born, 1); low <= s.target; low = s.high + 1 {
		s.seen = func(v *store.Version) error { return w.version(ctx, v, counting[v.Number]) }
		if err := s.look(ctx, low, min(low+mirrorChunk-1, s.target)); err != nil {
			return err
		}
	}
	var first, last int64 // of this life's in the mirror
	for version := range counting {
		if version >= h.Born {
			first, last = min(cmp.Or(first, version), version), max(last, version)
		}
	}
	for i := range s.lacking {
		v := &s.lacking[i]
		if w.o.Mirror == MirrorOff || v.Number > h.ArchivedThrough && (v.Number > last || w.beingMirrored(h)) {
			w.found.Waiting++
			continue
		}
		w.about(FindingMissing, archive.VersionKey(w.key, archive.IDOf(v)), v.Number, "the store has the version, and the mirror is said to, or has later ones")
	}
	if w.o.Mirror == MirrorOff {
		return nil // what expired was not to be mirrored
	}
	for _, g := range mergeGaps(s.gaps) {
		w.gap(g, first, h)
	}
	return nil
}

// gap judges a run of versions that neither has. first is the first of the mirror; 0: it has none.
func (w *verifying) gap(g Gap, first int64, h *store.Head) {
	f := Finding{Kind: FindingGap, First: g.First, Last: g.Last}
	above := w.saved[g.Last+1]
	switch {
	case g.Last < first, first == 0 && h.ArchivedThrough == 0:
		f.Detail = "they expired before the archive was set: the mirror begins above them"
	case !above.IsZero() && above.Before(w.o.KnownBefore):
		f.Detail = "neither the store nor the mirror holds them any more, as is known"
	default:
		f.Detail = "neither the store nor the mirror holds them any more"
		w.finding(f)
		return
	}
	w.found.Notes = append(w.found.Notes, f)
}

// beingMirrored reports whether a session runs, or has just ended: its mirror may be at several versions at once.
func (w *verifying) beingMirrored(h *store.Head) bool {
	return w.beingWritten() || timeOf(w.records.Clock).Sub(h.SavedAt) < 2*mirrorPatience
}

// version holds one version of the store against the mirror's.
func (w *verifying) version(ctx context.Context, v *store.Version, mirrored []archive.ID) error {
	id := archive.IDOf(v)
	w.saved[v.Number] = v.SavedAt
	for _, other := range mirrored {
		if other != id && other.Epoch <= w.records.Head.CommitEpoch {
			w.about(FindingDiffers, archive.VersionKey(w.key, other), v.Number, fmt.Sprintf("the store has %v", id))
		}
	}
	if sum, is := w.prints[id]; is {
		if own, err := fingerprint(w.key, v); err == nil && own != sum {
			w.about(FindingDiffers, archive.VersionKey(w.key, id), v.Number, "its content is another than the store's")
		}
	}
	return w.body(ctx, v)
}

// ahead looks for versions above HEAD: the store has lost them.
func (w *verifying) ahead(ctx context.Context) error {
	newest, ok := archive.Newest(w.ids)
	if !ok || !w.isAhead(newest) {
		return nil
	}
	var err error
	if w.records, err = w.st.Look(ctx, w.key); err != nil { // a job that runs has moved it on
		return wrap("read", w.key, err)
	}
	if !w.isAhead(newest) {
		return nil
	}
	at := "nothing"
	if h := w.records.Head; h != nil && h.Number > 0 {
		at = archive.IDOf(&h.Version).String()
	}
	w.about(FindingAhead, archive.VersionKey(w.key, newest), newest.Version, "the store has "+at)
	return nil
}

func (w *verifying) isAhead(newest archive.ID) bool {
	h := w.records.Head
	return h == nil || archive.Compare(newest, archive.IDOf(&h.Version)) > 0
}

// latest holds latest.json against the newest object.
func (w *verifying) latest(ctx context.Context) error {
	newest, any := archive.Newest(w.ids)
	name := archive.LatestKey(w.key)
	latest, err := archive.ReadLatest(ctx, w.archive, w.key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		if any && !w.beingWritten() {
			w.about(FindingLatestBehind, name, newest.Version, "it is not there")
		}
		return nil
	case errors.Is(err, store.ErrBadRecord), errors.Is(err, store.ErrNewerFormat):
		w.about(FindingDamaged, name, 0, err.Error())
		return nil
	case err != nil:
		return wrap("read latest.json of", w.key, err)
	}
	w.found.Objects++
	id := latest.ID()
	switch {
	case any && archive.Compare(id, newest) < 0:
		if !w.beingWritten() {
			w.about(FindingLatestBehind, name, id.Version, fmt.Sprintf("it is %v, and the newest is %v", id, newest))
		}
	case !slices.Contains(w.ids, id):
		_, err := archive.ReadVersion(ctx, w.archive, w.key, id) // it may have come since the listing
		if errors.Is(err, store.ErrNotFound) {
			w.about(FindingLatestAhead, name, id.Version, fmt.Sprintf("it is %v, of which there is no object", id))
		} else if err := unlessAny(err, store.ErrBadRecord); err != nil {
			return wrap("read the newest object of", w.key, err)
		}
	}
	return nil
}

// beingWritten reports whether a session runs, whose mirror may be between an object and latest.json.
func (w *verifying) beingWritten() bool {
	l := w.records.Lease
	return l != nil && live(l, l.Epoch, w.records.Clock)
}

// atOnce calls do for each, some at once, and returns the first error.
func atOnce[E any](all []E, do func(E) error) error {
	var (
		mu    sync.Mutex
		work  sync.WaitGroup
		first error
		seat  = make(chan struct{}, mirrorAtOnce)
	)
	for _, e := range all {
		mu.Lock()
		failed := first != nil
		mu.Unlock()
		if failed {
			break
		}
		seat <- struct{}{}
		work.Go(func() {
			defer func() { <-seat }()
			if err := do(e); err != nil {
				mu.Lock()
				defer mu.Unlock()
				if first == nil {
					first = err
				}
			}
		})
	}
	work.Wait()
	return first
}
