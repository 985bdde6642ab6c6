package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// SyncOptions say what [Sync] mirrors. The zero value is useful.
type SyncOptions struct {
	Namespace   string
	InlineLimit int          // as in [Options]
	Mirror      MirrorPolicy // as in [Options]; MirrorOff is not accepted

	// DryRun writes nothing, and returns what would be.
	DryRun bool

	// Progress is called as the work goes on, with how many versions are mirrored of how many.
	Progress func(done, total int64)
}

// Synced is what [Sync] did.
type Synced struct {
	Namespace, Name string
	Mirrored        int64         // versions that were mirrored, or with DryRun would be
	Present         int64         // that were mirrored before
	Gaps            []archive.Gap // that can be mirrored no more
	Moved           bool          // latest.json was moved forward
}

// Sync mirrors what the store holds of a checkpoint and the archive does not: all of it, whatever
// the mirror is said to hold. It takes no lease, may run at any time beside anything, and again. A checkpoint of
// which neither holds anything is [store.ErrNotFound].
func Sync(ctx context.Context, st store.Store, a archive.Archive, name string, opts *SyncOptions) (*Synced, error) {
	var o SyncOptions
	if opts != nil {
		o = *opts
	}
	key, err := keyOf(o.Namespace, name)
	if err != nil {
		return nil, err
	}
	if o.InlineLimit == 0 {
		o.InlineLimit = DefaultInlineLimit
	}
	if o.Mirror != MirrorEvery && o.Mirror != MirrorSessions || o.InlineLimit < 0 {
		return nil, fmt.Errorf("sync the mirror of checkpoint %s: it is to hold every version, or each session's last", key)
	}
	w := &syncing{
		st: st, o: &o, key: key, done: &Synced{Namespace: key.Namespace, Name: key.Name},
		to: archive.Writer{Archive: a, Key: key, Inline: o.InlineLimit, Timeout: editTimeout},
	}
	if err := w.sync(ctx); err != nil {
		return w.done, err
	}
	return w.done, errors.Join(w.refused...)
}

// syncing is one Sync under way.
type syncing struct {
	st      store.Store
	o       *SyncOptions
	key     store.Key
	to      archive.Writer
	done    *Synced
	ids     []archive.ID // that the mirror holds by now
	refused []error      // of versions that no mirror can hold
}

func (w *syncing) sync(ctx context.Context) error {
	found, err := w.st.Look(ctx, w.key)
	if err != nil {
		return wrap("read", w.key, err)
	}
	have, err := w.to.Mirrored(ctx, 1)
	if err != nil {
		return err
	}
	for _, ids := range have {
		w.ids = append(w.ids, ids...)
	}
	if h := found.Head; h != nil && h.Number > 0 {
		if err := w.fill(ctx, h, have); err != nil {
			return err
		}
	} else if len(have) == 0 {
		return fmt.Errorf("checkpoint %s: %w", w.key, store.ErrNotFound)
	}
	if newest, ok := archive.Newest(w.ids); ok {
		w.done.Moved, err = w.to.RepairLatest(ctx, newest, w.o.DryRun)
	}
	return err
}

// fill mirrors what lacks.
func (w *syncing) fill(ctx context.Context, h *store.Head, have map[int64][]archive.ID) error {
	s := &archive.Missing{
		Store: w.st, Key: w.key, SessionsOnly: w.o.Mirror == MirrorSessions,
		Have: have, Born: h.Born, Newest: h.Version, Target: h.Number,
	}
	if err := s.Start(ctx, 1); err != nil {
		return err
	}
	before := s.High
	for s.More() {
		if err := s.Step(ctx); err != nil {
			return err
		}
		if err := w.put(ctx, s.Lacking); err != nil {
			return err
		}
		s.Lacking = nil
		w.done.Present, w.done.Gaps = s.Present, s.Gaps
		if w.o.Progress != nil {
			w.o.Progress(s.High-before, s.Target-before)
		}
	}
	return nil
}

func (w *syncing) put(ctx context.Context, versions []store.Version) error {
	w.done.Mirrored += int64(len(versions))
	for i := range versions {
		w.ids = append(w.ids, archive.IDOf(&versions[i]))
	}
	if w.o.DryRun {
		return nil
	}
	_, refused, err := w.to.PutVersions(ctx, versions)
	for _, r := range refused {
		w.done.Mirrored--
		w.ids = slices.DeleteFunc(w.ids, func(id archive.ID) bool { return id.Version == r.Version })
		w.refused = append(w.refused, wrap(fmt.Sprintf("mirror version %d of", r.Version), w.key, r.Err))
	}
	if err != nil {
		return wrap("mirror", w.key, err)
	}
	return nil
}
