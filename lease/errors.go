package lease

import (
	"errors"
	"fmt"
	"time"

	"github.com/milepost-dev/milepost/store"
)

// Sentinels, tested with errors.Is.
var (
	// ErrHeld: another run holds the lease. See [HeldError].
	ErrHeld = errors.New("lease is held")

	// ErrLost: this run does not hold the lease any more. See [LostError].
	ErrLost = errors.New("lease lost")

	// ErrStoreRegressed: the store knows less than it did. HEAD is gone, or its version is below
	// one that was committed, as after a restore from an old backup. It is never read as "no
	// checkpoint". Delete, reset and restore go on from there.
	ErrStoreRegressed = errors.New("the store has gone backward")
)

// HeldError says who holds a lease that could not be acquired. It matches [ErrHeld].
type HeldError struct {
	Key       store.Key
	Holder    store.Holder
	Epoch     int64
	Since     time.Time // when it was acquired, by the holder's account
	RenewedAt time.Time // when it was last renewed, by the holder's account
	Until     time.Time // when it may be taken if it is not renewed; zero: not recorded
	Duration  time.Duration
	Now       time.Time // by the store's clock, where it has one; the times above compare with it
	Renewed   bool      // a renewal was seen: the holder is alive
	Err       error     // the cause of a context that ended the wait; nil: Options.Wait ended it
}

func (e *HeldError) Error() string {
	s := fmt.Sprintf("lease of %s is held by %s since %s (epoch %d)",
		e.Key, e.Holder, e.Since.UTC().Format(time.RFC3339), e.Epoch)
	if !e.Until.IsZero() {
		s += ", until " + e.Until.UTC().Format(time.RFC3339) + " unless it is renewed"
	}
	if e.Err != nil {
		s += "; waiting for it ended: " + e.Err.Error()
	}
	return s
}

// Is makes a HeldError match [ErrHeld].
func (e *HeldError) Is(target error) bool { return target == ErrHeld }

// Unwrap returns what ended the wait.
func (e *HeldError) Unwrap() error { return e.Err }

func heldError(key store.Key, l *store.Lease, now store.Clock, renewed bool) *HeldError {
	return &HeldError{
		Key: key, Holder: l.Holder, Epoch: l.Epoch, Since: l.AcquiredAt, RenewedAt: l.RenewedAt,
		Until: l.Until.Wall, Duration: l.Duration, Now: now.Wall, Renewed: renewed,
	}
}

// LossReason says how a lease was lost.
type LossReason string

// How a lease is lost.
const (
	Stolen    LossReason = "stolen"    // another run has a higher epoch, or LEASE or its store is gone
	Expired   LossReason = "expired"   // no renewal succeeded in time
	Released  LossReason = "released"  // its holder released it
	Regressed LossReason = "regressed" // the store has gone backward
)

// LostError is the cause with which [Lease.Context] is cancelled. It matches [ErrLost], and, if
// that is the reason, [ErrStoreRegressed].
type LostError struct {
	Key         store.Key
	Reason      LossReason
	Epoch       int64        // of the lease that was lost
	By          store.Holder // Stolen: who holds the lease now, if that is known
	ByEpoch     int64        // Stolen: their epoch
	LastRenewal time.Time    // when the last renewal that succeeded was sent
	Err         error        // Expired: the last renewal's error; may be nil
}

func (e *LostError) Error() string {
	s := fmt.Sprintf("lease of %s (epoch %d) %s", e.Key, e.Epoch, e.Reason)
	switch {
	case e.Reason == Stolen && e.By.ID != "":
		s += fmt.Sprintf(" by %s (epoch %d)", e.By, e.ByEpoch)
	case e.Reason == Stolen && e.ByEpoch > 0:
		s += fmt.Sprintf(" (epoch %d)", e.ByEpoch)
	case e.Reason == Expired:
		s += ", last renewed " + e.LastRenewal.UTC().Format(time.RFC3339)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Is makes a LostError match [ErrLost], and, if the store has gone backward, [ErrStoreRegressed].
func (e *LostError) Is(target error) bool {
	return target == ErrLost || target == ErrStoreRegressed && e.Reason == Regressed
}

// Unwrap returns the last error of the renewals.
func (e *LostError) Unwrap() error { return e.Err }
