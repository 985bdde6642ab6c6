// Package save is the protocol of saves as a model that is small enough to be searched whole:
// acquire, fence, keep the base, commit, settle, copy, release and delete, and the loss of the table
// with its restore. Replies are lost, requests arrive late and twice, are throttled, and runs crash
// anywhere. Any run may take the lease at any moment, so every judgement of an expiry is wrong at
// some time.
//
// docs/model.md says which function of the project each step stands for, and what the model leaves
// out.
package save

import "github.com/milepost-dev/milepost/test/model/search"

// Options say how much is searched, and what may happen.
type Options struct {
	Runs, Sessions, Commits, Versions, Late int // how many runs; sessions of a run; commits of a session; …

	NoTimeouts   bool // replies are lost only by a crash
	TornLook     bool // a look reads HEAD and LEASE one after the other, in either order
	LeaseRemoved bool // someone removes LEASE, once
	HeadRemoved  bool // someone removes HEAD, once
	Mirror, Loss bool // versions are mirrored; the table is lost and restored, once
	Delete       Delete

	Without Rule // what the protocol is searched without
}

// Delete says whether a session may delete the checkpoint, and how.
type Delete uint8

// A delete is a commit. The other ways are how it must not be made.
const (
	noDelete Delete = iota
	byCommit
	keepingOnlyTheEpoch
	withoutLease
)

// Rule is a rule of the protocol, or several. A search without one must find what breaks.
type Rule uint16

// The rules, with their numbers in docs/protocol.md.
const (
	conditionOfACopy      Rule = 1 << iota // 5.2: a copy is only ever created
	replacingADeadLine                     // 5.2: or replaces one of a lower commit epoch
	keepingTheBase                         // 5.4: the first commit makes sure of its base
	settlingByTheCommit                    // 6.4: a higher epoch alone proves nothing
	loadingBehindTheFence                  // 3.4: the raise's reply is the load
	stickyAmbiguity                        // 6.1: a throttle after a lost reply proves nothing
	waitingForTheCopy                      // 5.1: the commit of n+1 waits for V#n
	leaseIDInFence                         // 4.1: the fence has the lease id
	askingTheArchive                       // 15.6: an open that finds nothing asks the archive
	epochInTheMirror                       // 15.2: the key of a mirrored object has the epoch
	anotherLook                            // 3.8: one look proves no regression
	versionInLease                         // 3.8: a HEAD below LEASE's version is a regression
)

type model struct{ o Options }

func (m *model) without(r Rule) bool { return m.o.Without&r != 0 }

// Model returns the model.
func (o Options) Model() *search.Model[State] {
	m := &model{o}
	var start State
	for i := o.Runs; i < maxRuns; i++ {
		start.Runs[i].At = over
	}
	return &search.Model[State]{
		Start: start,
		Steps: func(from State, step func(State, search.What)) {
			x := &explorer{model: m, from: from, step: step}
			x.world()
			for i := range x.from.Runs {
				if x.from.Runs[i].At != over {
					x.run(uint8(i))
				}
			}
		},
		Broken: func(s State) string { return faults[s.Broken] },
	}
}

// explorer makes the steps from one state.
type explorer struct {
	*model
	from State
	step func(State, search.What)
}

func (x *explorer) to(s State, what search.What) {
	s.check()
	x.step(s, what)
}

// world makes the steps that no run makes.
func (x *explorer) world() {
	did := func(s State, what string, detail uint8) { x.to(s, search.What{By: "world", Did: what, Detail: detail}) }
	for i, r := range x.from.Late[:x.o.Late] {
		if r.Kind == nothing {
			continue
		}
		s := x.from
		s.Late[i] = Request{}
		x.sortLate(&s)
		x.apply(&s, r)
		did(s, "delivers a late "+r.Kind.String(), r.Version)
	}
	if x.o.LeaseRemoved && !x.from.LeaseRemoved && x.from.Lease.Status != absent {
		s := x.from
		s.LeaseRemoved, s.Lease = true, Lease{}
		did(s, "removes LEASE", 0)
	}
	if x.o.HeadRemoved && !x.from.HeadRemoved && x.from.Head.Version > 0 {
		s := x.from
		s.HeadRemoved, s.Head, s.Made = true, Head{}, [maxVersions + 1]uint8{}
		s.Acknowledged, s.Failed = 0, 0
		did(s, "removes HEAD", 0)
	}
	if x.o.Loss && x.from.Loss == never && x.from.mirrored() {
		did(x.from.afterLoss(), "loses the table", 0)
	}
	nothingSince := !x.from.Head.Exists || !x.without(askingTheArchive) && x.from.Head.Version == 0
	if x.from.Loss == lost && nothingSince {
		s := x.from.afterRestore()
		did(s, "restores version", s.Head.Version)
	}
}

func (s State) afterLoss() State {
	return State{Mirror: s.Mirror, Late: s.Late, Runs: s.Runs, DeleteUsed: s.DeleteUsed, Broken: s.Broken, Loss: lost}
}

// leap is how far a restore and a missing LEASE raise the epoch: above any that was lost.
const leap = 16

// afterRestore is checkpoint.Namespace.Restore.
func (s State) afterRestore() State {
	s.Loss = restored
	var newest, epoch uint8
	for v, object := range s.Mirror {
		if object.Commit != 0 {
			newest, epoch = uint8(v), max(epoch, object.Epoch)
		}
	}
	object := s.Mirror[newest]
	s.Head = Head{Exists: true, Epoch: epoch + leap, Version: newest, Commit: object.Commit, CommitEpoch: object.Epoch}
	s.Made[newest] = object.Commit
	s.HighestEpoch = s.Head.Epoch
	return s
}
