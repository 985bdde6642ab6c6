// Package sight is a model of rule (e): what a contender may conclude from what it sees of the
// holder's process on the same machine. Not seeing a process is not its death. The process may end,
// be reaped, and its pid be given to another process, between any two of the contender's questions.
//
// docs/model.md says which function of the project each step stands for.
package sight

import "github.com/milepost-dev/milepost/test/model/search"

// Options say what the protocol is searched without.
type Options struct{ Without Rule }

// Rule is a rule of the judgement, or several. A search without one must find what breaks.
type Rule uint8

const (
	onlyTheKernelsNo    Rule = 1 << iota // no entry in /proc is no proof, and neither is EPERM
	sameTimeNamespace                    // another start time counts in the same time namespace alone
	samePIDNamespace                     // a pid means something in its own pid namespace alone
	notOnClones                          // machines resumed from one memory snapshot share a boot id
	aZombieIsDead                        // kill answers for a zombie, which does nothing any more
	whoeverHasThePIDNow                  // another start time is another process
)

// Place is where the contender is, as seen from the holder. It does not change.
type Place struct {
	OtherPIDNamespace  bool
	OtherTimeNamespace bool // start times are counted from another moment
	Hidden             bool // /proc does not show other users' processes
	OtherUser          bool // kill is not permitted
	Clone              bool // another machine, resumed from the same memory snapshot
}

// Process is what has become of the holder's process.
type Process uint8

const (
	runs Process = iota
	zombie
	gone
	replaced // another process has its pid
)

// State is the machine and what the contender knows.
type State struct {
	Place   Place
	Holder  Process
	AtFirst Process // when the contender began
	At      place
	Broken  string
}

type place uint8

const (
	idle     place = iota
	mayExist       // kill did not say that there is no such process
	judged
)

type judge struct{ o Options }

func (j judge) without(r Rule) bool { return j.o.Without&r != 0 }

// Models returns a model for each place of the contender.
func (o Options) Models() map[Place]*search.Model[State] {
	models := map[Place]*search.Model[State]{}
	for bits := range 1 << 5 {
		has := func(bit int) bool { return bits&(1<<bit) != 0 }
		at := Place{has(0), has(1), has(2), has(3), has(4)}
		models[at] = &search.Model[State]{
			Start: State{Place: at}, Steps: judge{o}.steps, Broken: func(s State) string { return s.Broken },
		}
	}
	return models
}

func (j judge) steps(s State, step func(State, search.What)) {
	world := func(to Process, did string) {
		t := s
		t.Holder = to
		step(t, search.What{By: "process", Did: did})
	}
	switch s.Holder {
	case runs:
		world(zombie, "ends")
	case zombie:
		world(gone, "is reaped")
	case gone:
		world(replaced, "has its pid given to another process")
	}
	switch s.At {
	case idle:
		j.asks(s, step)
	case mayExist:
		j.reads(s, step)
	}
}

// seen is the process that the contender's questions are about.
func (s *State) seen() Process {
	if s.Place.OtherPIDNamespace || s.Place.Clone {
		return gone // of this pid nothing runs here, or something else does: gone is the worse one
	}
	return s.Holder
}

// asks is kill(pid, 0).
func (j judge) asks(s State, step func(State, search.What)) {
	s.AtFirst = s.Holder
	known := !s.Place.OtherPIDNamespace || j.without(samePIDNamespace)
	known = known && (!s.Place.Clone || j.without(notOnClones))
	if !known {
		j.concludes(s, false, "cannot know the process", step)
		return
	}
	switch {
	case s.seen() == gone:
		j.concludes(s, true, "hears that there is no such process", step)
	case s.Place.OtherUser && j.without(onlyTheKernelsNo):
		j.concludes(s, true, "may not ask, and takes that for death", step)
	default:
		s.At = mayExist
		step(s, search.What{By: "contender", Did: "hears that there is a process with that pid"})
	}
}

// reads is /proc/PID/stat.
func (j judge) reads(s State, step func(State, search.What)) {
	sameClock := !s.Place.OtherTimeNamespace
	switch seen := s.seen(); {
	case s.Place.Hidden && s.Place.OtherUser || seen == gone:
		j.concludes(s, j.without(onlyTheKernelsNo), "finds nothing in /proc", step)
	case seen == zombie:
		j.concludes(s, !j.without(aZombieIsDead), "sees a zombie", step)
	case seen == replaced && sameClock:
		j.concludes(s, !j.without(whoeverHasThePIDNow), "sees another start time", step)
	case !sameClock && j.without(sameTimeNamespace):
		j.concludes(s, true, "sees another start time, by another clock", step)
	default:
		j.concludes(s, false, "sees a process", step)
	}
}

// concludes ends the judgement: the lease is taken at once, or waits for another rule.
func (j judge) concludes(s State, dead bool, why string, step func(State, search.What)) {
	s.At = judged
	plain := s.Place == Place{} || s.Place == Place{OtherUser: true}
	switch {
	case dead && s.Holder == runs:
		s.Broken = "the lease of a process that runs is taken"
	case !dead && plain && s.Holder != runs && s.Holder == s.AtFirst:
		s.Broken = "a process is dead in plain sight, and its lease is not taken at once"
	}
	step(s, search.What{By: "contender", Did: why})
}
