package lease

import (
	"time"

	"github.com/milepost-dev/milepost/store"
)

const (
	// expirySlack is how far past its recorded end a lease must be, by the store's clock: a
	// service's Date has whole seconds, and replies take time.
	expirySlack = 2 * time.Second

	nearPoll = 200 * time.Millisecond
	farPoll  = time.Second
)

// unchangedFor is how long a lease must not change before rule (d) lets a run take it: 1.02 × its
// duration. The 2 % are for clocks that run at different speeds.
func unchangedFor(l *store.Lease) time.Duration {
	d := min(max(l.Duration, MinDuration), MaxDuration)
	return d + d/50
}

// judge is what a contender has seen of a LEASE, and decides by it whether the lease is expired.
type judge struct {
	opts    *Options
	seen    *store.Lease  // LEASE, since it last changed
	seenAt  time.Duration // monotonic, when the first read that showed it so was received
	renewed bool          // a renewal was seen: the beat rose under the same lease id
}

// look takes in a LEASE that was read, and received at now.
func (j *judge) look(l *store.Lease, now time.Duration) {
	if l.SameAs(j.seen) && l != nil {
		return
	}
	if j.seen != nil && l != nil && j.seen.LeaseID == l.LeaseID && l.Beat > j.seen.Beat {
		j.renewed = true
	}
	j.seen, j.seenAt = l, now
}

// may reports whether the lease may be taken, by rules (a) to (e).
func (j *judge) may(clock store.Clock, now time.Duration) bool {
	l, self := j.seen, j.opts.Holder
	switch {
	case l == nil || l.Status == store.Free: // (a)
		return true
	case j.opts.SameHolder && l.Holder.ID == self.ID && !sameProcess(l.Holder, self): // (b)
		return true
	case l.RanOutBy(clock, expirySlack): // (c)
		return true
	case now-j.seenAt >= unchangedFor(l): // (d)
		return true
	}
	// (e)
	samePIDs := self.Boot != "" && l.Holder.Boot == self.Boot && l.Holder.PIDSpace == self.PIDSpace
	return samePIDs && l.Holder.PIDStart != "" && !j.opts.Readings.Alive(l.Holder)
}

// pollAfter returns how long to wait before the next look: a short time near the expiry, longer
// before that, and always short enough that a holder sees the counter move between two beats.
func (j *judge) pollAfter(clock store.Clock, now time.Duration) time.Duration {
	left := unchangedFor(j.seen) - (now - j.seenAt)
	if until := j.seen.Until; !until.IsZero() && !until.Wall.IsZero() && !clock.Wall.IsZero() {
		left = min(left, until.Wall.Sub(clock.Wall)+expirySlack)
	}
	far := pollInterval(j.seen.Duration)
	if left < 2*far {
		return max(min(nearPoll, far, left), time.Millisecond)
	}
	return far
}

// pollInterval is how often a waiter looks far from the expiry: well below the holder's beat.
func pollInterval(duration time.Duration) time.Duration {
	return min(farPoll, max(duration/12, 10*time.Millisecond))
}

func sameProcess(a, b store.Holder) bool {
	return a.Host == b.Host && a.PID == b.PID && a.Boot == b.Boot && a.PIDSpace == b.PIDSpace && a.PIDStart == b.PIDStart
}
