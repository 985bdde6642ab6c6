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

// Age is the time since the last save; of a job that never saved, since that has been expected. It is 0 where there is neither.
func (i *Item) Age() time.Duration {
	switch {
	case i.Saved():
		return max(i.Now.Sub(i.Head.SavedAt), 0)
	case i.Expect != nil:
		return max(i.Now.Sub(i.Expect.SetAt), 0)
	}
	return 0
}

// Ratio is the age over what is expected, grace included: past 1 the checkpoint is overdue. It is 0 where nothing is expected.
func (i *Item) Ratio() float64 {
	if i.Expect == nil || i.Deleting() || i.Expect.Every+i.Expect.Grace <= 0 {
		return 0
	}
	return float64(i.Age()) / float64(i.Expect.Every+i.Expect.Grace)
}

// Overdue reports whether the checkpoint was not saved for longer than is expected.
func (i *Item) Overdue() bool { return i.Ratio() > 1 }

// RenewalAge is the time since the lease was renewed, by its holder's account; 0 where it is not held.
func (i *Item) RenewalAge() time.Duration {
	if i.Lease == nil || i.Lease.Status != store.Held {
		return 0
	}
	return max(i.Now.Sub(i.Lease.RenewedAt), 0)
}

// Failures is how many runs have come to nothing since the last save that did not say it was a failure: runs that took the lease and saved
// nothing, and the last one if it ended with an error or died.
func (i *Item) Failures() int64 {
	if i.Err != nil || i.Lease == nil {
		return 0
	}
	var saved int64
	var n int64
	if i.Head != nil { // deleted or not: what ran before a deletion is no failure of the next life
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
		taken-- // the one that runs may yet save
	}
	return n + max(taken, 0)
}

// Died reports whether the last holder neither released its lease nor still has it.
func (i *Item) Died() bool { return i.Lease != nil && i.Lease.Status == store.Held && !i.Held }

// Condition says how a checkpoint is, from the worst on.
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

// Condition is the worst that is true of the checkpoint.
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

// Worst sorts items so that the worst come first: by condition, then by how long they are overdue, then by age.
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
