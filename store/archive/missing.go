package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/milepost-dev/milepost/store"
)

// Missing finds what the store holds of a checkpoint and its mirror does not, going upward. The
// caller sets the first fields, calls [Missing.Start], and then [Missing.Step] while
// [Missing.More]; between two steps it may take Lacking away.
type Missing struct {
	Store        store.Store
	Key          store.Key
	SessionsOnly bool           // only the last version of each session is to be mirrored
	Have         map[int64][]ID // what the mirror holds
	Born         int64          // versions below it were deleted: they are no gaps
	Newest       store.Version  // HEAD's, which may have no copy yet
	Target       int64          // the last version of the newest session that is to be mirrored
	Epoch        int64          // of version High; 0: not known

	Seen func(*store.Version) error // called for each version that the store holds; may be nil

	High    int64           // all versions up to High were examined
	Lacking []store.Version // those that are to be mirrored
	Present int64           // how many the mirror holds
	Gaps    []Gap           // what neither holds

	absent int64 // the first version of a run that neither holds; 0: there is no such run
}

// Gap is a run of versions that expired before they were mirrored: the history has lost them.
type Gap struct {
	First, Last int64
}

// missingChunk is how many versions a step examines.
const missingChunk = 32

// Start chooses the first version to examine, low or above. Below this life there is nothing but
// its tombstone; and where only the last version of each session is mirrored, the versions before
// it need not be examined if all of them are of one session.
func (s *Missing) Start(ctx context.Context, low int64) error {
	low = max(low, s.Born-1, 1)
	same, err := s.oneSession(ctx, low)
	if err != nil {
		return fmt.Errorf("read the versions of %s: %w", s.Key, err)
	}
	if same {
		low = s.Target
	}
	s.High = min(low, s.Target) - 1
	return nil
}

// oneSession reports whether versions low to Target are known to be of one session.
func (s *Missing) oneSession(ctx context.Context, low int64) (bool, error) {
	if !s.SessionsOnly || low >= s.Target {
		return false, nil
	}
	first, err := s.copy(ctx, low)
	if first == nil {
		return false, err
	}
	last := &s.Newest
	if s.Target != s.Newest.Number {
		if last, err = s.copy(ctx, s.Target); last == nil {
			return false, err
		}
	}
	return first.CommitEpoch == last.CommitEpoch, nil
}

// More reports whether there are versions left to examine.
func (s *Missing) More() bool { return s.High < s.Target }

// InGap reports whether version High is in a run that neither store nor mirror holds, and that may
// go on.
func (s *Missing) InGap() bool { return s.absent > 0 }

// Step examines the next versions. It ends with ctx, whatever the store does.
func (s *Missing) Step(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	low, high := s.High+1, min(s.High+missingChunk, s.Target)
	copies, err := s.copies(ctx, low, min(high+1, s.Newest.Number-1))
	if err != nil {
		return fmt.Errorf("read the versions of %s: %w", s.Key, err)
	}
	if high+1 >= s.Newest.Number {
		copies[s.Newest.Number] = &s.Newest
	}
	for v := low; v <= high; v++ {
		held, there := copies[v]
		next, known := copies[v+1]
		switch {
		case there:
			if s.Seen != nil {
				if err := s.Seen(held); err != nil {
					return err
				}
			}
			s.found(held, v == s.Target || !known || next.CommitEpoch != held.CommitEpoch)
		case len(s.Have[v]) > 0:
			s.reached(slices.MaxFunc(s.Have[v], func(a, b ID) int { return cmp.Compare(a.Epoch, b.Epoch) }).Epoch)
			s.Present++
		case s.absent == 0 && v >= s.Born:
			s.absent = v
		}
		s.High = v
	}
	if !s.More() { // a damaged HEAD may end in a run
		s.reached(0)
	}
	return nil
}

// found takes a version that the store holds.
func (s *Missing) found(v *store.Version, last bool) {
	s.reached(v.CommitEpoch)
	switch {
	case slices.Contains(s.Have[v.Number], IDOf(v)):
		s.Present++
	case !s.SessionsOnly || last:
		s.Lacking = append(s.Lacking, *v)
	}
}

// reached ends a run that neither holds, before a version of that epoch. Where only the last
// version of each session is mirrored, a run within one session is no gap.
func (s *Missing) reached(epoch int64) {
	before := s.Epoch
	s.Epoch = epoch
	if s.absent == 0 {
		return
	}
	if !s.SessionsOnly || before == 0 || before != epoch {
		s.Gaps = append(s.Gaps, Gap{First: s.absent, Last: s.High})
	}
	s.absent = 0
}

// copies reads the copies from low to high. A damaged copy is left out: verify names it.
func (s *Missing) copies(ctx context.Context, low, high int64) (map[int64]*store.Version, error) {
	all := map[int64]*store.Version{}
	for c, err := range s.Store.Versions(ctx, s.Key, high, low) {
		if errors.Is(err, store.ErrBadRecord) {
			return s.soundCopies(ctx, low, high)
		}
		if err != nil {
			return nil, err
		}
		all[c.Number] = &c.Version
	}
	return all, nil
}

func (s *Missing) soundCopies(ctx context.Context, low, high int64) (map[int64]*store.Version, error) {
	all := map[int64]*store.Version{}
	for v := low; v <= high; v++ {
		c, err := s.copy(ctx, v)
		if err != nil {
			return nil, err
		}
		if c != nil {
			all[v] = c
		}
	}
	return all, nil
}

// copy reads one copy; nil: it is not there, or damaged.
func (s *Missing) copy(ctx context.Context, version int64) (*store.Version, error) {
	c, err := s.Store.Version(ctx, s.Key, version)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrBadRecord):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &c.Version, nil
}
