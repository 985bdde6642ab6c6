package survey

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/milepost-dev/milepost/internal/parallel"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// Mirroring says how far the archive is behind.
type Mirroring struct {
	Lag time.Duration // time since the save of the oldest version not known to be mirrored; 0: the archive keeps up
	Gap bool          // that version has expired: the archive will never have it
}

// MaxMirrors is the number of checkpoints for which one survey asks the archive and reads the
// version to be mirrored next.
const MaxMirrors = 1000

// askArchive limits one request to the archive. After a request without an answer, a survey makes
// no more.
const askArchive = 5 * time.Second

// Mirrored returns how far the archive is behind with each of the items, in their order. The newest
// version is not counted: it becomes known to be mirrored with the next save. For the checkpoints
// that are behind according to HEAD, at most [MaxMirrors], it lists the archive's versions, since a
// closed session or a sync may have mirrored the rest. Where one is missing it reads one version. A
// nil archive is not asked. An archive that does not answer is not an error: then only HEAD's
// knowledge is used.
func Mirrored(ctx context.Context, st store.Store, a archive.Archive, items []Item, sessionsOnly bool) ([]Mirroring, error) {
	all := make([]Mirroring, len(items))
	var behind []int
	for n := range items {
		i := &items[n]
		if i.Saved() && i.Head.ArchivedThrough < i.Head.Number-1 && (!sessionsOnly || !i.Held) && len(behind) < MaxMirrors {
			behind = append(behind, n)
		}
	}
	var silent atomic.Bool
	silent.Store(a == nil)
	return all, parallel.Each(ctx, len(behind), atOnce, func(ctx context.Context, b int) error {
		n := behind[b]
		next := max(items[n].Head.ArchivedThrough+1, items[n].Head.Born)
		if !silent.Load() && next < items[n].Head.Number {
			there, err := mirroredFrom(ctx, a, &items[n], next, sessionsOnly)
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case err != nil:
				silent.Store(true)
			default:
				next = there
			}
		}
		var err error
		all[n], err = mirroring(ctx, st, &items[n], next)
		return err
	})
}

// mirroring returns how far the archive is behind if next is the first version that it does not
// have.
func mirroring(ctx context.Context, st store.Store, i *Item, next int64) (Mirroring, error) {
	if next >= i.Head.Number {
		return Mirroring{}, nil
	}
	c, err := st.Version(ctx, i.Key, next)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && c.Expired(i.Now):
		if next <= i.Head.Born && i.Head.ArchivedThrough == 0 { // nothing was ever mirrored, so the mirror has lost nothing
			return Mirroring{Lag: max(i.Now.Sub(i.Head.SavedAt), 0)}, nil
		}
		return Mirroring{Gap: true}, nil
	case errors.Is(err, store.ErrBadRecord), errors.Is(err, store.ErrNewerFormat): // the lag is not known
		return Mirroring{}, nil
	case err != nil:
		return Mirroring{}, err
	}
	return Mirroring{Lag: max(i.Now.Sub(c.SavedAt), 0)}, nil
}

// mirroredFrom returns the first version from next on that the archive does not have.
func mirroredFrom(ctx context.Context, a archive.Archive, i *Item, next int64, sessionsOnly bool) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, askArchive)
	defer cancel()
	first := i.Head.ArchivedThrough == 0 // versions below the first mirrored one are older than the archive
	for listed, err := range archive.VersionsFrom(ctx, a, i.Key, next) {
		switch {
		case err != nil:
			return next, err
		case listed.Foreign || listed.ID.Epoch > i.Head.CommitEpoch:
			continue
		case listed.ID.Version > i.Head.Number:
			return next, nil
		case listed.ID.Version > next && !first && !sessionsOnly:
			return next, nil
		}
		next, first = max(next, listed.ID.Version+1), false
	}
	return next, nil
}
