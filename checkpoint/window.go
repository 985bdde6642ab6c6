package checkpoint

import (
	"slices"
	"time"

	"github.com/milepost-dev/milepost/store"
)

// window holds the records in hand, in the order of the input, from the one that holds back the
// low-water mark. It also holds what an earlier session finished above that mark.
type window struct {
	records []started
	passed  int64         // how many were taken off the front: the number of records[0]
	before  []store.Range // finished by earlier sessions, and not yet reached by this one
	until   *string       // inside such a range: its last cursor; nil: outside
}

// started is one record, or a range of an earlier session, in the window.
type started struct {
	first, last string
	finished    bool
	since       time.Time
}

// idle reports whether records finish in order, as far as the window knows.
func (w *window) idle() bool { return len(w.records) == 0 && len(w.before) == 0 && w.until == nil }

// skips reports whether an earlier session finished the record. Records must come in the same order
// as then.
func (w *window) skips(cursor string) bool {
	if w.until != nil {
		if cursor == *w.until {
			w.until = nil
		}
		return true
	}
	i := slices.IndexFunc(w.before, func(r store.Range) bool { return r.First == cursor })
	if i < 0 {
		return false
	}
	r := w.before[i]
	w.before = w.before[i+1:] // the input does not have those before it any more
	w.records = append(w.records, started{first: r.First, last: r.Last, finished: true})
	if r.Last != cursor {
		w.until = &r.Last
	}
	return true
}

// start adds a record and returns its number.
func (w *window) start(cursor string, now time.Time) int64 {
	w.records = append(w.records, started{first: cursor, last: cursor, since: now})
	return w.passed + int64(len(w.records)) - 1
}

// finish marks a record as finished.
func (w *window) finish(number int64) { w.records[number-w.passed].finished = true }

// advance removes the finished records at the front, and returns the low-water mark if it moved.
func (w *window) advance() (mark string, moved bool) {
	n := 0
	for n < len(w.records) && w.records[n].finished {
		n++
	}
	if n == 0 {
		return "", false
	}
	mark = w.records[n-1].last
	w.passed += int64(n)
	w.records = slices.Delete(w.records, 0, n)
	return mark, true
}

// ranges returns the finished records above the low-water mark.
func (w *window) ranges() []store.Range {
	var all []store.Range
	for i, r := range w.records {
		switch {
		case !r.finished:
		case i > 0 && w.records[i-1].finished:
			all[len(all)-1].Last = r.last
		default:
			all = append(all, store.Range{First: r.first, Last: r.last})
		}
	}
	return append(all, w.before...)
}

// unfinished returns how many records are not finished.
func (w *window) unfinished() (n int) {
	for _, r := range w.records {
		if !r.finished {
			n++
		}
	}
	return n
}

// holding returns the record that holds back the low-water mark.
func (w *window) holding() (started, bool) {
	i := slices.IndexFunc(w.records, func(r started) bool { return !r.finished })
	if i < 0 {
		return started{}, false
	}
	return w.records[i], true
}
