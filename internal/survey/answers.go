package survey

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// LeaseJSON is a lease as the command and the status page print it.
type LeaseJSON struct {
	Namespace  string      `json:"namespace"`
	Name       string      `json:"name"`
	Status     string      `json:"status"` // held, free, or expired: held, and past its end
	Epoch      int64       `json:"epoch"`
	Holder     *HolderJSON `json:"holder"`
	AcquiredAt *time.Time  `json:"acquired_at"`
	RenewedAt  *time.Time  `json:"renewed_at"`
	ExpiresAt  *time.Time  `json:"expires_at"`
	DurationMS int64       `json:"duration_ms"`
	Reason     string      `json:"reason,omitempty"`
	WantedBy   string      `json:"wanted_by,omitempty"`
}

// ToLeaseJSON returns the JSON of an observed lease, which must exist.
func ToLeaseJSON(key store.Key, o lease.Observation) LeaseJSON {
	l := o.Lease
	j := LeaseJSON{
		Namespace: key.Namespace, Name: key.Name, Status: string(l.Status), Epoch: l.Epoch, Holder: ToHolderJSON(l.Holder),
		AcquiredAt: TimeJSON(l.AcquiredAt), RenewedAt: TimeJSON(l.RenewedAt), DurationMS: l.Duration.Milliseconds(), Reason: l.Reason,
	}
	if l.Status == store.Held {
		if held, _ := l.HeldAt(o.Clock); !held {
			j.Status = "expired"
		}
		j.ExpiresAt = TimeJSON(EndOf(o))
	}
	if l.Wanted != nil {
		j.WantedBy = l.Wanted.By
	}
	return j
}

// EndOf returns when a held lease ends, in wall time; zero if its end is not recorded.
func EndOf(o lease.Observation) time.Time {
	if !o.Lease.Until.Wall.IsZero() {
		return o.Lease.Until.Wall
	}
	if o.Left > 0 {
		return o.Clock.Time().Add(o.Left)
	}
	return time.Time{}
}

// RunJSON is a [checkpoint.RunInfo].
type RunJSON struct {
	Namespace string      `json:"namespace"`
	Name      string      `json:"name"`
	Epoch     int64       `json:"epoch"`
	Holder    *HolderJSON `json:"holder"`
	First     int64       `json:"first_version"`
	Last      int64       `json:"last_version"`
	Began     time.Time   `json:"began_at"`
	Saved     time.Time   `json:"saved_at"`
	Cursor    string      `json:"cursor"`
	Processed int64       `json:"processed"`
	Failed    int64       `json:"failed"`
	LastError string      `json:"last_error"`
	Reason    string      `json:"reason,omitempty"`
	Ended     string      `json:"ended"` // done, error, yielded, stopped, running, or died
}

// ToRunJSON returns the JSON of a run of a checkpoint.
func ToRunJSON(key store.Key, r checkpoint.RunInfo) RunJSON {
	return RunJSON{
		Namespace: key.Namespace, Name: key.Name, Epoch: r.CommitEpoch, Holder: ToHolderJSON(r.By), First: r.First.Number, Last: r.Number,
		Began: r.First.SavedAt, Saved: r.SavedAt, Cursor: r.Cursor, Processed: r.Processed, Failed: r.Failed,
		LastError: r.LastError, Reason: r.Reason, Ended: RunEnd(r),
	}
}

// RunEnd returns how a run ended: done, error, yielded, stopped, running, or died.
func RunEnd(r checkpoint.RunInfo) string {
	switch {
	case r.Ended != "":
		return string(r.Ended)
	case r.Live:
		return "running"
	}
	return "died"
}

// ToListingJSON returns the JSON of one checkpoint in a list: show's JSON of it, with its lease
// added.
func ToListingJSON(l *checkpoint.Listing, show func(*checkpoint.Checkpoint) (json.RawMessage, error)) (json.RawMessage, error) {
	status := "free"
	switch {
	case l.Held:
		status = "held"
	case l.Lease != nil && l.Lease.Status == store.Held:
		status = "expired"
	}
	held := map[string]any{"status": status}
	if l.Lease != nil {
		held["epoch"] = l.Lease.Epoch
		if l.Lease.Status == store.Held {
			held["holder"], held["expires_at"] = ToHolderJSON(l.Lease.Holder), TimeJSON(l.Lease.Until.Wall)
		}
	}
	if l.Checkpoint == nil {
		item := map[string]any{"namespace": l.Namespace, "name": l.Name, "version": 0}
		if l.Deleting {
			item["deleting"] = true
		}
		return With(item, "lease", held)
	}
	body, err := show(l.Checkpoint)
	if err != nil {
		return nil, err
	}
	return With(body, "lease", held)
}

// With returns an object's JSON with one more member.
func With(object any, name string, value any) (json.RawMessage, error) {
	body, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	more, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(body[:len(body)-1], `,%q:%s}`, name, more), nil
}
