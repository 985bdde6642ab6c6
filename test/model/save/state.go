package save

// The sizes of the arrays. Options say how much of them a search uses.
const (
	maxRuns     = 3
	maxVersions = 5
	maxLate     = 3
)

// State is the store, the requests that may still arrive, and the runs. After that comes the truth:
// what happened, which no run can see. It has no pointers, so that two equal states are one.
type State struct {
	Lease  Lease
	Head   Head
	Copies [maxVersions + 1]Copy
	Mirror [maxVersions + 1]Object
	Late   [maxLate]Request
	Runs   [maxRuns]Run

	Made         [maxVersions + 1]uint8 // the commit that made each version
	HighestEpoch uint8                  // that was ever acquired
	Acknowledged commits                // what a run was told has landed
	Failed       commits                // what a run was told has not landed and never will
	Kept         uint8                  // the versions that a run has kept as its base, by bits
	Deleted      uint8                  // versions up to this one were deleted
	DeleteUsed   bool
	LeaseRemoved bool
	HeadRemoved  bool
	Loss         Loss
	Broken       Fault
}

// Loss says whether the table was lost.
type Loss uint8

const (
	never Loss = iota
	lost
	restored
)

// Lease is LEASE.
type Lease struct {
	Epoch, ID uint8
	Status    Status
	Version   uint8 // the last version that the holder knew
}

// Status of LEASE.
type Status uint8

const (
	absent Status = iota
	free
	held
)

// Head is HEAD. The fence is Epoch and LeaseID.
type Head struct {
	Exists         bool
	Epoch, LeaseID uint8
	Version        uint8
	Commit         uint8 // that made Version
	CommitEpoch    uint8
	Deleted        bool
}

// Copy is V#n.
type Copy struct {
	Commit, Epoch uint8 // 0: there is no copy
	Kept          bool  // as a run's base: it does not expire
}

// Object is the object of a version in the mirror.
type Object struct{ Commit, Epoch uint8 }

// Run is one process, which has one session after another.
type Run struct {
	At      place
	Session uint8
	Deletes bool // the session deletes the checkpoint

	Epoch, LeaseID uint8
	SeenHead       Head  // as the look read it
	SeenLease      Lease // as the look read it
	Known          uint8 // the version that LEASE had in an earlier look

	Base      uint8 // the version that the next commit is on
	Commit    uint8 // the commit that is being sent
	Earlier   uint8 // an unknown commit on the same base, which Commit supersedes; 0: none
	Ambiguous bool  // an attempt of Commit had no answer
	Commits   uint8 // how many commits the session has begun
	Sending   Request
}

// place is where a run is in its code.
type place uint8

const (
	idle         place = iota
	readHead           // the look has read HEAD, and LEASE not yet
	readLease          // the look has read LEASE, and HEAD not yet
	acquiring          // lease.contender.write
	lookForLease       // the reply was lost
	raising            // lease.contender.raise
	lookForFence       // the reply was lost
	keepingBase        // checkpoint.committer.keepBase
	ready              // holds the lease, and sends nothing
	committing         // checkpoint.committer.attempt
	settling           // checkpoint.committer.judge, by HEAD
	settlingCopy       // checkpoint.committer.judgeCopy
	copying            // checkpoint.committer.writeCopy
	releasing          // lease.Lease.Release
	removing           // checkpoint.named.removeFormer
	over
)

func (p place) sends() bool {
	switch p {
	case acquiring, raising, keepingBase, committing, copying, releasing, removing:
		return true
	}
	return false
}

// holds reports whether the run believes that it holds the lease.
func (p place) holds() bool { return p >= keepingBase && p < over }

// commits is a set of commits.
type commits uint32

func (c commits) has(commit uint8) bool { return c&(1<<(commit&31)) != 0 }
func (c *commits) add(commit uint8)     { *c |= 1 << (commit & 31) }

// Fault is what does not hold. The numbers are those of the invariants in docs/protocol.md.
type Fault uint8

const (
	sound Fault = iota
	epochRepeats
	versionTwice
	failedLanded
	hole
	keptLost
	wedged
	acknowledgedLost
	wrongCopy
	mirrorWrong
	impossible
	openedOlder
	twoHolders
	resurrected
	falseAlarm
)

var faults = [...]string{
	epochRepeats:     "invariant 1: an epoch is not above all earlier ones",
	versionTwice:     "invariant 2: a version was committed twice",
	failedLanded:     "invariant 4: a commit that was reported as failed has landed",
	hole:             "invariant 5: a version has no copy",
	keptLost:         "invariant 5: the copy of a session's start expires or is gone",
	wedged:           "invariant 7: a holder finds another commit in its copy's place",
	acknowledgedLost: "invariant 3: an acknowledged commit is lost",
	wrongCopy:        "invariant 5: a copy has another commit's content",
	mirrorWrong:      "invariant 9: a dead line's object is in the mirror in the living line's place",
	impossible:       "a run that settles sees a HEAD that cannot be",
	openedOlder:      "invariant 3: a session began on an older version, or on none",
	twoHolders:       "invariant 1: two sessions hold one epoch",
	resurrected:      "a deleted checkpoint came back by the old holder",
	falseAlarm:       "a healthy store is said to have gone backward",
}

// breaks notes the first fault.
func (s *State) breaks(f Fault) {
	if s.Broken == sound {
		s.Broken = f
	}
}

// isFailed notes that a run was told that the commit has failed.
func (s *State) isFailed(commit uint8) {
	s.Failed.add(commit)
	for _, made := range s.Made {
		if made == commit {
			s.breaks(failedLanded)
		}
	}
}

// check looks at what must hold in every state.
func (s *State) check() {
	if s.Head.Exists && !s.Head.Deleted {
		for v := uint8(1); v < s.Head.Version; v++ {
			switch {
			case v <= s.Deleted || s.Made[v] == 0:
			case s.Copies[v].Commit == 0:
				s.breaks(hole)
			case s.Copies[v].Commit != s.Made[v]:
				s.breaks(wrongCopy)
			}
		}
	}
	for v := range s.Copies {
		if s.Kept&(1<<v) != 0 && !s.Copies[v].Kept {
			s.breaks(keptLost)
		}
	}
	if !s.Head.Exists || s.Loss != never || s.HeadRemoved {
		return
	}
	for c := uint8(1); c < 32; c++ {
		if s.Acknowledged.has(c) && !s.wasMade(c) {
			s.breaks(acknowledgedLost)
		}
	}
}

func (s *State) wasMade(commit uint8) bool {
	for _, made := range s.Made {
		if made == commit {
			return true
		}
	}
	return false
}

func (s *State) mirrored() bool {
	for _, object := range s.Mirror {
		if object.Commit != 0 {
			return true
		}
	}
	return false
}
