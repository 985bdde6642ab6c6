package checkpoint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// Checkpoint is one committed version, for reading. Its JSON is stable, keeps numbers exactly, and
// reads back. If the content type is JSON, the state is included as JSON. Otherwise it is base64
// with a content_type.
type Checkpoint struct {
	store.Key

	// Version is what the commit wrote. Starts are left out. ArchivedThrough is that of the newest
	// version, and 0 for older ones. Version.State is nil unless the state lies in Body.
	store.Version

	Epoch int64 // the fence: HEAD's fence for the newest version, CommitEpoch for older ones

	State       []byte // as the codec encoded it; nil: none was saved, or it lies in Body and was not loaded
	ContentType string // of the state; "" if there is no state
	StateSize   int64  // bytes of the state, loaded or not
	StoredSize  int64  // bytes that the state takes in the store
	Body        string // the key in the archive of the object that holds the state; "": the store holds it

	Label     string    // of a savepoint; unknown for the newest version
	ExpiresAt time.Time // zero: it does not expire, or it is the newest version
	Archived  bool      // it was read from the archive: the store no longer has it
}

// Decode returns the state of cp, decoded by its content type ([JSON] or [Bytes]). For another
// codec, call its Unmarshal with cp.State. A checkpoint without state is the zero T. A state that
// was not loaded, as in a [Namespace.History], is an error that matches [ErrNotLoaded].
func Decode[T any](cp *Checkpoint) (T, error) {
	var v T
	if cp.State == nil {
		return v, cp.notLoaded("decode the state of")
	}
	codec := codecFor[T](nil)
	if codec.ContentType() != cp.ContentType {
		return v, fmt.Errorf("decode the state of %s, version %d: it is %s, and a %T takes %s",
			cp.Key, cp.Number, cp.ContentType, v, codec.ContentType())
	}
	if err := codec.Unmarshal(cp.State, &v); err != nil {
		return v, fmt.Errorf("decode the state of %s, version %d: %w", cp.Key, cp.Number, err)
	}
	return v, nil
}

// notLoaded returns an error that matches [ErrNotLoaded] if cp has a state that was not loaded.
func (cp *Checkpoint) notLoaded(doing string) error {
	switch {
	case cp.State != nil || cp.Body == "" && cp.StateSize == 0:
		return nil
	case cp.Body == "":
		return fmt.Errorf("%s %s, version %d: %w: what cp was read from leaves the state out; Namespace.Get loads it",
			doing, cp.Key, cp.Number, ErrNotLoaded)
	}
	return fmt.Errorf("%s %s, version %d: %w: it lies in the archive, in %s; Namespace.Get loads it with the archive if it has at most %d MiB, and Checkpoint.OpenState reads any",
		doing, cp.Key, cp.Number, ErrNotLoaded, cp.Body, maxGetState>>20)
}

// wire is the JSON of a [Checkpoint].
type wire struct {
	Namespace    string          `json:"namespace"`
	Name         string          `json:"name"`
	Version      int64           `json:"version"`
	Epoch        int64           `json:"epoch"`
	CommitEpoch  int64           `json:"commit_epoch"`
	CommitID     string          `json:"commit_id"`
	SavedAt      time.Time       `json:"saved_at"`
	SavedBy      *wireHolder     `json:"saved_by,omitempty"`
	Cursor       string          `json:"cursor"`
	Finished     []wireRange     `json:"finished,omitempty"`
	Processed    int64           `json:"processed"`
	Failed       int64           `json:"failed"`
	LastError    string          `json:"last_error"`
	State        json.RawMessage `json:"state"`
	ContentType  string          `json:"content_type,omitempty"`
	StateSize    int64           `json:"state_size,omitempty"`
	StoredSize   int64           `json:"stored_size,omitempty"`
	StateBody    string          `json:"state_body,omitempty"`
	Identity     string          `json:"identity,omitempty"`
	Schema       int64           `json:"schema,omitempty"`
	Ended        store.Ended     `json:"ended,omitempty"`
	RestoredFrom int64           `json:"restored_from,omitempty"`
	Reason       string          `json:"reason,omitempty"`
	Label        string          `json:"label,omitempty"`
	ExpiresAt    *time.Time      `json:"expires_at,omitempty"`
	Born         int64           `json:"born,omitempty"`
	Archived     bool            `json:"archived,omitempty"`
	Through      int64           `json:"archived_through,omitempty"`
}

type wireHolder struct {
	ID    string `json:"id"`
	Host  string `json:"host,omitempty"`
	PID   int    `json:"pid,omitempty"`
	RunID string `json:"run_id,omitempty"`
}

type wireRange struct {
	First string `json:"first"`
	Last  string `json:"last"`
}

// MarshalJSON implements [json.Marshaler].
func (cp Checkpoint) MarshalJSON() ([]byte, error) {
	w, err := cp.wire()
	if err != nil {
		return nil, err
	}
	return json.Marshal(w)
}

func (cp *Checkpoint) wire() (wire, error) {
	w := wire{
		Namespace: cp.Namespace, Name: cp.Name, Version: cp.Number,
		Epoch: cp.Epoch, CommitEpoch: cp.CommitEpoch, CommitID: cp.CommitID, SavedAt: cp.SavedAt,
		Cursor: cp.Cursor, Processed: cp.Processed, Failed: cp.Failed, LastError: cp.LastError,
		StateSize: max(cp.StateSize, int64(len(cp.State))), StoredSize: cp.StoredSize, StateBody: cp.Body, Identity: cp.Identity, Schema: cp.Schema,
		Ended: cp.Ended, RestoredFrom: cp.RestoredFrom, Reason: cp.Reason, Label: cp.Label, Born: cp.Born,
		Archived: cp.Archived, Through: cp.ArchivedThrough,
	}
	if cp.By != (store.Holder{}) {
		w.SavedBy = &wireHolder{ID: cp.By.ID, Host: cp.By.Host, PID: cp.By.PID, RunID: cp.By.RunID}
	}
	for _, r := range cp.Finished {
		w.Finished = append(w.Finished, wireRange(r))
	}
	if !cp.ExpiresAt.IsZero() {
		w.ExpiresAt = &cp.ExpiresAt
	}
	switch {
	case cp.State == nil:
		if cp.ContentType != jsonType {
			w.ContentType = cp.ContentType
		}
	case cp.ContentType == jsonType && json.Valid(cp.State):
		w.State = cp.State
	default:
		quoted, err := json.Marshal(cp.State)
		if err != nil {
			return w, err
		}
		w.State, w.ContentType = quoted, cp.ContentType
	}
	return w, nil
}

// UnmarshalJSON implements [json.Unmarshaler]. Fields it does not know are an error.
func (cp *Checkpoint) UnmarshalJSON(data []byte) error {
	var w wire
	if err := strict(data, &w); err != nil {
		return fmt.Errorf("checkpoint as JSON: %w", err)
	}
	return cp.unwire(&w)
}

func (cp *Checkpoint) unwire(w *wire) error {
	*cp = Checkpoint{
		Key: store.Key{Namespace: w.Namespace, Name: w.Name},
		Version: store.Version{
			Number: w.Version, CommitEpoch: w.CommitEpoch, CommitID: w.CommitID, SavedAt: w.SavedAt,
			Content: store.Content{
				Cursor: w.Cursor, Processed: w.Processed, Failed: w.Failed, Identity: w.Identity, Schema: w.Schema,
			},
			LastError: w.LastError, Ended: w.Ended, RestoredFrom: w.RestoredFrom, Reason: w.Reason, Born: w.Born,
			ArchivedThrough: w.Through,
		},
		Epoch: w.Epoch, StateSize: w.StateSize, StoredSize: w.StoredSize, Body: w.StateBody,
		Label: w.Label, Archived: w.Archived,
	}
	if h := w.SavedBy; h != nil {
		cp.By = store.Holder{ID: h.ID, Host: h.Host, PID: h.PID, RunID: h.RunID}
	}
	for _, r := range w.Finished {
		cp.Finished = append(cp.Finished, store.Range(r))
	}
	if w.ExpiresAt != nil {
		cp.ExpiresAt = *w.ExpiresAt
	}
	switch {
	case w.ContentType != "":
		cp.ContentType = w.ContentType
		if err := json.Unmarshal(w.State, &cp.State); err != nil {
			return fmt.Errorf("checkpoint as JSON: state of type %s: %w", w.ContentType, err)
		}
	case w.StateBody != "" && (len(w.State) == 0 || string(w.State) == "null"):
		cp.ContentType = jsonType
	case w.StateSize > 0 || len(w.State) > 0 && string(w.State) != "null":
		cp.State, cp.ContentType = w.State, jsonType
	}
	return nil
}

// view returns v as readers see it. A damaged state is a [store.BadRecordError].
func view(key store.Key, record string, v *store.Version) (*Checkpoint, error) {
	cp := &Checkpoint{Key: key, Version: *v, Epoch: v.CommitEpoch}
	cp.SavedAt = v.SavedAt.UTC()
	cp.Starts, cp.ArchivedThrough, cp.Version.State = nil, 0, nil
	if v.State == nil {
		return cp, nil
	}
	cp.StateSize, cp.ContentType = v.State.Size, v.State.ContentType
	if cp.ContentType == "" {
		cp.ContentType = jsonType
	}
	if cp.Body = v.State.Body; cp.Body != "" {
		cp.Version.State = v.State
		return cp, nil
	}
	data, err := archive.Unpack(v.State)
	if err != nil {
		return nil, &store.BadRecordError{Key: key, Record: record, Err: err}
	}
	if data == nil {
		data = []byte{} // an empty state is a state; nil means that there is none
	}
	cp.State, cp.StoredSize = data, int64(len(v.State.Data))
	return cp, nil
}

func viewHead(key store.Key, h *store.Head) (*Checkpoint, error) {
	cp, err := view(key, "HEAD", &h.Version)
	if err != nil {
		return nil, err
	}
	cp.Epoch, cp.ArchivedThrough = h.Fence.Epoch, h.Version.ArchivedThrough
	return cp, nil
}

func viewCopy(key store.Key, c *entry) (*Checkpoint, error) {
	cp, err := view(key, store.CopyRecord(c.Number), &c.Version)
	if err != nil {
		return nil, err
	}
	cp.Label, cp.ExpiresAt, cp.Archived = c.Label, c.ExpiresAt, c.archived
	return cp, nil
}

// strict decodes one JSON value and refuses fields that it does not know.
func strict(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode(v)
}
