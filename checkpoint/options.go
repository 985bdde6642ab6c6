package checkpoint

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/milepost-dev/milepost/lease"
)

const (
	defaultEvery    = 1000
	defaultInterval = 10 * time.Second
	defaultMaxAhead = 1000
)

// Options say how a session acquires, saves and resumes. The zero value is useful.
type Options struct {
	// Lease says who holds the checkpoint's lease, for how long, and how to wait for it.
	Lease lease.Options

	// Every is after how many records, and Interval after how much time, what was marked is
	// saved in the background, whichever comes first. Defaults: 1000 records, 10 s.
	Every    int
	Interval time.Duration

	// MaxUnsaved is how many records may be marked and not yet saved before a mark waits for
	// the save in flight. Default: 10 × Every; it is never below Every.
	MaxUnsaved int

	// MaxAhead is how many records [Session.Start] admits from the one that holds the low-water
	// mark back; past that it waits. Default: 1000.
	MaxAhead int

	// Codec turns the state into bytes. Default: [JSON], or [Bytes] where the state is a []byte.
	Codec Codec

	// Identity says what the checkpoint belongs to: the input, the code, the configuration,
	// whatever must be the same for a resume to make sense. It is saved with every
	// version. Empty: the job declares none, and what the checkpoint carries stays.
	// OnIdentity says what happens where the two differ.
	Identity   string
	OnIdentity IdentityPolicy

	// Schema numbers the form of the state. A checkpoint of a lower one goes through
	// Migrate, which gets the state as it was encoded and returns it as Schema has it;
	// one of a higher one is refused.
	Schema  int64
	Migrate func(from int64, state []byte) ([]byte, error)

	// Order compares two cursors. With it a save whose cursor is before the one of the version
	// before fails. Empty cursors are not compared.
	Order func(a, b string) int

	// MaxAge makes a resume from a checkpoint older than this call OnOld, before Open returns;
	// without OnOld it is logged. 0: off.
	MaxAge time.Duration
	OnOld  func(cp *Checkpoint, age time.Duration)

	// Expect is how often the job is expected to save, so that its silence is noticed. The session's opening keeps it in the
	// store, which is one request more (2 write units) if it differs from what is there, and none if not. What a job declared
	// before is replaced; what a person has said with milepost expect stays, and is logged, unless Expect.Override says otherwise. One
	// that cannot be kept is logged, and tried again by the next session.
	Expect Expectation

	// Redact is applied to the text of an error before it is saved.
	Redact func(string) string

	// Logger gets what goes wrong and is mended. Default: nothing is logged.
	Logger *slog.Logger
}

// IdentityPolicy says what to do with a checkpoint of another identity.
type IdentityPolicy int

// What to do with a checkpoint of another identity than the job declares.
const (
	// IdentityRefuse fails with a [*RefusedError] that names both. It is the default.
	IdentityRefuse IdentityPolicy = iota
	// IdentityWarn logs both and resumes; the next save carries the job's identity.
	IdentityWarn
	// IdentityFork leaves the checkpoint as it is and goes on under a name of the identity's own, the
	// checkpoint's with "@" and 12 hexadecimal digits of the identity's sha256. Where that
	// exists it is resumed; else it starts from what the checkpoint holds.
	IdentityFork
	// IdentityRestart begins afresh: no cursor, no state, counts from 0. The versions before stay
	// in the history.
	IdentityRestart
)

func (o *Options) filled() (*Options, error) {
	var f Options
	if o != nil {
		f = *o
	}
	if f.Every == 0 {
		f.Every = defaultEvery
	}
	if f.Interval == 0 {
		f.Interval = defaultInterval
	}
	if f.MaxUnsaved == 0 {
		f.MaxUnsaved = 10 * f.Every
	}
	f.MaxUnsaved = max(f.MaxUnsaved, f.Every)
	if f.MaxAhead == 0 {
		f.MaxAhead = defaultMaxAhead
	}
	if f.Lease.Duration == 0 {
		f.Lease.Duration = lease.DefaultDuration
	}
	if f.Logger == nil {
		f.Logger = slog.New(slog.DiscardHandler)
	}
	if f.Lease.Logger == nil {
		f.Lease.Logger = f.Logger
	}
	switch {
	case f.Every < 0 || f.Interval < 0 || f.MaxUnsaved < 0 || f.MaxAhead < 0 || f.MaxAge < 0 || f.Schema < 0:
		return nil, fmt.Errorf("checkpoint options: none of Every, Interval, MaxUnsaved, MaxAhead, MaxAge and Schema can be negative")
	case f.OnIdentity < IdentityRefuse || f.OnIdentity > IdentityRestart:
		return nil, fmt.Errorf("checkpoint options: OnIdentity %d is none of IdentityRefuse, IdentityWarn, IdentityFork and IdentityRestart", f.OnIdentity)
	}
	return &f, f.Expect.validate()
}
