package survey

import (
	"time"

	"github.com/milepost-dev/milepost/store"
)

// StatusJSON is the status of one checkpoint as the command and the status page print it.
type StatusJSON struct {
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
	Holder   *HolderJSON `json:"holder"`
	Lease    string      `json:"lease"`
	LeftMS   int64       `json:"left_ms,omitempty"`
	Failures int64       `json:"failures"`

	ArchiveLagMS *int64 `json:"archive_lag_ms,omitempty"`
	ArchiveGap   bool   `json:"archive_gap,omitempty"`
	LastError    string `json:"last_error"`
	Error        string `json:"error,omitempty"`
}

// HolderJSON is the part of a [store.Holder] that people need.
type HolderJSON struct {
	ID    string `json:"id"`
	Host  string `json:"host,omitempty"`
	PID   int    `json:"pid,omitempty"`
	RunID string `json:"run_id,omitempty"`
}

// ToHolderJSON returns nil if there is no holder.
func ToHolderJSON(h store.Holder) *HolderJSON {
	if h.ID == "" {
		return nil
	}
	return &HolderJSON{ID: h.ID, Host: h.Host, PID: h.PID, RunID: h.RunID}
}

// TimeJSON returns a time in UTC; nil if it is zero.
func TimeJSON(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// LeaseStatus returns the status of the lease: held, expired, free, or never.
func (i *Item) LeaseStatus() string {
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

// ToStatusJSON returns the JSON of the n-th item of a survey.
func ToStatusJSON(seen Seen, n int) StatusJSON {
	i, m := &seen.Items[n], seen.Movements[n]
	s := StatusJSON{
		Namespace: i.Key.Namespace, Name: i.Key.Name, Condition: i.Condition().String(),
		AgeMS: i.Age().Milliseconds(), Lease: i.LeaseStatus(), Failures: i.Failures(),
	}
	if i.Err != nil {
		s.Error = i.Err.Error()
		return s
	}
	if h := i.Head; i.Saved() {
		s.Version, s.Cursor, s.Processed, s.Failed = h.Number, h.Cursor, h.Processed, h.Version.Failed
		s.SavedAt, s.AdvanceAt, s.LastError = TimeJSON(h.SavedAt), TimeJSON(m.Advanced), h.LastError
		if m.Rate > 0 {
			s.Rate = &m.Rate
		}
	}
	if e := i.Expect; e != nil {
		every, grace := e.Every.Milliseconds(), e.Grace.Milliseconds()
		s.EveryMS, s.GraceMS = &every, &grace
	}
	if i.Lease != nil && i.Lease.Status == store.Held {
		s.Holder, s.LeftMS = ToHolderJSON(i.Lease.Holder), i.Left.Milliseconds()
	}
	if seen.Mirrored != nil {
		lag := seen.Mirrored[n].Lag.Milliseconds()
		s.ArchiveLagMS, s.ArchiveGap = &lag, seen.Mirrored[n].Gap
	}
	return s
}
