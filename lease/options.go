package lease

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/milepost-dev/milepost/internal/later"
	"github.com/milepost-dev/milepost/store"
)

// Bounds and defaults of a lease's duration.
const (
	DefaultDuration = 30 * time.Second
	MinDuration     = 100 * time.Millisecond
	MaxDuration     = time.Hour
)

// Options say how a lease is acquired and kept. The zero value is useful.
type Options struct {
	// Holder says who acquires the lease. Empty fields are filled in: ID with user@host, RunID with
	// the time, and Host, PID and what identifies this process.
	Holder store.Holder

	// Duration is how long the lease lasts without a renewal: whole milliseconds, from 100 ms to an
	// hour. Default: 30 s.
	Duration time.Duration

	// Beat is how often the lease is renewed. Default: Duration / 6.
	// CommitWithin is how long after a renewal a commit may still start. Default: Duration / 2.
	// LoseAfter is how long after a renewal the lease counts as lost. Default: 0.8 × Duration.
	// They must rise in this order and stay below Duration.
	Beat, CommitWithin, LoseAfter time.Duration

	// Wait is how long to wait for a lease that is held. 0: not at all. The context bounds it, too.
	Wait time.Duration

	// SameHolder promises that only one process at a time has Holder.ID. A restart then takes the
	// lease of its predecessor at once (rule b).
	SameHolder bool

	// TakeOver asks the holder to hand over, while this run waits. Yield agrees to be asked.
	TakeOver, Yield bool

	// MaxSilence stops the renewals if [Lease.Progress] was not called for so long. A holder that
	// is stuck then does not keep its lease forever. 0: off.
	MaxSilence time.Duration

	// Reason is kept on LEASE, for people.
	Reason string

	// AcceptRegression acquires the lease even if the store has gone backward. It is for the
	// operations that repair this: delete, reset and restore.
	AcceptRegression bool

	// Accept judges what was read, before LEASE is written, and judges again by the HEAD that the
	// fence then protects. Its error ends the acquisition: the first time nothing was written, and
	// the second time the lease is free again. It may block until ctx ends. Nil: all is accepted.
	Accept func(ctx context.Context, found store.Records) error

	// OnWait is called at each poll while another run holds the lease.
	OnWait func(*HeldError)

	// Observer receives the events of the lease and of the saves under it, for metrics and traces.
	// Nil: off. The code that makes a decision also sends its event, so an observer need not know
	// the protocol. For one lease the observer is called with one event at a time, in order. For
	// several leases it is called from several goroutines at once. It may block and may call
	// anything: no renewal, loss or save waits for it. While it blocks, 1,024 events wait, and
	// later ones are dropped. After the lease is free, Release waits at most a second for observer
	// and logger to receive what is left.
	Observer func(store.Key, Event)

	// Readings replaces the clocks and the like, for tests.
	Readings *Readings

	// Logger receives problems that the lease deals with by itself. Default: nothing is logged. Its
	// handler may block as an observer may, and is called from another goroutine. While it blocks,
	// 128 messages wait, and later ones are dropped and counted.
	Logger *slog.Logger
}

// Readings are the clocks and the like that the protocol judges by. A nil func is the real one.
// Timers and sleeps are not among them: they are those of package time.
type Readings struct {
	Wall  func() time.Time
	Mono  func() time.Duration    // monotonic, from any start
	Alive func(store.Holder) bool // reports whether a process of this boot and pid namespace may run
	Self  func() store.Holder     // PID, Boot, PIDSpace, PIDStart and TimeSpace of this process
	ID    func() string           // a fresh lease id
}

// NewID returns 26 random lower-case letters and digits, of at least 128 bits. There are no
// capitals because an archive in a directory must escape them.
func NewID() string { return strings.ToLower(rand.Text()) }

func (o *Options) normalised() (*Options, error) {
	var n Options
	if o != nil {
		n = *o
	}
	if n.Duration == 0 {
		n.Duration = DefaultDuration
	}
	if n.Beat == 0 {
		n.Beat = n.Duration / 6
	}
	if n.CommitWithin == 0 {
		n.CommitWithin = n.Duration / 2
	}
	if n.LoseAfter == 0 {
		n.LoseAfter = n.Duration / 5 * 4
	}
	n.Logger = later.Logger(n.Logger)
	n.Readings = n.Readings.filled()
	n.Holder = n.filledHolder()
	if n.Wait < 0 || n.MaxSilence < 0 {
		return nil, errors.New("lease options: Wait and MaxSilence cannot be negative")
	}
	if n.Duration < MinDuration || n.Duration > MaxDuration || n.Duration%time.Millisecond != 0 {
		return nil, fmt.Errorf("lease options: duration %v: it must be whole milliseconds, from %v to %v",
			n.Duration, MinDuration, MaxDuration)
	}
	if n.Beat <= 0 || n.CommitWithin <= n.Beat || n.LoseAfter <= n.CommitWithin || n.Duration <= n.LoseAfter {
		return nil, fmt.Errorf("lease options: beat %v, commit within %v, lose after %v, duration %v: they must rise in this order",
			n.Beat, n.CommitWithin, n.LoseAfter, n.Duration)
	}
	return &n, nil
}

func (r *Readings) filled() *Readings {
	var f Readings
	if r != nil {
		f = *r
	}
	if f.Wall == nil {
		f.Wall = time.Now
	}
	if f.Mono == nil {
		start := time.Now()
		f.Mono = func() time.Duration { return time.Since(start) }
	}
	if f.Alive == nil {
		f.Alive = processAlive
	}
	if f.Self == nil {
		f.Self = thisProcess
	}
	if f.ID == nil {
		f.ID = NewID
	}
	return &f
}

// These keep LEASE under 1 KiB, so that a beat costs one write unit.
const (
	maxHolderText = 128
	maxReason     = 128
)

func (o *Options) filledHolder() store.Holder {
	h := o.Holder
	if h.Host == "" {
		h.Host, _ = os.Hostname()
	}
	if h.ID == "" {
		h.ID = "unknown@" + h.Host
		if u, err := user.Current(); err == nil {
			h.ID = u.Username + "@" + h.Host
		}
	}
	if h.RunID == "" {
		h.RunID = o.Readings.Wall().UTC().Format(time.RFC3339)
	}
	self := o.Readings.Self()
	if h.PID == 0 {
		h.PID = cmp.Or(self.PID, os.Getpid())
	}
	if self.PID != 0 && h.PID != self.PID {
		self = store.Holder{} // whether the process of the caller's PID runs says nothing about this one
	}
	h.Boot, h.PIDSpace, h.PIDStart, h.TimeSpace = self.Boot, self.PIDSpace, self.PIDStart, self.TimeSpace
	h.ID, h.Host, h.RunID = store.CutText(h.ID, maxHolderText), store.CutText(h.Host, maxHolderText), store.CutText(h.RunID, maxHolderText)
	return h
}
