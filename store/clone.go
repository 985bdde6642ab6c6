package store

import (
	"slices"
	"unicode/utf8"
)

// The clones below share no memory with the record that they are made of.

// Clone returns a deep copy of c.
func (c *Content) Clone() Content {
	clone := *c
	clone.Finished = slices.Clone(c.Finished)
	if c.State != nil {
		state := *c.State
		state.Data = slices.Clone(state.Data)
		state.SHA256 = slices.Clone(state.SHA256)
		clone.State = &state
	}
	return clone
}

// Clone returns a deep copy of v.
func (v *Version) Clone() Version {
	clone := *v
	clone.Content = v.Content.Clone()
	clone.Starts = slices.Clone(v.Starts)
	return clone
}

// Clone returns a deep copy of h, and nil for nil.
func (h *Head) Clone() *Head {
	if h == nil {
		return nil
	}
	clone := *h
	clone.Version = h.Version.Clone()
	return &clone
}

// Clone returns a deep copy of c.
func (c *Copy) Clone() Copy {
	clone := *c
	clone.Version = c.Version.Clone()
	return clone
}

// Clone returns a deep copy of l, and nil for nil.
func (l *Lease) Clone() *Lease {
	if l == nil {
		return nil
	}
	clone := *l
	if l.Wanted != nil {
		wanted := *l.Wanted
		clone.Wanted = &wanted
	}
	return &clone
}

// Clone returns a copy of e, and nil for nil.
func (e *Expectation) Clone() *Expectation {
	if e == nil {
		return nil
	}
	clone := *e
	return &clone
}

// WithoutProcess returns h without Boot, PIDSpace, PIDStart and TimeSpace, which tell whether a
// process still runs. HEAD and the copies keep no more than that of a holder; LEASE keeps all.
func (h Holder) WithoutProcess() Holder {
	h.Boot, h.PIDSpace, h.PIDStart, h.TimeSpace = "", "", "", ""
	return h
}

// CutText returns s if it has at most that many bytes, and otherwise its beginning, cut between two
// characters.
func CutText(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}
