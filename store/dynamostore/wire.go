package dynamostore

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/milepost-dev/milepost/store"
)

// The records on the wire. A field without omitempty is required. Any other field is absent if it
// has its zero value. Times are whole numbers: microseconds since 1970, or what the name says.
// Names are part of an item's size, and so of each save's price: names that the protocol or an
// operator needs are spelled out, and the others are short.

type wireKey struct {
	PK  string `dynamodbav:"pk"`
	SK  string `dynamodbav:"sk"`
	Fmt int64  `dynamodbav:"fmt"`
}

// wireHolder is store.Holder, field by field.
type wireHolder struct {
	ID        string `dynamodbav:"id,omitempty"`
	Host      string `dynamodbav:"host,omitempty"`
	PID       int    `dynamodbav:"pid,omitempty"`
	RunID     string `dynamodbav:"run,omitempty"`
	Boot      string `dynamodbav:"boot,omitempty"`
	PIDSpace  string `dynamodbav:"pidns,omitempty"`
	PIDStart  string `dynamodbav:"pidst,omitempty"`
	TimeSpace string `dynamodbav:"timens,omitempty"`
}

type wireVersion struct {
	Version     int64       `dynamodbav:"version"` // 0 on a HEAD that has only been raised
	CommitID    string      `dynamodbav:"commit_id,omitempty"`
	CommitEpoch int64       `dynamodbav:"commit_epoch,omitempty"`
	By          *wireHolder `dynamodbav:"by,omitempty"`
	SavedAt     int64       `dynamodbav:"saved_at,omitempty"`

	Cursor    string   `dynamodbav:"cursor,omitempty"`
	Finished  []string `dynamodbav:"fin,omitempty"` // first, last, first, last, …
	Processed int64    `dynamodbav:"processed,omitempty"`
	Failed    int64    `dynamodbav:"failed,omitempty"`
	LastError string   `dynamodbav:"last_error,omitempty"`

	State       []byte `dynamodbav:"state,omitempty"` // may be empty; nil: no state, or a body
	Body        string `dynamodbav:"body,omitempty"`  // the key in the archive
	ContentType string `dynamodbav:"ct,omitempty"`
	Encoding    string `dynamodbav:"enc,omitempty"`
	Size        int64  `dynamodbav:"size,omitempty"`
	SHA256      []byte `dynamodbav:"sha,omitempty"`

	Identity string `dynamodbav:"ident,omitempty"`
	Schema   int64  `dynamodbav:"schema,omitempty"`

	Ended        string `dynamodbav:"ended,omitempty"`
	Deleted      bool   `dynamodbav:"deleted,omitempty"`
	RestoredFrom int64  `dynamodbav:"restored_from,omitempty"`
	Reason       string `dynamodbav:"reason,omitempty"`

	Born   int64   `dynamodbav:"born,omitempty"`
	Starts []int64 `dynamodbav:"starts,omitempty"`

	ArchivedThrough int64 `dynamodbav:"archived_through,omitempty"`
}

type wireHead struct {
	wireKey
	wireVersion
	Epoch   int64       `dynamodbav:"epoch"`
	LeaseID string      `dynamodbav:"lease_id"`
	Holder  *wireHolder `dynamodbav:"holder,omitempty"` // who raised the fence; absent: same as By
	NS      string      `dynamodbav:"ns,omitempty"`     // NS and Name are the index's keys: HEAD is listed
	Name    string      `dynamodbav:"name,omitempty"`
}

type wireCopy struct {
	wireKey
	wireVersion
	ExpiresAt int64  `dynamodbav:"expires_at,omitempty"` // seconds: the table's TTL
	Label     string `dynamodbav:"label,omitempty"`
	Kept      bool   `dynamodbav:"kept,omitempty"`
}

type wireLease struct {
	wireKey
	Epoch      int64       `dynamodbav:"epoch"`
	LeaseID    string      `dynamodbav:"lease_id"`
	Beat       int64       `dynamodbav:"beat"`
	Status     string      `dynamodbav:"status"`
	DurationMS int64       `dynamodbav:"duration_ms"`
	Holder     *wireHolder `dynamodbav:"holder,omitempty"`
	UntilMS    int64       `dynamodbav:"until_ms,omitempty"`
	AcquiredAt int64       `dynamodbav:"acquired_at,omitempty"`
	RenewedAt  int64       `dynamodbav:"renewed_at,omitempty"`
	Reason     string      `dynamodbav:"reason,omitempty"`
	WantedBy   string      `dynamodbav:"wanted_by,omitempty"`
	WantedN    int64       `dynamodbav:"wanted_n,omitempty"`
	Version    int64       `dynamodbav:"version,omitempty"`
}

type wireExpect struct {
	wireKey
	NS      string `dynamodbav:"ns"`
	Name    string `dynamodbav:"name"`
	EveryMS int64  `dynamodbav:"every_ms"`
	GraceMS int64  `dynamodbav:"grace_ms,omitempty"`
	SetBy   string `dynamodbav:"set_by,omitempty"`
	SetAt   int64  `dynamodbav:"set_at,omitempty"`
}

func keyOf(key store.Key, sk string) wireKey {
	return wireKey{PK: partition(key), SK: sk, Fmt: store.Format}
}

func toHolder(h store.Holder) *wireHolder {
	if h == (store.Holder{}) {
		return nil
	}
	w := wireHolder(h)
	return &w
}

func (w *wireHolder) holder() store.Holder {
	if w == nil {
		return store.Holder{}
	}
	return store.Holder(*w)
}

func toVersion(v store.Version) wireVersion {
	w := wireVersion{
		Version: v.Number, CommitID: v.CommitID, CommitEpoch: v.CommitEpoch,
		By: toHolder(v.By.WithoutProcess()), SavedAt: toMicros(v.SavedAt),
		Cursor: v.Cursor, Processed: v.Processed, Failed: v.Failed, LastError: readable(v.LastError),
		Identity: v.Identity, Schema: v.Schema,
		Ended: string(v.Ended), Deleted: v.Deleted, RestoredFrom: v.RestoredFrom, Reason: readable(v.Reason),
		Born: v.Born, ArchivedThrough: v.ArchivedThrough,
	}
	for _, r := range v.Finished {
		w.Finished = append(w.Finished, r.First, r.Last)
	}
	if len(v.Starts) > 0 {
		w.Starts = v.Starts
	}
	if s := v.State; s != nil {
		w.State, w.Body = s.Data, s.Body
		if w.State == nil && w.Body == "" {
			w.State = []byte{}
		}
		w.ContentType, w.Encoding, w.Size, w.SHA256 = s.ContentType, s.Encoding, s.Size, s.SHA256
	}
	return w
}

func (w *wireVersion) version() (store.Version, error) {
	v := store.Version{
		Number: w.Version, CommitID: w.CommitID, CommitEpoch: w.CommitEpoch,
		By: w.By.holder(), SavedAt: fromMicros(w.SavedAt),
		Content: store.Content{
			Cursor: w.Cursor, Processed: w.Processed, Failed: w.Failed, Identity: w.Identity, Schema: w.Schema,
		},
		LastError: w.LastError,
		Ended:     store.Ended(w.Ended), Deleted: w.Deleted, RestoredFrom: w.RestoredFrom, Reason: w.Reason,
		Born: w.Born, Starts: w.Starts, ArchivedThrough: w.ArchivedThrough,
	}
	if len(w.Finished)%2 != 0 {
		return v, fmt.Errorf("attribute fin has %d ends of ranges", len(w.Finished))
	}
	for i := 0; i < len(w.Finished); i += 2 {
		v.Finished = append(v.Finished, store.Range{First: w.Finished[i], Last: w.Finished[i+1]})
	}
	switch {
	case w.State != nil && w.Body != "":
		return v, errors.New("attributes state and body exclude each other")
	case w.State != nil || w.Body != "":
		v.State = &store.State{Data: w.State, Body: w.Body, ContentType: w.ContentType, Encoding: w.Encoding, Size: w.Size, SHA256: w.SHA256}
	case w.ContentType != "" || w.Encoding != "" || w.Size != 0 || w.SHA256 != nil:
		return v, errors.New("attribute state is missing, though others describe it")
	}
	return v, nil
}

func toLease(key store.Key, l store.Lease) wireLease {
	w := wireLease{
		wireKey: keyOf(key, store.RecordLease),
		Epoch:   l.Epoch, LeaseID: l.LeaseID, Beat: l.Beat, Status: string(l.Status),
		DurationMS: l.Duration.Milliseconds(), Holder: toHolder(l.Holder),
		UntilMS:    toMillis(l.Until.Wall),
		AcquiredAt: toMicros(l.AcquiredAt), RenewedAt: toMicros(l.RenewedAt),
		Reason: readable(l.Reason), Version: l.Version,
	}
	if l.Wanted != nil {
		w.WantedBy, w.WantedN = l.Wanted.By, l.Wanted.Count
	}
	return w
}

func (w *wireLease) lease() (store.Lease, error) {
	duration, err := fromMillis("duration_ms", w.DurationMS)
	if err != nil {
		return store.Lease{}, err
	}
	l := store.Lease{
		Epoch: w.Epoch, LeaseID: w.LeaseID, Beat: w.Beat, Status: store.Status(w.Status),
		Duration: duration, Holder: w.Holder.holder(),
		AcquiredAt: fromMicros(w.AcquiredAt), RenewedAt: fromMicros(w.RenewedAt),
		Reason: w.Reason, Version: w.Version,
	}
	if w.UntilMS != 0 {
		l.Until.Wall = time.UnixMilli(w.UntilMS).UTC()
	}
	if w.WantedBy != "" || w.WantedN != 0 {
		l.Wanted = &store.Wanted{By: w.WantedBy, Count: w.WantedN}
	}
	return l, l.Validate()
}

func toExpect(key store.Key, e store.Expectation) wireExpect {
	return wireExpect{
		wireKey: keyOf(key, store.RecordExpect), NS: key.Namespace, Name: key.Name,
		EveryMS: e.Every.Milliseconds(), GraceMS: e.Grace.Milliseconds(),
		SetBy: e.SetBy, SetAt: toMicros(e.SetAt),
	}
}

func (w *wireExpect) expectation() (store.Expectation, error) {
	every, err := fromMillis("every_ms", w.EveryMS)
	if err != nil {
		return store.Expectation{}, err
	}
	grace, err := fromMillis("grace_ms", w.GraceMS)
	return store.Expectation{Every: every, Grace: grace, SetBy: w.SetBy, SetAt: fromMicros(w.SetAt)}, err
}

// readable makes valid UTF-8 of a text that is for people. Any other text that is not valid UTF-8
// is refused, since the service would not return it as it was.
func readable(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func toMicros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

func toMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(name string, ms int64) (time.Duration, error) {
	if ms < 0 || ms > math.MaxInt64/int64(time.Millisecond) {
		return 0, fmt.Errorf("attribute %s is %d", name, ms)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

func toSeconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func fromSeconds(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}
