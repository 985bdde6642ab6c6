package save

import "slices"

// Request is one write of store.Store, or one of the archive.
type Request struct {
	Kind     kind
	Epoch    uint8
	LeaseID  uint8
	Observed Lease // of an acquire
	Base     uint8 // of a commit
	Commit   uint8
	Version  uint8
	Create   bool // of a raise: no HEAD was read
	Keep     bool // of a copy: KeepBase
	Deletes  bool // of a commit: it is a tombstone
	Naive    bool // of a commit: a delete that is no commit of the protocol's
}

type kind uint8

const (
	nothing kind = iota
	acquire
	raise
	commit
	putCopy
	removeCopy
	mirror
	release
)

func (k kind) String() string {
	return [...]string{"nothing", "acquire", "raise", "commit", "copy", "removal", "mirror", "release"}[k]
}

// answer is what the store says to a request.
type answer uint8

const (
	refused answer = iota
	applied
	there   // the copy is there already
	another // another commit's copy is there
)

// apply is the store: each request is applied whole if its condition holds.
func (m *model) apply(s *State, r Request) answer {
	switch r.Kind {
	case acquire:
		return m.acquire(s, r)
	case raise:
		if !s.Head.Exists && r.Create || s.Head.Exists && s.Head.Epoch < r.Epoch {
			s.Head.Exists, s.Head.Epoch, s.Head.LeaseID = true, r.Epoch, r.LeaseID
			return applied
		}
	case commit:
		if r.Naive {
			return m.deleteNaively(s, r)
		}
		return m.commit(s, r)
	case putCopy:
		return m.putCopy(s, r)
	case removeCopy:
		if s.Copies[r.Version].Commit != r.Commit {
			return refused
		}
		s.Copies[r.Version] = Copy{}
		s.Kept &^= 1 << r.Version
		return applied
	case mirror:
		m.mirror(s, r)
	case release:
		if s.Lease.Epoch == r.Epoch && s.Lease.ID == r.LeaseID && s.Lease.Status == held {
			s.Lease.Status, s.Lease.Version = free, r.Version
			return applied
		}
	}
	return refused
}

// acquire is store.Store.Acquire. (Each beat that a model makes changes LEASE's version.)
func (m *model) acquire(s *State, r Request) answer {
	if s.Lease != r.Observed {
		return refused
	}
	if r.Epoch <= s.HighestEpoch && !s.LeaseRemoved && s.Loss == never {
		s.breaks(epochRepeats)
	}
	s.HighestEpoch = max(s.HighestEpoch, r.Epoch)
	s.Lease = Lease{Epoch: r.Epoch, ID: r.LeaseID, Status: held, Version: r.Version}
	return applied
}

// commit is store.Store.Commit.
func (m *model) commit(s *State, r Request) answer {
	fenced := s.Head.Epoch == r.Epoch && (s.Head.LeaseID == r.LeaseID || m.without(leaseIDInFence))
	if !s.Head.Exists || !fenced || s.Head.Version != r.Base {
		return refused
	}
	if s.Head.Deleted && m.o.Delete == withoutLease {
		s.breaks(resurrected)
	}
	v := r.Base + 1
	s.Head.Version, s.Head.Commit, s.Head.CommitEpoch, s.Head.Deleted = v, r.Commit, r.Epoch, r.Deletes
	if r.Deletes {
		s.Deleted = v
	}
	if s.Made[v] != 0 {
		s.breaks(versionTwice)
	}
	s.Made[v] = r.Commit
	if s.Failed.has(r.Commit) {
		s.breaks(failedLanded)
	}
	return applied
}

// deleteNaively is how a delete must not be made: without a lease, or keeping the epoch alone, so
// that versions begin at 1 again.
func (m *model) deleteNaively(s *State, r Request) answer {
	fenced := m.o.Delete == withoutLease || s.Head.Epoch == r.Epoch
	if !s.Head.Exists || !fenced || s.Head.Version != r.Base {
		return refused
	}
	s.Head.Commit, s.Head.CommitEpoch, s.Head.Deleted = 0, 0, true
	if m.o.Delete == keepingOnlyTheEpoch {
		s.Head.Version = 0
		s.Made = [maxVersions + 1]uint8{}
		s.Acknowledged = 0
	}
	s.Deleted = s.Head.Version
	return applied
}

// putCopy is store.Store.Copy and store.Store.KeepBase.
func (m *model) putCopy(s *State, r Request) answer {
	c := &s.Copies[r.Version]
	replaces := c.Commit == 0 || m.without(conditionOfACopy) || c.Epoch < r.Epoch && !m.without(replacingADeadLine)
	switch {
	case replaces:
		if (s.Loss != never || s.HeadRemoved) && c.Epoch < r.Epoch {
			s.Kept &^= 1 << r.Version // it was a start of the dead line
		}
		*c = Copy{Commit: r.Commit, Epoch: r.Epoch, Kept: r.Keep}
	case c.Commit != r.Commit:
		return another
	case !r.Keep:
		return there
	default:
		c.Kept = true
	}
	if r.Keep {
		s.Kept |= 1 << r.Version
	}
	return applied
}

func (m *model) mirror(s *State, r Request) {
	object := &s.Mirror[r.Version]
	switch {
	case object.Commit == 0, object.Epoch < r.Epoch && !m.without(epochInTheMirror):
		*object = Object{Commit: r.Commit, Epoch: r.Epoch}
	case object.Commit != r.Commit && object.Epoch < r.Epoch:
		s.breaks(mirrorWrong)
	}
}

// arriveLater returns the states in which the request may still arrive. There is room for a few of
// them. Where there is none, one of them never arrives.
func (m *model) arriveLater(s State, r Request) []State {
	late := s.Late[:m.o.Late]
	if slices.Contains(late, r) {
		return []State{s}
	}
	if i := slices.Index(late, Request{}); i >= 0 {
		late[i] = r
		m.sortLate(&s)
		return []State{s}
	}
	all := []State{s}
	for i := range late {
		t := s
		t.Late[i] = r
		m.sortLate(&t)
		all = append(all, t)
	}
	return all
}

// sortLate puts the late requests in one order: states that differ in nothing else are one.
func (m *model) sortLate(s *State) {
	slices.SortFunc(s.Late[:m.o.Late], func(a, b Request) int { return slices.Compare(b.bytes(), a.bytes()) })
}

func (r *Request) bytes() []uint8 {
	flags := uint8(0)
	for i, is := range []bool{r.Create, r.Keep, r.Deletes, r.Naive} {
		if is {
			flags |= 1 << i
		}
	}
	o := r.Observed
	return []uint8{uint8(r.Kind), r.Epoch, r.LeaseID, o.Epoch, o.ID, uint8(o.Status), o.Version, r.Base, r.Commit, r.Version, flags}
}
