package survey

import (
	"cmp"
	"slices"
	"time"

	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// Saved reports whether there is a checkpoint.
func (i *Item) Saved() bool { return i.Head != nil && i.Head.Exists() }

// Deleting reports whether a deletion was begun and not finished.
func (i *Item) Deleting() bool { return i.Head != nil && i.Head.Deleted && i.Head.Listed }

// Age returns the time since the last save, or, for a job that never saved, since its expectation
// was set. It is 0 if there is neither.
func (i *Item) Age() time.Duration {
	switch {
	case i.Saved():
		return max(i.Now.Sub(i.Head.SavedAt), 0)
	case i.Expect != nil:
		return max(i.Now.Sub(i.Expect.SetAt), 0)
	}
	return 0
}

// Ratio returns the age over what is expected, grace included: above 1 the checkpoint is overdue.
// It is 0 if nothing is expected.
func (i *Item) Ratio() float64 {
	if i.Expect == nil || i.Deleting() || i.Expect.Every+i.Expect.Grace <= 0 {
		return 0
	}
	return float64(i.Age()) / float64(i.Expect.Every+i.Expect.Grace)
}

// Overdue reports whether the checkpoint was not saved for longer than expected.
func (i *Item) Overdue() bool { return i.Ratio() > 1 }

// RenewalAge returns the time since the lease was renewed, as its holder recorded it; 0 if the
// lease is not held.
func (i *Item) RenewalAge() time.Duration {
	if i.Lease == nil || i.Lease.Status != store.Held {
		return 0
	}
	return max(i.Now.Sub(i.Lease.RenewedAt), 0)
}

// Failures counts the runs that failed since the last save that did not say it was a failure: runs
// that took the lease and saved nothing, and the last run if it ended with an error or died.
func (i *Item) Failures() int64 {
	if i.Err != nil || i.Lease == nil {
		return 0
	}
	var saved int64
	var n int64
	if i.Head != nil { // deleted or not: a run before a deletion is not a failure of the checkpoint made after it
		saved = i.Head.CommitEpoch
	}
	if i.Saved() {
		if i.Head.Ended == store.EndedError || i.Died() && i.Lease.Epoch == saved {
			n++
		}
	}
	taken := i.Lease.Epoch - saved
	if taken >= lease.EpochLeap {
		taken %= lease.EpochLeap
	}
	if i.Held && taken > 0 {
		taken-- // the current run may still save
	}
	return n + max(taken, 0)
}

// Died reports whether the last holder neither released its lease nor still has it.
func (i *Item) Died() bool { return i.Lease != nil && i.Lease.Status == store.Held && !i.Held }

// Condition is the state of a checkpoint, the worst first.
type Condition int

// Conditions of checkpoints.
const (
	Unreadable Condition = iota
	Overdue
	Died
	Failing
	Deleting
	Running
	Quiet
)

var conditions = [...]string{"unreadable", "overdue", "died", "failing", "deleting", "running", "quiet"}

func (c Condition) String() string { return conditions[c] }

// Condition returns the worst condition that is true of the checkpoint.
func (i *Item) Condition() Condition {
	switch {
	case i.Err != nil:
		return Unreadable
	case i.Overdue():
		return Overdue
	case i.Deleting():
		return Deleting
	case i.Died():
		return Died
	case i.Failures() > 0:
		return Failing
	case i.Held:
		return Running
	}
	return Quiet
}

// Worst sorts items so that the worst come first: by condition, then by how long they are overdue,
// then by age.
func Worst(items []Item) {
	slices.SortStableFunc(items, func(a, b Item) int {
		return cmp.Or(
			cmp.Compare(a.Condition(), b.Condition()),
			-cmp.Compare(a.Ratio(), b.Ratio()),
			-cmp.Compare(a.Failures(), b.Failures()),
			-cmp.Compare(a.Age(), b.Age()),
		)
	})
}
