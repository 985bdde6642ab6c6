// Package search looks at every state that a small model can reach. A model is a state, the steps
// from a state, and what must hold in each state. Nothing is left to chance: where a run ends
// without a finding, no order of the steps breaks the model.
package search

import (
	"fmt"
	"strings"
)

// What says in words what a step does. It is small and has no pointers to make, because most steps
// are never told.
type What struct {
	By     string // who does it: "run", "unpin", "the world"
	Number uint8  // which of them, from 0
	Did    string
	Detail uint8 // a version, a commit; 0: none
}

func (w What) String() string {
	s := fmt.Sprintf("%s %d %s", w.By, w.Number, w.Did)
	if w.Detail > 0 {
		s += fmt.Sprintf(" (%d)", w.Detail)
	}
	return s
}

// Model is what is searched. Steps calls step with each state that can follow. Broken says what does
// not hold in a state; "": all holds.
type Model[S comparable] struct {
	Start  S
	Steps  func(from S, step func(to S, what What))
	Broken func(S) string

	// Most is the most states to look at. 0: ten million.
	Most int
}

// Result is what a search has found.
type Result struct {
	States int
	Broken string   // what does not hold; "": nothing was found
	Trace  []string // the shortest way to it, a step a line
	Whole  bool     // every state was looked at
}

func (r Result) String() string {
	switch {
	case r.Broken != "":
		return fmt.Sprintf("%s, after %d states:\n    %s", r.Broken, r.States, strings.Join(r.Trace, "\n    "))
	case !r.Whole:
		return fmt.Sprintf("nothing was found, and the search ended early, after %d states", r.States)
	}
	return fmt.Sprintf("nothing was found in all %d states", r.States)
}

// Run searches breadth first, so that a trace is as short as can be.
func (m *Model[S]) Run() Result {
	most := m.Most
	if most == 0 {
		most = 10_000_000
	}
	known := map[S]struct{}{m.Start: {}}
	states, from := []S{m.Start}, []int{-1}
	for at := 0; at < len(states); at++ {
		if broken := m.Broken(states[at]); broken != "" {
			return Result{States: len(states), Broken: broken, Trace: m.trace(states, from, at)}
		}
		if len(states) > most {
			return Result{States: len(states)}
		}
		m.Steps(states[at], func(to S, _ What) {
			if _, is := known[to]; is {
				return
			}
			known[to] = struct{}{}
			states, from = append(states, to), append(from, at)
		})
	}
	return Result{States: len(states), Whole: true}
}

func (m *Model[S]) trace(states []S, from []int, at int) []string {
	var steps []string
	for ; from[at] >= 0; at = from[at] {
		did := ""
		m.Steps(states[from[at]], func(to S, what What) {
			if did == "" && to == states[at] {
				did = what.String()
			}
		})
		steps = append([]string{did}, steps...)
	}
	return steps
}
