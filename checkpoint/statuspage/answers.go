package statuspage

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/survey"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// The API's JSON. Names and meanings are those of milepost -o json; a test of the command's compares them.

type leaseJSON struct {
	Namespace  string             `json:"namespace"`
	Name       string             `json:"name"`
	Status     string             `json:"status"`
	Epoch      int64              `json:"epoch"`
	Holder     *survey.HolderJSON `json:"holder"`
	AcquiredAt *time.Time         `json:"acquired_at"`
	RenewedAt  *time.Time         `json:"renewed_at"`
	ExpiresAt  *time.Time         `json:"expires_at"`
	DurationMS int64              `json:"duration_ms"`
	Reason     string             `json:"reason,omitempty"`
	WantedBy   string             `json:"wanted_by,omitempty"`
}

type runJSON struct {
	Namespace string             `json:"namespace"`
	Name      string             `json:"name"`
	Epoch     int64              `json:"epoch"`
	Holder    *survey.HolderJSON `json:"holder"`
	First     int64              `json:"first_version"`
	Last      int64              `json:"last_version"`
	Began     time.Time          `json:"began_at"`
	Saved     time.Time          `json:"saved_at"`
	Cursor    string             `json:"cursor"`
	Processed int64              `json:"processed"`
	Failed    int64              `json:"failed"`
	LastError string             `json:"last_error"`
	Reason    string             `json:"reason,omitempty"`
	Ended     string             `json:"ended"`
}

func toLeaseJSON(key store.Key, o lease.Observation) leaseJSON {
	l := o.Lease
	j := leaseJSON{
		Namespace: key.Namespace, Name: key.Name, Status: string(l.Status), Epoch: l.Epoch, Holder: survey.ToHolderJSON(l.Holder),
		AcquiredAt: survey.TimeJSON(l.AcquiredAt), RenewedAt: survey.TimeJSON(l.RenewedAt), DurationMS: l.Duration.Milliseconds(), Reason: l.Reason,
	}
	if l.Status == store.Held {
		if l.Until.PassedBy(o.Clock, 0) {
			j.Status = "expired"
		}
		end := l.Until.Wall
		if end.IsZero() && o.Left > 0 {
			end = now(o.Clock).Add(o.Left)
		}
		j.ExpiresAt = survey.TimeJSON(end)
	}
	if l.Wanted != nil {
		j.WantedBy = l.Wanted.By
	}
	return j
}

// now is the store's wall clock, or this machine's where it has none.
func now(c store.Clock) time.Time {
	if c.Wall.IsZero() {
		return time.Now()
	}
	return c.Wall
}

func toRunJSON(key store.Key, r run) runJSON {
	return runJSON{
		Namespace: key.Namespace, Name: key.Name, Epoch: r.Epoch, Holder: survey.ToHolderJSON(r.By), First: r.First, Last: r.Last,
		Began: r.Began, Saved: r.Saved, Cursor: r.Cursor, Processed: r.Processed, Failed: r.Failed,
		LastError: r.LastError, Reason: r.Reason, Ended: r.End(),
	}
}

// withoutState is a version's JSON. What says that its state is not shown is a name that no checkpoint has, so that
// milepost set --from refuses to take it for one.
func withoutState(cp *checkpoint.Checkpoint) (json.RawMessage, error) {
	shown := *cp
	if shown.State, shown.StateSize = nil, max(cp.StateSize, int64(len(cp.State))); shown.StateSize == 0 && cp.State == nil {
		return json.Marshal(shown)
	}
	return with(shown, "state_hidden", true)
}

// with is an object's JSON and one member more.
func with(object any, name string, value any) (json.RawMessage, error) {
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

func toListingJSON(l *checkpoint.Listing) (json.RawMessage, error) {
	item := map[string]any{"namespace": l.Namespace, "name": l.Name, "version": 0}
	if l.Deleting {
		item["deleting"] = true
	}
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
			held["holder"], held["expires_at"] = survey.ToHolderJSON(l.Lease.Holder), survey.TimeJSON(l.Lease.Until.Wall)
		}
	}
	if l.Checkpoint == nil {
		return with(item, "lease", held)
	}
	body, err := withoutState(l.Checkpoint)
	if err != nil {
		return nil, err
	}
	return with(body, "lease", held)
}
