package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// SyncOptions say how [Namespace.Sync] works. The zero value is useful.
type SyncOptions struct {
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
func (n Namespace) Sync(ctx context.Context, name string, opts *SyncOptions) (*Synced, error) {
	var o SyncOptions
	if opts != nil {
		o = *opts
	}
	one, err := n.named(name)
	if err == nil {
		err = one.mustArchive("sync the mirror of")
	}
	if err != nil {
		return nil, err
	}
	if one.Mirror == MirrorOff {
		return nil, fmt.Errorf("sync the mirror of checkpoint %s: it is to hold every version, or each session's last", one.key)
	}
	w := &syncing{
		named: one, o: &o, done: &Synced{Namespace: one.key.Namespace, Name: name},
		to: archive.Writer{Archive: one.Archive, Key: one.key, Inline: one.InlineLimit, Timeout: editTimeout},
	}
	if err := w.sync(ctx); err != nil {
		return w.done, err
	}
	return w.done, errors.Join(w.refused...)
}

// syncing is one Sync under way.
type syncing struct {
	named
	o       *SyncOptions
	to      archive.Writer
	done    *Synced
	ids     []archive.ID // that the mirror holds by now
	refused []error      // of versions that no mirror can hold
}

func (w *syncing) sync(ctx context.Context) error {
	found, err := w.look(ctx)
	if err != nil {
		return err
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
		Store: w.Store, Key: w.key, SessionsOnly: w.Mirror == MirrorSessions,
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
