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

type statusJSON struct {
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	Condition string     `json:"condition"`
	Version   int64      `json:"version"`
	Cursor    string     `json:"cursor"`
	Processed int64      `json:"processed"`
	Failed    int64      `json:"failed"`
	SavedAt   *time.Time `json:"saved_at"`
	AgeMS     int64      `json:"age_ms"`
	AdvanceAt *time.Time `json:"advanced_at"`

	Rate     *float64    `json:"rate"`
	EveryMS  *int64      `json:"every_ms,omitempty"`
	GraceMS  *int64      `json:"grace_ms,omitempty"`
	Holder   *holderJSON `json:"holder"`
	Lease    string      `json:"lease"`
	LeftMS   int64       `json:"left_ms,omitempty"`
	Failures int64       `json:"failures"`

	ArchiveLagMS *int64 `json:"archive_lag_ms,omitempty"`
	ArchiveGap   bool   `json:"archive_gap,omitempty"`
	LastError    string `json:"last_error"`
	Error        string `json:"error,omitempty"`
}

type holderJSON struct {
	ID    string `json:"id"`
	Host  string `json:"host,omitempty"`
	PID   int    `json:"pid,omitempty"`
	RunID string `json:"run_id,omitempty"`
}

type leaseJSON struct {
	Namespace  string      `json:"namespace"`
	Name       string      `json:"name"`
	Status     string      `json:"status"`
	Epoch      int64       `json:"epoch"`
	Holder     *holderJSON `json:"holder"`
	AcquiredAt *time.Time  `json:"acquired_at"`
	RenewedAt  *time.Time  `json:"renewed_at"`
	ExpiresAt  *time.Time  `json:"expires_at"`
	DurationMS int64       `json:"duration_ms"`
	Reason     string      `json:"reason,omitempty"`
	WantedBy   string      `json:"wanted_by,omitempty"`
}

type runJSON struct {
	Namespace string      `json:"namespace"`
	Name      string      `json:"name"`
	Epoch     int64       `json:"epoch"`
	Holder    *holderJSON `json:"holder"`
	First     int64       `json:"first_version"`
	Last      int64       `json:"last_version"`
	Began     time.Time   `json:"began_at"`
	Saved     time.Time   `json:"saved_at"`
	Cursor    string      `json:"cursor"`
	Processed int64       `json:"processed"`
	Failed    int64       `json:"failed"`
	LastError string      `json:"last_error"`
	Reason    string      `json:"reason,omitempty"`
	Ended     string      `json:"ended"`
}

func toHolderJSON(h store.Holder) *holderJSON {
	if h.ID == "" {
		return nil
	}
	return &holderJSON{ID: h.ID, Host: h.Host, PID: h.PID, RunID: h.RunID}
}

func timeJSON(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// leaseOf says how a lease is: held, expired, free, or never.
func leaseOf(i *survey.Item) string {
	switch {
	case i.Lease == nil:
		return "never"
	case i.Held:
		return "held"
	case i.Lease.Status == store.Held:
		return "expired"
	}
	return "free"
}

func toStatusJSON(seen survey.Seen, n int) statusJSON {
	i, m := &seen.Items[n], seen.Movements[n]
	s := statusJSON{
		Namespace: i.Key.Namespace, Name: i.Key.Name, Condition: i.Condition().String(),
		AgeMS: i.Age().Milliseconds(), Lease: leaseOf(i), Failures: i.Failures(),
	}
	if i.Err != nil {
		s.Error = i.Err.Error()
		return s
	}
	if h := i.Head; i.Saved() {
		s.Version, s.Cursor, s.Processed, s.Failed = h.Version.Version, h.Cursor, h.Processed, h.Version.Failed
		s.SavedAt, s.AdvanceAt, s.LastError = timeJSON(h.SavedAt), timeJSON(m.Advanced), h.LastError
		if m.Rate > 0 {
			s.Rate = &m.Rate
		}
	}
	if e := i.Expect; e != nil {
		every, grace := e.Every.Milliseconds(), e.Grace.Milliseconds()
		s.EveryMS, s.GraceMS = &every, &grace
	}
	if i.Lease != nil && i.Lease.Status == store.Held {
		s.Holder, s.LeftMS = toHolderJSON(i.Lease.Holder), i.Left.Milliseconds()
	}
	if seen.Mirrored != nil {
		lag := seen.Mirrored[n].Lag.Milliseconds()
		s.ArchiveLagMS, s.ArchiveGap = &lag, seen.Mirrored[n].Gap
	}
	return s
}

func toLeaseJSON(key store.Key, o lease.Observation) leaseJSON {
	l := o.Lease
	j := leaseJSON{
		Namespace: key.Namespace, Name: key.Name, Status: string(l.Status), Epoch: l.Epoch, Holder: toHolderJSON(l.Holder),
		AcquiredAt: timeJSON(l.AcquiredAt), RenewedAt: timeJSON(l.RenewedAt), DurationMS: l.Duration.Milliseconds(), Reason: l.Reason,
	}
	if l.Status == store.Held {
		if l.Until.PassedBy(o.Clock, 0) {
			j.Status = "expired"
		}
		end := l.Until.Wall
		if end.IsZero() && o.Left > 0 {
			end = now(o.Clock).Add(o.Left)
		}
		j.ExpiresAt = timeJSON(end)
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
		Namespace: key.Namespace, Name: key.Name, Epoch: r.Epoch, Holder: toHolderJSON(r.By), First: r.First, Last: r.Last,
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
			held["holder"], held["expires_at"] = toHolderJSON(l.Lease.Holder), timeJSON(l.Lease.Until.Wall)
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
