package checkpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// archivedVersions reads from the mirror the versions of one checkpoint that the store does not
// hold any more. It lists the mirror when it needs the first version.
type archivedVersions struct {
	r      *reader
	until  time.Time // versions that were saved later are left out; zero: none
	ids    []archive.ID
	listed bool
}

func (r *reader) archivedUntil(until time.Time) *archivedVersions {
	return &archivedVersions{r: r, until: until}
}

// archived reads one version from the mirror.
func (r *reader) archived(ctx context.Context, version int64) (entry, error) {
	if r.fromArchive == nil {
		r.fromArchive = r.archivedUntil(time.Time{})
	}
	for e, err := range r.fromArchive.between(ctx, version, version) {
		return e, err
	}
	return entry{}, fmt.Errorf("version %d of checkpoint %s: %w", version, r.key, store.ErrNotFound)
}

// yield yields the versions from high down to low that the mirror has, and reports whether to go
// on.
func (p *archivedVersions) yield(ctx context.Context, high, low int64, yield func(entry, error) bool) bool {
	for e, err := range p.between(ctx, high, low) {
		if !yield(e, err) || err != nil && !errors.Is(err, store.ErrBadRecord) {
			return false
		}
	}
	return true
}

// between yields the versions from high down to low that the mirror has. A damaged version is an
// error, after which the next version follows. Any other error is the last.
func (p *archivedVersions) between(ctx context.Context, high, low int64) func(func(entry, error) bool) {
	return func(yield func(entry, error) bool) {
		low = max(low, p.r.head.Born)
		if p.r.Archive == nil || high < low {
			return
		}
		if err := p.list(ctx); err != nil {
			yield(entry{}, wrap("read the history in the archive of", p.r.key, err))
			return
		}
		first, _ := slices.BinarySearchFunc(p.ids, low, byVersion)
		end, _ := slices.BinarySearchFunc(p.ids, high+1, byVersion)
		ids := p.ids[first:end]
		ids, err := p.before(ctx, ids)
		if err != nil {
			yield(entry{}, err)
			return
		}
		for _, id := range slices.Backward(ids) {
			e, err := p.read(ctx, id)
			if err == nil && (e.Deleted || !p.until.IsZero() && e.SavedAt.After(p.until)) {
				continue
			}
			if !yield(e, err) || err != nil && !errors.Is(err, store.ErrBadRecord) {
				return
			}
		}
	}
}

func byVersion(id archive.ID, version int64) int { return cmp.Compare(id.Version, version) }

// before leaves out the versions at the end that were saved after until. Versions are saved one
// after the other.
func (p *archivedVersions) before(ctx context.Context, ids []archive.ID) ([]archive.ID, error) {
	if p.until.IsZero() {
		return ids, nil
	}
	n, err := savedUntil(ids, p.until, func(id archive.ID) (time.Time, error) {
		e, err := p.read(ctx, id)
		return e.SavedAt, err
	})
	if errors.Is(err, store.ErrBadRecord) { // between yields the error in place of the version
		return ids[:min(n+1, len(ids))], nil
	}
	return ids[:n], err
}

// savedUntil returns how many of the versions, which rise, were saved at that time or before. Its
// neighbours decide the place of a damaged version; if that version may be the last one, the result
// is its error.
func savedUntil(ids []archive.ID, until time.Time, saved func(archive.ID) (time.Time, error)) (n int, err error) {
	after := func(i int) (is, known bool, _ error) {
		at, err := saved(ids[i])
		if errors.Is(err, store.ErrBadRecord) {
			return false, false, nil
		}
		return at.After(until), err == nil, err
	}
	n = sort.Search(len(ids), func(i int) bool {
		if err != nil {
			return false
		}
		is, known, failed := false, false, error(nil)
		for j := i; j < len(ids) && !known && failed == nil; j++ {
			is, known, failed = after(j)
		}
		for j := i - 1; j >= 0 && !known && failed == nil; j-- {
			is, known, failed = after(j)
		}
		err = failed
		return known && is
	})
	// A damaged version between the last that was saved in time and the first that was not has no
	// certain place.
	for _, i := range []int{n - 1, n} {
		if i >= 0 && i < len(ids) && err == nil {
			_, err = saved(ids[i])
		}
	}
	return n, err
}

func (p *archivedVersions) read(ctx context.Context, id archive.ID) (entry, error) {
	m, err := archive.ReadVersion(ctx, p.r.Archive, p.r.key, id)
	if err != nil {
		return entry{}, wrap(fmt.Sprintf("read version %d in the archive of", id.Version), p.r.key, err)
	}
	return entry{Copy: store.Copy{Version: m.Version}, archived: true}, nil
}

// list lists the versions of HEAD's history: those of the mirror that count and are older than
// HEAD. HEAD alone says which version is the newest.
func (p *archivedVersions) list(ctx context.Context) error {
	if p.listed {
		return nil
	}
	head := archive.IDOf(&p.r.head.Version)
	ids, err := archive.IDs(ctx, p.r.Archive, p.r.key)
	if err != nil {
		return err
	}
	ids = slices.DeleteFunc(ids, func(id archive.ID) bool {
		return id.Version >= head.Version || id.Epoch > head.Epoch
	})
	p.ids = archive.Counting(ids)
	p.listed = true
	return nil
}
