package archive

import (
	"fmt"
	"hash/maphash"
	"slices"
)

// A Guard is one part of the rule. A configuration can take it away, to show that it is needed.
type Guard uint16

// The guards.
const (
	Version       Guard = 1 << iota // an open compares the announced version, by its commit
	Claim                           // a session claims before its first write to the archive
	AnnounceFirst                   // latest.json announces a version before its object is there
	Home                            // bodies of another store are never removed
	OwnSweep                        // a closing session removes bodies of its own only
	IfMatch                         // a restore takes over only the latest.json that it has read
	GCFence                         // gc moves latest.json between its listing and its judgement
	GCJudges                        // gc removes nothing where an open would be refused
	HeadAfter412                    // a session that finds latest.json changed reads HEAD, under its own claim too
	Replan                          // a restore compares what it loads under its fence with its plan
	LookAfter                       // a mirror looks after its write whether the version was purged
	JudgeAgain                      // an open judges again on what its raise loads
	OwnFence                        // a mirror takes another session's copies only while its own fence is on HEAD
	GCReads                         // gc reads latest.json once more after it has judged
	KeepUnknown                     // a restore whose takeover may still land keeps its body
)

// A Role is a session that a configuration begins, and the store on which it works.
type Role struct {
	kind  kind
	store uint8
}

// Job is a session that saves and mirrors.
func Job(store uint8) Role { return Role{job, store} }

// GC removes bodies that no version has.
func GC(store uint8) Role { return Role{collect, store} }

// Restore brings the checkpoint back from the archive.
func Restore(store uint8) Role { return Role{restore, store} }

// Purge deletes the checkpoint and what the archive holds of it.
func Purge(store uint8) Role { return Role{purge, store} }

// Config is what one search allows to happen.
type Config struct {
	Without Guard // parts of the rule that are taken away

	Sessions int // how many begin, in all
	AtOnce   int // how many live at once
	Versions int // the highest version that a job saves

	// Cast, if set, says which sessions begin, in this order.
	Cast []Role

	Two     bool // another store uses the prefix, with the same name
	PutBack bool // an old backup of the store is put back over it
	Copy    bool // the store is copied, and both are used
	CopyOld bool // another store is made from the backup
	Lose    bool // the store is lost
	Dark    bool // the archive may be out of reach when a job opens
	GC      bool // gc runs once
	Restore bool // a restore runs once
	Purge   bool // a purge runs once

	Bodies int  // so many states are large; 0: any number
	Expire int  // so many copies expire
	Lost   bool // a reply to a change of latest.json is lost: it has landed, lands later, or never
	Whole  bool // every session lives until it has ended

	Most int // states to look at; 0: all
}

// Result is what a search found.
type Result struct {
	States    int
	Exhausted bool
	Broken    string   // the property that is broken; "": none
	Trace     []string // how
}

func (r Result) String() string {
	switch {
	case r.Broken != "":
		s := fmt.Sprintf("%s, after %d states:", r.Broken, r.States)
		for _, line := range r.Trace {
			s += "\n\t" + line
		}
		return s
	case r.Exhausted:
		return fmt.Sprintf("clean, all %d states", r.States)
	}
	return fmt.Sprintf("clean so far, %d states", r.States)
}

// Search looks at every state that can be reached, nearest first, until a property is broken.
func Search(c Config) Result {
	if c.Cast != nil {
		c.Sessions = len(c.Cast)
	}
	var first world
	first.stores[0].exists = true
	first.stores[1].exists = c.Two
	seed := maphash.MakeSeed()
	seen := map[uint64]struct{}{maphash.Comparable(seed, first): {}}
	type node struct {
		parent int32
		turn   turn
	}
	nodes := []node{{parent: -1}}
	front, at := []world{first}, []int32{0}
	for len(front) > 0 {
		var next []world
		var nextAt []int32
		for i := range front {
			g := generator{c: &c, now: &front[i]}
			g.all()
			for j := range g.next {
				w := &g.next[j]
				w.checkPurge()
				h := maphash.Comparable(seed, *w)
				if _, known := seen[h]; known {
					continue
				}
				seen[h] = struct{}{}
				id := int32(len(nodes))
				nodes = append(nodes, node{at[i], g.turns[j]})
				if w.broken != whole {
					r := Result{States: len(seen), Broken: w.broken.String()}
					for ; id > 0; id = nodes[id].parent {
						r.Trace = append(r.Trace, nodes[id].turn.String())
					}
					slices.Reverse(r.Trace)
					return r
				}
				next, nextAt = append(next, *w), append(nextAt, id)
			}
			if c.Most > 0 && len(seen) >= c.Most {
				return Result{States: len(seen)}
			}
		}
		front, at = next, nextAt
	}
	return Result{States: len(seen), Exhausted: true}
}

// A turn is what happened between two states.
type turn struct {
	session uint8 // 0: the world around
	what    string
	about   commit
}

func (t turn) String() string {
	who := "the world"
	if t.session > 0 {
		who = fmt.Sprintf("session %d", t.session)
	}
	s := who + ": " + t.what
	if t.about != 0 {
		s += fmt.Sprintf(" (version %d of session %d)", t.about.version(), t.about.session())
	}
	return s
}

// generator makes the states that follow a state.
type generator struct {
	c     *Config
	now   *world
	next  []world
	turns []turn
}

func (g *generator) lacks(guard Guard) bool { return g.c.Without&guard != 0 }

func (g *generator) emit(w world, session int, what string, about commit) {
	g.next = append(g.next, w)
	g.turns = append(g.turns, turn{uint8(session), what, about})
}

func (g *generator) all() {
	g.world()
	g.begin()
	for i := range int(g.now.begun) {
		if s := g.now.sessions[i].step; s != ended && s != notBegun {
			if !g.c.Whole {
				w := *g.now
				w.end(i)
				g.emit(w, i+1, "dies", 0)
			}
			g.session(i)
		}
	}
}
