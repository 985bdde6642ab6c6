package checkpoint

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// shortfall finds what a mirror lacks of what the store holds, going upward.
type shortfall struct {
	st     store.Store
	key    store.Key
	policy MirrorPolicy
	have   map[int64][]archive.ID // what the mirror holds
	born   int64                  // below it versions were deleted: those are no gaps
	newest store.Version          // HEAD's, which may have no copy yet
	target int64                  // the last version of the newest session that is to be mirrored

	epoch  int64 // of the version before the one that is looked at; 0: not known
	absent int64 // the first version of a run that neither has; 0: none

	seen func(*store.Version) error // is told of each version that the store has, if it is not nil

	high    int64 // all up to here was looked at
	lacking []store.Version
	present int64
	gaps    []Gap
}

// start is the first version that is to be looked at, low or above: below this life there is nothing but its
// tombstone, and where only each session's last version is mirrored, all of one session but that are passed over.
func (s *shortfall) start(ctx context.Context, low int64) (int64, error) {
	low = max(low, s.born-1, 1)
	if s.policy != MirrorSessions || low >= s.target {
		return min(low, s.target), nil
	}
	first, err := s.st.Version(ctx, s.key, low)
	if err != nil {
		return low, unlessAny(err, store.ErrNotFound, store.ErrBadRecord)
	}
	last := s.newest
	if s.target != last.Number {
		c, err := s.st.Version(ctx, s.key, s.target)
		if err != nil {
			return low, unlessAny(err, store.ErrNotFound, store.ErrBadRecord)
		}
		last = c.Version
	}
	if first.CommitEpoch == last.CommitEpoch {
		return s.target, nil
	}
	return low, nil
}

// look looks at the versions from low to high.
func (s *shortfall) look(ctx context.Context, low, high int64) error {
	copies, err := copiesBetween(ctx, s.st, s.key, low, min(high+1, s.newest.Number-1))
	if err != nil {
		return err
	}
	if high+1 >= s.newest.Number {
		copies[s.newest.Number] = store.Copy{Version: s.newest}
	}
	for v := low; v <= high; v++ {
		c, there := copies[v]
		next, known := copies[v+1]
		switch {
		case there:
			if s.seen != nil {
				if err := s.seen(&c.Version); err != nil {
					return err
				}
			}
			s.found(&c.Version, v == s.target || !known || next.CommitEpoch != c.CommitEpoch)
		case len(s.have[v]) > 0:
			s.ends(slices.MaxFunc(s.have[v], func(a, b archive.ID) int { return cmp.Compare(a.Epoch, b.Epoch) }).Epoch)
			s.present++
		case s.absent == 0 && v >= s.born:
			s.absent = v
		}
		s.high = v
	}
	if s.high == s.target { // it is there, but for one that is damaged
		s.ends(0)
	}
	return nil
}

// found takes a version that the store has.
func (s *shortfall) found(v *store.Version, last bool) {
	s.ends(v.CommitEpoch)
	switch {
	case slices.Contains(s.have[v.Number], archive.IDOf(v)):
		s.present++
	case s.policy == MirrorEvery || last:
		s.lacking = append(s.lacking, *v)
	}
}

// ends ends a run of versions that neither has, before one of that epoch. Where only the last version of a session is mirrored,
// a run inside one session is none.
func (s *shortfall) ends(epoch int64) {
	before := s.epoch
	s.epoch = epoch
	if s.absent == 0 {
		return
	}
	if s.policy == MirrorEvery || before == 0 || before != epoch {
		s.gaps = append(s.gaps, Gap{First: s.absent, Last: s.high})
	}
	s.absent = 0
}

// copiesBetween reads the copies from low to high. One that cannot be trusted is as good as none: verify names it.
func copiesBetween(ctx context.Context, st store.Store, key store.Key, low, high int64) (map[int64]store.Copy, error) {
	all := map[int64]store.Copy{}
	for c, err := range st.Versions(ctx, key, high, low) {
		if errors.Is(err, store.ErrBadRecord) {
			return soundCopies(ctx, st, key, low, high)
		}
		if err != nil {
			return nil, wrap("read the versions of", key, err)
		}
		all[c.Number] = c
	}
	return all, nil
}

func soundCopies(ctx context.Context, st store.Store, key store.Key, low, high int64) (map[int64]store.Copy, error) {
	all := map[int64]store.Copy{}
	for v := low; v <= high; v++ {
		c, err := st.Version(ctx, key, v)
		if err == nil {
			all[v] = c
		} else if err := unlessAny(err, store.ErrNotFound, store.ErrBadRecord); err != nil {
			return nil, wrap("read the versions of", key, err)
		}
	}
	return all, nil
}

// unlessAny returns err unless it is one of those.
func unlessAny(err error, these ...error) error {
	for _, target := range these {
		if errors.Is(err, target) {
			return nil
		}
	}
	return err
}

// mergeGaps joins gaps that touch.
func mergeGaps(gaps []Gap) []Gap {
	slices.SortFunc(gaps, func(a, b Gap) int { return cmp.Compare(a.First, b.First) })
	var merged []Gap
	for _, g := range gaps {
		if n := len(merged); n > 0 && g.First <= merged[n-1].Last+1 {
			merged[n-1].Last = max(merged[n-1].Last, g.Last)
			continue
		}
		merged = append(merged, g)
	}
	return merged
}
