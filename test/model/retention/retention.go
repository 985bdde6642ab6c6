// Package retention is a model of which copies stay: sessions that keep the version that they start
// from and retire older starts, next to pins, unpins and prunes, which take no lease. Each reads and
// then writes, and anything may happen in between. Copies that expire are removed at any moment, and
// a write without an answer may arrive later.
//
// docs/model.md says which function of the project each step stands for, and what the model leaves
// out.
package retention

import (
	"math/bits"

	"github.com/milepost-dev/milepost/test/model/search"
)

const maxVersions = 5

// Options say how much is searched.
type Options struct {
	Versions int  // that are committed at most
	Late     bool // a write without an answer may arrive later
	NoPrune  bool // which makes the search some ten times as large
	Without  Rule // what the protocol is searched without
}

// Rule is a rule of the protocol, or several. A search without one must find what breaks.
type Rule uint8

const (
	keptOnTheCopy     Rule = 1 << iota // 14.3: an unpin goes by the copy, never by HEAD's list
	asItWasRead                        // 5.3: what changes or removes a copy names it as it was read
	keptUntilItLeaves                  // 14.3: a start that leaves the list is no longer kept, labelled or not
	pruneInOneWrite                    // 5.3: a prune removes what it has read, in one write
)

// State is what the store has, what is under way, and the truth.
type State struct {
	Newest  uint8
	Starts  versions // HEAD's list of the versions that sessions started from
	Copies  [maxVersions + 1]Copy
	Session Session
	Tasks   [3]Task
	Late    Write

	Pinned versions // of which a pin was reported, and no unpin since
	Broken string
}

// versions is a set of versions.
type versions uint8

func (v versions) has(version uint8) bool { return v&(1<<version) != 0 }
func (v *versions) add(version uint8)     { *v |= 1 << version }
func (v *versions) remove(version uint8)  { *v &^= 1 << version }

// newest is the newest version of the set.
func (v versions) newest() uint8 { return uint8(bits.Len8(uint8(v))) - 1 }

// Copy is V#n.
type Copy struct{ Exists, Labelled, Expires, Kept bool }

// Session is the session that holds the lease.
type Session struct {
	At    place
	First bool // its next commit is its first
	Out   versions
	Gone  versions // retired, so they leave the list with the next commit
	Now   uint8    // the version that is being retired
	Seen  Copy
}

// Task is a pin, an unpin or a prune of one version.
type Task struct {
	At      place
	Version uint8
	Starts  versions // as HEAD showed them
	Seen    Copy
}

type place uint8

const (
	idle place = iota
	seenHead
	seenCopy
	opened
	expired // a prune in two writes has made the copy expire
	over
)

// Write is a change of one copy, under the condition that it is as it was read.
type Write struct {
	Version  uint8
	Observed Copy
	To       Copy // all of it false: the copy is removed
}

const (
	pin = iota
	unpin
	prune
)

var tasks = [...]string{pin: "pin", unpin: "unpin", prune: "prune"}

type explorer struct {
	o    Options
	from State
	step func(State, search.What)
}

// Model returns the model.
func (o Options) Model() *search.Model[State] {
	return &search.Model[State]{
		Start: State{Newest: 1, Copies: [maxVersions + 1]Copy{1: {Exists: true, Expires: true}}},
		Steps: func(from State, step func(State, search.What)) {
			x := &explorer{o, from, step}
			x.world()
			x.session()
			for kind := range x.from.Tasks {
				if kind != prune || !o.NoPrune {
					x.task(kind)
				}
			}
		},
		Broken: func(s State) string { return s.Broken },
	}
}

func (x *explorer) without(r Rule) bool { return x.o.Without&r != 0 }

func (x *explorer) to(s State, by, did string, version uint8) {
	s.check()
	x.step(s, search.What{By: by, Did: did, Detail: version})
}

// apply makes a write if its condition holds.
func (x *explorer) apply(s *State, w Write) bool {
	c := &s.Copies[w.Version]
	if !c.Exists || *c != w.Observed && !x.without(asItWasRead) {
		return false
	}
	if unchanged := w.To.Exists && w.To.Kept == w.Observed.Kept; unchanged {
		w.To.Kept = c.Kept // an amendment leaves alone what it does not change
	}
	*c = w.To
	return true
}

// check looks at what must hold.
func (s *State) check() {
	for v := uint8(1); v <= maxVersions; v++ {
		c := s.Copies[v]
		stays := c.Exists && !c.Expires
		switch {
		case s.Broken != "":
			return
		case s.Pinned.has(v) && !stays:
			s.Broken = "a savepoint expires, or is gone"
		case s.Starts != 0 && v == s.Starts.newest() && !stays:
			s.Broken = "the version that the newest session started from expires, or is gone"
		case s.quiet() && c.Exists && v < s.Newest && !c.Labelled && !s.Starts.has(v) && !c.Expires:
			s.Broken = "nothing keeps a version any more, and it never expires"
		}
	}
}

// quiet reports whether nothing is under way.
func (s *State) quiet() bool {
	for _, t := range s.Tasks {
		if t.At != idle && t.At != over {
			return false
		}
	}
	return s.Session == Session{} && s.Late == Write{}
}

func (x *explorer) world() {
	for v, c := range x.from.Copies {
		if c.Exists && c.Expires {
			s := x.from
			s.Copies[v] = Copy{}
			x.to(s, "world", "removes what has expired: version", uint8(v))
		}
	}
	if x.from.Late != (Write{}) {
		s := x.from
		s.Late = Write{}
		x.apply(&s, x.from.Late)
		x.to(s, "world", "delivers a late write of version", x.from.Late.Version)
	}
}

// session opens, keeps its base, commits, and retires the starts that are too many: all but one.
func (x *explorer) session() {
	s := x.from
	r := &s.Session
	if r.At != idle { // it may crash, or release, anywhere
		t := s
		t.Session = Session{}
		x.to(t, "session", "ends", 0)
	}
	switch {
	case r.At == idle && int(s.Newest) < x.o.Versions:
		r.At, r.First = opened, true
		r.Out = s.tooMany()
		x.to(s, "session", "opens on version", s.Newest)
	case r.At == opened && r.Now != 0:
		x.retire()
	case r.At == opened:
		if r.Out != 0 {
			t := s
			t.Session.Now = t.Session.Out.newest()
			t.Session.Seen = t.Copies[t.Session.Now]
			x.to(t, "session", "reads, to retire it, version", t.Session.Now)
		}
		x.commit()
	}
}

func (s *State) tooMany() versions {
	out := s.Starts
	if out != 0 {
		out.remove(out.newest())
	}
	return out
}

// commit keeps the base before the first commit, and commits. The next version's copy expires.
func (x *explorer) commit() {
	s := x.from
	r := &s.Session
	base := s.Newest
	if r.First && !s.Copies[base].Kept {
		s.Copies[base] = Copy{Exists: true, Kept: true, Labelled: s.Copies[base].Labelled}
		x.to(s, "session", "keeps its base, version", base)
		return
	}
	if int(s.Newest) >= x.o.Versions {
		return
	}
	s.Newest++
	s.Starts &^= r.Gone
	r.Gone = 0
	if r.First {
		s.Starts.add(base)
		r.First = false
		r.Out = s.tooMany()
	}
	s.Copies[s.Newest] = Copy{Exists: true, Expires: true}
	x.to(s, "session", "commits version", s.Newest)
}

// retire is checkpoint.committer.restoreExpiry: it goes by the copy that it has read, and asks again
// if the copy has changed.
func (x *explorer) retire() {
	s := x.from
	r := &s.Session
	to := r.Seen
	to.Expires = !to.Labelled
	if !to.Labelled || !x.without(keptUntilItLeaves) {
		to.Kept = false
	}
	w := Write{Version: r.Now, Observed: r.Seen, To: to}
	if !x.apply(&s, w) && s.Copies[r.Now].Exists {
		r.Seen = s.Copies[r.Now]
		x.to(s, "session", "reads again, to retire it, version", r.Now)
		return
	}
	r.Out.remove(r.Now)
	r.Gone.add(r.Now)
	now := r.Now
	r.Now, r.Seen = 0, Copy{}
	x.to(s, "session", "retires version", now)
}

// task makes the steps of a pin, an unpin or a prune, each of which happens once.
func (x *explorer) task(kind int) {
	s := x.from
	t := &s.Tasks[kind]
	switch t.At {
	case idle:
		for v := uint8(1); v <= s.Newest; v++ {
			u := s
			u.Tasks[kind] = Task{At: seenHead, Version: v, Starts: s.Starts}
			if kind != prune || v < s.Newest {
				x.to(u, tasks[kind], "reads HEAD, and is about version", v)
			}
		}
	case seenHead:
		t.Seen = s.Copies[t.Version]
		t.At = seenCopy
		if !x.wants(kind, t) {
			t.end()
		}
		x.to(s, tasks[kind], "reads version", t.Version)
	case seenCopy:
		x.write(kind)
	case expired: // a prune in two writes
		v := t.Version
		s.Copies[v] = Copy{}
		t.end()
		x.to(s, tasks[kind], "removes version", v)
	}
}

func (t *Task) end() { *t = Task{At: over} }

// wants reports whether the task does anything with the copy that it has read.
func (x *explorer) wants(kind int, t *Task) bool {
	c := t.Seen
	switch kind {
	case pin:
		return c.Exists
	case unpin:
		return c.Exists && c.Labelled
	}
	started := t.Starts != 0 && t.Starts.newest() == t.Version
	return c.Exists && !c.Labelled && !started
}

func (x *explorer) write(kind int) {
	s := x.from
	t := &s.Tasks[kind]
	v, to := t.Version, t.Seen
	switch kind {
	case pin:
		to.Labelled, to.Expires = true, false
	case unpin:
		kept := to.Kept
		if x.without(keptOnTheCopy) {
			kept = t.Starts.has(v)
		}
		to.Labelled, to.Expires = false, !kept
	case prune:
		to = Copy{}
		if x.without(pruneInOneWrite) {
			to = Copy{Exists: true, Expires: true}
		}
	}
	w := Write{Version: v, Observed: t.Seen, To: to}
	if x.o.Late && x.from.Late == (Write{}) { // no answer: it is sent again, and a second one may arrive later
		u := s
		u.Late = w
		if x.apply(&u, w) {
			x.done(u, kind, "writes, and once more later, version")
		}
	}
	if x.without(keptOnTheCopy) && kind == unpin { // under a condition on the commit alone
		w.Observed = s.Copies[v]
		w.To.Kept = s.Copies[v].Kept
	}
	if x.apply(&s, w) {
		x.done(s, kind, "writes version")
		return
	}
	*t = Task{At: seenHead, Version: v, Starts: s.Starts} // again
	x.to(s, tasks[kind], "is refused, and reads HEAD again, for version", v)
}

func (x *explorer) done(s State, kind int, did string) {
	t := &s.Tasks[kind]
	v := t.Version
	switch kind {
	case pin:
		s.Pinned.add(v)
	case unpin:
		s.Pinned.remove(v)
	}
	if kind == prune && s.Copies[v].Exists {
		t.At = expired
	} else {
		t.end()
	}
	x.to(s, tasks[kind], did, v)
}
