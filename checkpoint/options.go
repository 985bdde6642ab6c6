package checkpoint

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/milepost-dev/milepost/internal/later"
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

	// Marks are saved in the background after Every records or after Interval, whichever comes
	// first. Defaults: 1000 records, 10 s.
	Every    int
	Interval time.Duration

	// MaxUnsaved is how many records may be marked and not yet saved. The next mark waits for the
	// save in flight. Default: 10 × Every; it is never below Every.
	MaxUnsaved int

	// MaxAhead is how many records [Session.Start] admits from the one that holds the low-water
	// mark back. After that, Start waits. Default: 1000.
	MaxAhead int

	// Codec turns the state into bytes. Default: [JSON], or [Bytes] if the state is a []byte.
	Codec Codec

	// KeepState keeps the state of the checkpoint as it is in a session that has no state: T is
	// struct{}. The state then belongs to an older cursor than the versions that this session saves.
	// Without KeepState, Open refuses a checkpoint that has a state.
	KeepState bool

	// Identity says what the checkpoint belongs to: the input, the code, the configuration,
	// everything that must be the same for a resume to make sense. Each version saves it. Empty:
	// the job declares no identity, and the checkpoint keeps the one it has. OnIdentity says what
	// happens if the two differ.
	Identity   string
	OnIdentity IdentityPolicy

	// Schema numbers the form of the state. A checkpoint of a lower schema goes through Migrate,
	// which gets the encoded state and returns it in the form of Schema. A checkpoint of a higher
	// schema is refused.
	Schema  int64
	Migrate func(from int64, state []byte) ([]byte, error)

	// Order compares two cursors. With it a save fails if its cursor is before the cursor of the
	// version before. An empty cursor after another one is refused with or without Order.
	Order func(a, b string) int

	// If the checkpoint is older than MaxAge, OnOld is called before Open returns. Without OnOld
	// the age is logged. 0: off.
	MaxAge time.Duration
	OnOld  func(cp *Checkpoint, age time.Duration)

	// Expect is how often the job is expected to save, so that its silence is noticed. Open keeps
	// it in the store. That is one more request (2 write units) if the store has another
	// expectation, and none otherwise. An expectation that a job declared is replaced. One that a
	// person set with milepost expect stays, and is logged, unless Expect.Override is set. If the
	// write fails, the error is logged, and the next session tries again.
	Expect Expectation

	// Redact is applied to the text of an error before the text is saved.
	Redact func(string) string

	// Logger receives problems that the session handles by itself. Default: nothing is logged. Its
	// handler may block and is called from another goroutine: see [lease.Options.Logger].
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
	// IdentityFork leaves the checkpoint as it is, and continues under another name: the
	// checkpoint's with "@" and 12 hexadecimal digits of the identity's sha256. If that checkpoint
	// exists, it is resumed. If not, it starts from what the first checkpoint holds.
	IdentityFork
	// IdentityRestart starts from scratch: no cursor, no state, counts from 0. The versions before
	// stay in the history.
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
	log := later.Logger(f.Logger)
	if f.Lease.Logger == nil || f.Lease.Logger == f.Logger {
		f.Lease.Logger = log
	}
	f.Logger = log
	switch {
	case f.Every < 0 || f.Interval < 0 || f.MaxUnsaved < 0 || f.MaxAhead < 0 || f.MaxAge < 0 || f.Schema < 0:
		return nil, fmt.Errorf("checkpoint options: none of Every, Interval, MaxUnsaved, MaxAhead, MaxAge and Schema can be negative")
	case f.OnIdentity < IdentityRefuse || f.OnIdentity > IdentityRestart:
		return nil, fmt.Errorf("checkpoint options: OnIdentity %d is none of IdentityRefuse, IdentityWarn, IdentityFork and IdentityRestart", f.OnIdentity)
	}
	return &f, f.Expect.validate()
}
