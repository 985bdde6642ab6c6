package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// SyncResult is what [Namespace.Sync] did.
type SyncResult struct {
	Mirrored int64         // versions that were mirrored, or would be without DryRun
	Present  int64         // versions that had been mirrored before
	Gaps     []archive.Gap // what can never be mirrored
	Moved    bool          // latest.json was moved forward
}

// Sync mirrors every version that the store holds and the archive does not, whatever HEAD says
// about the mirror. It takes no lease. It may run at any time, next to anything, and any number of
// times. If neither store nor archive holds anything of the checkpoint, the error is
// [store.ErrNotFound].
func (n Namespace) Sync(ctx context.Context, name string, opts *UpkeepOptions) (*SyncResult, error) {
	var o UpkeepOptions
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
		return nil, fmt.Errorf("sync the mirror of checkpoint %s: "+
			"Mirror must be every version, or the last of each session", one.key)
	}
	w := &syncing{
		named: one, o: &o, done: &SyncResult{},
		to: archive.Writer{Archive: one.Archive, Key: one.key, Home: archive.Home(one.Store), Inline: one.InlineLimit, Timeout: editTimeout, Patience: editPatience},
	}
	if err := w.sync(ctx); err != nil {
		return w.done, err
	}
	return w.done, errors.Join(w.refused...)
}

// syncing is one Sync under way.
type syncing struct {
	named
	o       *UpkeepOptions
	to      archive.Writer
	done    *SyncResult
	ids     []archive.ID // the versions that the mirror holds by now
	refused []error      // why some versions can never be mirrored
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

// fill mirrors the versions that the mirror does not hold.
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
