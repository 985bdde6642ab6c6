package sqlitestore

import (
	"context"
	"slices"
	"time"

	"github.com/milepost-dev/milepost/store"
)

// Acquire implements [store.Store].
func (s *Store) Acquire(ctx context.Context, key store.Key, observed *store.Lease, next store.Lease) (store.Clock, error) {
	return s.takeLease(ctx, "Acquire", key, next, func(l *store.Lease) bool { return l.SameAs(observed) })
}

// Steal implements [store.Store].
func (s *Store) Steal(ctx context.Context, key store.Key, observed *store.Lease, next store.Lease) (store.Clock, error) {
	return s.takeLease(ctx, "Steal", key, next, func(l *store.Lease) bool { return l.SameExceptBeat(observed) })
}

func (s *Store) takeLease(ctx context.Context, op string, key store.Key, next store.Lease, allowed func(*store.Lease) bool) (store.Clock, error) {
	_, clock, err := s.writeLease(ctx, s.commits, op, key, func(there *store.Lease) *store.Lease {
		if !allowed(there) {
			return nil
		}
		return &next
	})
	return clock, err
}

// Renew implements [store.Store].
func (s *Store) Renew(ctx context.Context, key store.Key, r store.Renewal) (store.Lease, store.Clock, error) {
	return s.writeLease(ctx, s.beats, "Renew", key, func(there *store.Lease) *store.Lease {
		if !there.HeldUnder(r.Fence) || there.Beat >= r.Beat {
			return nil
		}
		renewed := *there
		renewed.Beat, renewed.Until, renewed.RenewedAt, renewed.Version = r.Beat, r.Until, r.RenewedAt, r.Version
		return &renewed
	})
}

// Release implements [store.Store].
func (s *Store) Release(ctx context.Context, key store.Key, fence store.Fence, version int64) error {
	_, _, err := s.writeLease(ctx, s.commits, "Release", key, func(there *store.Lease) *store.Lease {
		if there == nil || there.Fence() != fence {
			return nil
		}
		freed := *there
		freed.Status, freed.Version = store.Free, version
		return &freed
	})
	return err
}

// Want implements [store.Store].
func (s *Store) Want(ctx context.Context, key store.Key, fence store.Fence, wanted store.Wanted) error {
	_, _, err := s.writeLease(ctx, s.beats, "Want", key, func(there *store.Lease) *store.Lease {
		if !there.HeldUnder(fence) {
			return nil
		}
		asked := *there
		asked.Wanted = &wanted
		return &asked
	})
	return err
}

// writeLease replaces LEASE by what next makes of the LEASE that it finds (nil: none). If next
// returns nil, it is a conflict.
func (s *Store) writeLease(ctx context.Context, w *conn, op string, key store.Key, next func(*store.Lease) *store.Lease) (store.Lease, store.Clock, error) {
	var written store.Lease
	clock, err := s.write(ctx, w, op, key, func(ctx context.Context, w *conn) error {
		there, err := w.lease(ctx, key)
		if err != nil {
			return err
		}
		lease := next(there)
		if lease == nil {
			return &store.ConflictError{Op: op, Key: key, Lease: there}
		}
		if err := lease.Validate(); err != nil {
			return err
		}
		written = *lease
		_, err = w.exec(ctx, putLease, leaseValues(key, lease)...)
		return err
	})
	if err != nil {
		return store.Lease{}, store.Clock{}, err
	}
	return written, clock, nil
}

var putLease = upsert("milepost_lease", 2, []string{
	"ns", "name", "fmt", "epoch", "lease_id", "beat", "status",
	"holder_id", "holder_host", "holder_pid", "holder_run", "holder_boot", "holder_pid_space", "holder_pid_start", "holder_time_space",
	"duration_ms", "until_wall", "until_boot", "until_uptime", "acquired_at", "renewed_at",
	"reason", "wanted_by", "wanted_count", "version",
})

func leaseValues(key store.Key, l *store.Lease) []any {
	var boot, uptime, wantedBy, wantedCount any
	if l.Until.Boot != "" {
		boot, uptime = l.Until.Boot, l.Until.Uptime.Microseconds()
	}
	if l.Wanted != nil {
		wantedBy, wantedCount = l.Wanted.By, l.Wanted.Count
	}
	return slices.Concat(
		[]any{key.Namespace, key.Name, store.Format, l.Epoch, l.LeaseID, l.Beat, string(l.Status)},
		holderValues(l.Holder), []any{l.Holder.Boot, l.Holder.PIDSpace, l.Holder.PIDStart, l.Holder.TimeSpace},
		[]any{l.Duration.Milliseconds(), micros(l.Until.Wall), boot, uptime, micros(l.AcquiredAt), micros(l.RenewedAt),
			l.Reason, wantedBy, wantedCount, l.Version})
}

// lease returns LEASE, or nil if there is none.
func (c *conn) lease(ctx context.Context, key store.Key) (*store.Lease, error) {
	found, err := c.rows(ctx, "SELECT * FROM milepost_lease WHERE ns = ? AND name = ?", key.Namespace, key.Name)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	r := found[0]
	r.key()
	l := &store.Lease{
		Epoch: r.int("epoch"), LeaseID: r.text("lease_id"), Beat: r.int("beat"), Status: store.Status(r.text("status")),
		Holder: r.holder("holder"), Duration: r.duration("duration_ms", time.Millisecond), Until: r.until(),
		AcquiredAt: r.time("acquired_at"), RenewedAt: r.time("renewed_at"),
		Reason: r.text("reason"), Wanted: r.wanted(), Version: r.int("version"),
	}
	l.Holder.Boot, l.Holder.PIDSpace = r.text("holder_boot"), r.text("holder_pid_space")
	l.Holder.PIDStart, l.Holder.TimeSpace = r.text("holder_pid_start"), r.text("holder_time_space")
	return l, r.done(key, store.RecordLease, l.Validate)
}

func (r *row) until() store.Clock {
	until := store.Clock{Wall: r.time("until_wall")}
	if r.null("until_boot") {
		if !r.null("until_uptime") {
			r.fail("until_uptime is there, and until_boot is not")
		}
		return until
	}
	until.Boot, until.Uptime = r.text("until_boot"), r.duration("until_uptime", time.Microsecond)
	return until
}

func (r *row) wanted() *store.Wanted {
	if r.null("wanted_by") {
		if !r.null("wanted_count") {
			r.fail("wanted_count is there, and wanted_by is not")
		}
		return nil
	}
	return &store.Wanted{By: r.text("wanted_by"), Count: r.int("wanted_count")}
}
