package store

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Format is the number of the format, which every record has. A record with a higher number is
// refused with [ErrNewerFormat] and never rewritten.
const Format = 1

// MaxNumber is the highest version, epoch and beat. A record or an object with a higher one cannot
// be trusted. An int64 has room above it: a valid number with a step added does not overflow.
const MaxNumber = 1_000_000_000_000_000_000

// MaxLastError is the most bytes of an error that a version keeps.
const MaxLastError = 1024

// Holder says who holds a lease or made a commit. People read it. The protocol uses ID (rule b of
// docs/protocol.md), and PID with the last four fields, by which a process on the same machine can
// prove that the holder's process has ended (rule e).
type Holder struct {
	ID    string // stable: it can be the same when the same job starts again
	Host  string
	PID   int
	RunID string // of this run, such as its start time

	Boot      string // the boot id of the machine
	PIDSpace  string // the pid namespace
	PIDStart  string // the start time of the process, as the system counts it
	TimeSpace string // the time namespace, on whose clock PIDStart is
}

// String returns a holder for people, as nightly@etl-7 (pid 4121, run 2026-11-24T02:00:01Z).
func (h Holder) String() string {
	text := cmp.Or(h.ID, "an unknown holder")
	if h.Host != "" && !strings.HasSuffix(text, "@"+h.Host) {
		text += " on " + h.Host
	}
	var details []string
	if h.PID != 0 {
		details = append(details, fmt.Sprintf("pid %d", h.PID))
	}
	if h.RunID != "" {
		details = append(details, "run "+h.RunID)
	}
	if len(details) > 0 {
		text += " (" + strings.Join(details, ", ") + ")"
	}
	return text
}

// Fence is what a commit must match on HEAD: the epoch, and the lease that raised the epoch.
type Fence struct {
	Epoch   int64
	LeaseID string
}

// Clock is one reading of the store's own clock: a service's Date, or the clocks of the machine
// that an embedded store's processes share. In a record an engine keeps a reading of the kind that
// its own clock gives: Wall, Boot with Uptime, both, or none. It need not keep any other.
type Clock struct {
	Wall time.Time // zero: the store has no clock to offer

	// Boot and Uptime are set where all processes share one machine with a boot-time clock. That
	// clock also runs while the machine sleeps, and no one can set it. Readings of different boots
	// cannot be compared, but see [Lease.RanOutBy].
	Boot   string
	Uptime time.Duration
}

// IsZero reports whether c is no reading.
func (c Clock) IsZero() bool { return c.Wall.IsZero() && c.Boot == "" }

// Time returns Wall in UTC, or this machine's time where the store has no clock.
func (c Clock) Time() time.Time {
	if c.Wall.IsZero() {
		return time.Now().Round(0).UTC()
	}
	return c.Wall.UTC()
}

// Add returns the reading d later.
func (c Clock) Add(d time.Duration) Clock {
	if !c.Wall.IsZero() {
		c.Wall = c.Wall.Add(d)
	}
	if c.Boot != "" {
		c.Uptime += d
	}
	return c
}

// PassedBy reports whether now is later than c by more than slack. If the two readings cannot be
// compared, because one is missing or they are of different clocks or boots, c has not passed.
func (c Clock) PassedBy(now Clock, slack time.Duration) bool {
	switch {
	case c.IsZero() || now.IsZero() || c.Boot != now.Boot:
		return false
	case c.Boot != "":
		return now.Uptime > c.Uptime+slack
	}
	return now.Wall.After(c.Wall.Add(slack))
}

// Status of a lease.
type Status string

// The two statuses of a lease.
const (
	Held Status = "held"
	Free Status = "free"
)

// Wanted says that a waiter asks the holder to hand over the lease. The waiter raises Count at each
// poll, so a Count that does not change is a dead waiter's.
type Wanted struct {
	By    string // the waiter's holder id
	Count int64
}

// Lease is the LEASE record. It is never deleted and never expires by itself.
type Lease struct {
	Epoch      int64
	LeaseID    string // random, and new with each acquisition
	Beat       int64  // rises with each renewal
	Status     Status
	Holder     Holder
	Duration   time.Duration // whole milliseconds
	Until      Clock         // when it ends by the store's clock; zero: not recorded, and rule (d) decides
	AcquiredAt time.Time
	RenewedAt  time.Time
	Reason     string  // of a steal, or of an operator's command
	Wanted     *Wanted // not part of "as observed" and "unchanged"
	Version    int64   // the last version that the holder knew
}

// Fence returns the fence that the lease's holder raises.
func (l *Lease) Fence() Fence { return Fence{Epoch: l.Epoch, LeaseID: l.LeaseID} }

// RanOutBy reports whether the lease ended more than slack before now, by the store's clock: its
// recorded end has passed, or the machine has restarted since its last renewal.
//
// Another boot id alone does not prove a restart: a container on the same kernel can have its own.
// The boot must have begun after the renewal, by the wall clock, or its own clock must be far
// behind the renewal's.
func (l *Lease) RanOutBy(now Clock, slack time.Duration) bool {
	if l.Until.PassedBy(now, slack) {
		return true
	}
	if l.Until.Boot == "" || now.Boot == "" || l.Until.Boot == now.Boot {
		return false
	}
	renewed := l.Until.Add(-l.Duration)
	began := now.Wall.Add(-now.Uptime)
	return !renewed.Wall.IsZero() && !now.Wall.IsZero() && began.After(renewed.Wall.Add(slack)) ||
		now.Uptime+slack < renewed.Uptime-l.Duration // a recorded end can be too late by up to the duration
}

// HeldAt reports whether the lease is held and has not run out by the store's clock, and how long
// it still runs: 0 where no end is recorded in wall time. A nil lease is not held.
func (l *Lease) HeldAt(now Clock) (held bool, left time.Duration) {
	if l == nil || l.Status != Held || l.RanOutBy(now, 0) {
		return false, 0
	}
	if !l.Until.Wall.IsZero() && !now.Wall.IsZero() {
		left = max(l.Until.Wall.Sub(now.Wall), 0)
	}
	return true, left
}

// SameAs reports whether l and other are one state of the record. The condition of an acquisition
// and rule (d) compare states. Nil is an absent record.
func (l *Lease) SameAs(other *Lease) bool {
	return l.SameExceptBeat(other) && (l == nil || l.Beat == other.Beat)
}

// SameExceptBeat is [Lease.SameAs] without the beat: what [Store.Steal] compares.
func (l *Lease) SameExceptBeat(other *Lease) bool {
	if l == nil || other == nil {
		return l == other
	}
	return l.Fence() == other.Fence() && l.Status == other.Status
}

// HeldUnder reports whether the lease is held and has that fence. A nil lease is not held.
func (l *Lease) HeldUnder(fence Fence) bool {
	return l != nil && l.Fence() == fence && l.Status == Held
}

// Ended says how a session ended. Its closing commit has it. A session without a closing commit
// died.
type Ended string

// How a session ended.
const (
	EndedDone    Ended = "done"    // the function returned nil
	EndedError   Ended = "error"   // it returned an error
	EndedYielded Ended = "yielded" // it handed over
	EndedStopped Ended = "stopped" // it was asked to stop
)

// State is the job's state as stored. The bytes that are loaded are the bytes that were saved.
type State struct {
	Data        []byte // as stored, so compressed if Encoding says so; nil if there is a Body
	Body        string // the key of the object in an archive that holds the data; "": Data holds it
	ContentType string // "" means application/json
	Encoding    string // "" or "zstd"
	Size        int64  // bytes before compression
	SHA256      []byte // of the data as stored
}

// Range is a run of finished records above the low-water mark. It has the cursors of its first and
// last record, in input order.
type Range struct {
	First string
	Last  string
}

// Content is what a job saves: its cursor, its counts and its state. A rollback, an import and a
// fork take the whole content of one version over into another.
type Content struct {
	Cursor    string
	Finished  []Range // above Cursor, finished out of order
	Processed int64
	Failed    int64
	State     *State // nil: none was saved
	Identity  string
	Schema    int64
}

// Version is what one commit wrote: the content, and who committed it. HEAD and the version's copy
// hold it. Number 0 means "no checkpoint yet".
type Version struct {
	Number      int64
	CommitID    string
	CommitEpoch int64
	By          Holder // who committed; the fields from Boot on are not kept
	SavedAt     time.Time

	Content

	LastError    string // at most MaxLastError bytes
	Ended        Ended
	Deleted      bool
	RestoredFrom int64  // of a rollback: the version whose content this is
	Reason       string // an operator's

	Born   int64   // the first version since the last deletion; older ones are never shown
	Starts []int64 // the newest versions that sessions started from, oldest first

	// ArchivedThrough is the version up to which the mirror was known to be complete. The mirror
	// may have more.
	ArchivedThrough int64
}

// Exists reports whether v is a checkpoint: committed, and not deleted.
func (v *Version) Exists() bool { return v.Number > 0 && !v.Deleted }

// Head is the HEAD record: the newest version, and the fence.
type Head struct {
	Version
	Fence  Fence
	Holder Holder // who raised the fence

	// Listed reports whether the record is in the index. It is from the first commit until a
	// deletion has removed everything older.
	Listed bool
}

// Copy is the V#n record: the copy of version n.
type Copy struct {
	Version
	ExpiresAt time.Time // whole seconds; zero: it does not expire
	Label     string    // not "": a savepoint

	// Kept says that a session started from this version, and that the version is still among the
	// newest of these. It is on the copy, and not only in HEAD's list, so that the write that makes
	// the copy expire can have a condition on it.
	Kept bool
}

// SameAs reports whether c and other are one state of one copy: its content, which the commit id
// identifies, its label, its expiry, and whether it is kept. Nil is an absent copy.
func (c *Copy) SameAs(other *Copy) bool {
	if c == nil || other == nil {
		return c == other
	}
	return c.Number == other.Number && c.CommitID == other.CommitID && c.Label == other.Label &&
		c.ExpiresAt.Equal(other.ExpiresAt) && c.Kept == other.Kept
}

// Expired reports whether the copy has expired at that time, and so is not shown. The store may not
// have removed it yet.
func (c *Copy) Expired(now time.Time) bool {
	return !c.ExpiresAt.IsZero() && !now.Before(c.ExpiresAt)
}

// Expectation is the EXPECT record: how often a job is expected to save. It is a separate record,
// because a job that never ran has no HEAD, and a running job writes the whole of HEAD.
type Expectation struct {
	Every time.Duration
	Grace time.Duration
	SetBy string
	SetAt time.Time
}

// SameAs reports whether e and other are the same. Nil is an absent record.
func (e *Expectation) SameAs(other *Expectation) bool {
	if e == nil || other == nil {
		return e == other
	}
	return e.Every == other.Every && e.Grace == other.Grace && e.SetBy == other.SetBy && e.SetAt.Equal(other.SetAt)
}

// Records are all records of one checkpoint except its copies. One that is absent is nil.
type Records struct {
	Head   *Head
	Lease  *Lease
	Expect *Expectation
	Clock  Clock // of the reply
}

// Validate returns an error if no engine may accept this HEAD. Engines wrap it in a
// [BadRecordError].
func (h *Head) Validate() error {
	switch {
	case h.Fence.Epoch < 1, h.Fence.Epoch > MaxNumber:
		return fmt.Errorf("epoch is %d", h.Fence.Epoch)
	case h.Fence.LeaseID == "":
		return errors.New("lease_id is missing")
	case h.Number == 0 && h.bare():
		return nil // only the fence was raised
	}
	return h.Version.Validate()
}

// bare reports whether nothing was ever committed on this HEAD. A HEAD that has no version, and has
// what only a commit writes, is damaged. It does not mean "no checkpoint".
func (h *Head) bare() bool {
	v := &h.Version
	return v.CommitID == "" && v.CommitEpoch == 0 && v.SavedAt.IsZero() && v.Cursor == "" && len(v.Finished) == 0 &&
		v.Processed == 0 && v.Failed == 0 && v.State == nil && !v.Deleted && v.Born == 0 && v.ArchivedThrough == 0 && !h.Listed
}

// Validate returns an error if no engine may accept this version.
func (v *Version) Validate() error {
	switch {
	case v.Number < 1, v.Number > MaxNumber:
		return fmt.Errorf("version is %d", v.Number)
	case v.CommitID == "":
		return errors.New("commit_id is missing")
	case v.CommitEpoch < 1, v.CommitEpoch > MaxNumber:
		return fmt.Errorf("commit_epoch is %d", v.CommitEpoch)
	case v.Processed < 0 || v.Failed < 0:
		return fmt.Errorf("counts are negative: processed %d, failed %d", v.Processed, v.Failed)
	case v.Born < 1 || v.Born > v.Number:
		return fmt.Errorf("born is %d at version %d", v.Born, v.Number)
	case v.ArchivedThrough < 0 || v.ArchivedThrough > v.Number:
		return fmt.Errorf("archived_through is %d at version %d", v.ArchivedThrough, v.Number)
	}
	return v.State.validate()
}

func (s *State) validate() error {
	switch {
	case s == nil:
		return nil
	case len(s.SHA256) != 32:
		return fmt.Errorf("sha256 has %d bytes", len(s.SHA256))
	case s.Size < 0:
		return fmt.Errorf("the state's size is %d", s.Size)
	case s.Body != "" && len(s.Data) > 0:
		return errors.New("the state is in a body, and also in the record")
	}
	return nil
}

// Validate returns an error if no engine may accept this LEASE.
func (l *Lease) Validate() error {
	switch {
	case l.Epoch < 1, l.Epoch > MaxNumber:
		return fmt.Errorf("epoch is %d", l.Epoch)
	case l.LeaseID == "":
		return errors.New("lease_id is missing")
	case l.Status != Held && l.Status != Free:
		return fmt.Errorf("status is %q", l.Status)
	case l.Duration <= 0:
		return fmt.Errorf("duration is %v", l.Duration)
	case l.Beat < 0 || l.Version < 0 || max(l.Beat, l.Version) > MaxNumber:
		return fmt.Errorf("beat is %d, version %d", l.Beat, l.Version)
	}
	return nil
}
