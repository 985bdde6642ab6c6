package checkpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// againstStore compares the mirror with the store's versions, and reads the bodies of those
// versions.
func (w *verifying) againstStore(ctx context.Context, h *store.Head) error {
	counting := map[int64][]archive.ID{}
	for _, id := range archive.Counting(w.ids) {
		counting[id.Version] = append(counting[id.Version], id)
	}
	s := &archive.Missing{
		Store: w.Store, Key: w.key, SessionsOnly: w.Mirror == MirrorSessions,
		Have: w.have, Born: h.Born, Newest: h.Version, Target: h.Number, High: max(h.Born, 1) - 1,
		Seen: func(v *store.Version) error { return w.version(ctx, v, counting[v.Number]) },
	}
	for s.More() {
		if err := s.Step(ctx); err != nil {
			return err
		}
	}
	var first, last int64 // versions of this life in the mirror
	for version := range counting {
		if version >= h.Born {
			first, last = min(cmp.Or(first, version), version), max(last, version)
		}
	}
	for i := range s.Lacking {
		v := &s.Lacking[i]
		if w.Mirror == MirrorOff || v.Number > h.ArchivedThrough && (v.Number > last || w.beingMirrored(h)) {
			w.found.Waiting++
			continue
		}
		w.about(FindingMissing, archive.VersionKey(w.key, archive.IDOf(v)), v.Number,
			"the store has the version, and HEAD says that the mirror has it or the mirror has later ones")
	}
	if w.Mirror == MirrorOff {
		return nil // the versions in the gaps have expired, and were not to be mirrored
	}
	for _, g := range s.Gaps {
		w.gap(g, first, h)
	}
	return nil
}

// gap decides whether a run of versions that neither the store nor the mirror has is a Finding or a
// Note. first is the first version of the mirror; 0: the mirror has none.
func (w *verifying) gap(g archive.Gap, first int64, h *store.Head) {
	f := Finding{Kind: FindingGap, First: g.First, Last: g.Last}
	above := w.saved[g.Last+1]
	switch {
	case g.Last < first, first == 0 && h.ArchivedThrough == 0:
		f.Detail = "they expired before there was an archive: the mirror begins above them"
	case !above.IsZero() && above.Before(w.o.KnownBefore):
		f.Detail = "neither the store nor the mirror holds them any more, which is known"
	default:
		f.Detail = "neither the store nor the mirror holds them any more"
		w.finding(f)
		return
	}
	w.found.Notes = append(w.found.Notes, f)
}

// beingMirrored reports whether a session runs or has just ended. Its mirror may be writing several
// versions at once.
func (w *verifying) beingMirrored(h *store.Head) bool {
	return w.beingWritten() || w.records.Clock.Time().Sub(h.SavedAt) < 2*mirrorPatience
}

// version compares one version of the store with the mirror's.
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
			w.about(FindingDiffers, archive.VersionKey(w.key, id), v.Number, "its content is not the store's")
		}
	}
	return w.body(ctx, v)
}

// ahead finds versions above HEAD: the store has lost them.
func (w *verifying) ahead(ctx context.Context) error {
	newest, ok := archive.Newest(w.ids)
	if !ok || !w.isAhead(newest) {
		return nil
	}
	var err error
	if w.records, err = w.look(ctx); err != nil { // a running job may have moved HEAD
		return err
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

// latest compares latest.json with the newest object.
func (w *verifying) latest(ctx context.Context) error {
	newest, any := archive.Newest(w.ids)
	name := archive.LatestKey(w.key)
	latest, err := archive.ReadLatest(ctx, w.Archive, w.key)
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
		_, err := archive.ReadVersion(ctx, w.Archive, w.key, id) // it may have been written since the listing
		if errors.Is(err, store.ErrNotFound) {
			w.about(FindingLatestAhead, name, id.Version, fmt.Sprintf("it is %v, of which there is no object", id))
		} else if err := unlessAny(err, store.ErrBadRecord); err != nil {
			return wrap("read the newest object of", w.key, err)
		}
	}
	return nil
}

// beingWritten reports whether a session runs, whose mirror may be between an object and
// latest.json.
func (w *verifying) beingWritten() bool {
	held, _ := w.records.Lease.HeldAt(w.records.Clock)
	return held
}
