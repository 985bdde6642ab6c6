package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/milepost-dev/milepost/store"
)

// Mirrored is the content of one object of the mirror: a committed version, as HEAD had it.
type Mirrored struct {
	Key store.Key
	store.Version
}

// ID returns which version it is.
func (m *Mirrored) ID() ID { return IDOf(&m.Version) }

// object is a [Mirrored] as JSON. A field that has its default is absent.
type object struct {
	Format       int64   `json:"fmt"`
	Namespace    string  `json:"namespace"`
	Name         string  `json:"name"`
	Version      int64   `json:"version"`
	CommitEpoch  int64   `json:"commit_epoch"`
	CommitID     string  `json:"commit_id"`
	By           holder  `json:"by"`
	SavedAt      string  `json:"saved_at"`
	Cursor       string  `json:"cursor"`
	Finished     []span  `json:"finished,omitempty"`
	Processed    int64   `json:"processed"`
	Failed       int64   `json:"failed"`
	LastError    string  `json:"last_error,omitempty"`
	Identity     string  `json:"identity,omitempty"`
	Schema       int64   `json:"schema,omitempty"`
	Ended        string  `json:"ended,omitempty"`
	Deleted      bool    `json:"deleted,omitempty"`
	RestoredFrom int64   `json:"restored_from,omitempty"`
	Reason       string  `json:"reason,omitempty"`
	Born         int64   `json:"born"`
	Starts       []int64 `json:"starts,omitempty"`

	// About the state, if there is one. Then exactly one of the last three fields is there.
	StateType     string          `json:"state_type,omitempty"`
	StateEncoding string          `json:"state_encoding,omitempty"`
	StateSize     int64           `json:"state_size,omitempty"`
	StateSHA256   string          `json:"state_sha256,omitempty"`
	StateBody     string          `json:"state_body,omitempty"`
	StateBase64   *[]byte         `json:"state_base64,omitempty"`
	State         json.RawMessage `json:"state,omitempty"`

	Sum string `json:"object_sha256,omitempty"`
}

type holder struct {
	ID    string `json:"id,omitempty"`
	Host  string `json:"host,omitempty"`
	PID   int    `json:"pid,omitempty"`
	RunID string `json:"run_id,omitempty"`
}

type span struct {
	First string `json:"first"`
	Last  string `json:"last"`
}

// Encode returns a version as an object of the mirror: readable JSON, whose last line is the sha256
// of all lines before it. A state that is JSON is in the object byte for byte. Any other state,
// such as a compressed one, is in base64. The error says what a mirror cannot hold: text that is
// not valid UTF-8, or a version that is not valid.
func Encode(m *Mirrored) ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("mirror version %d of checkpoint %s: %w", m.Number, m.Key, err)
	}
	o, err := wire(m)
	if err != nil {
		return fail(err)
	}
	var doc bytes.Buffer
	encoder := json.NewEncoder(&doc)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(o); err != nil {
		return fail(err)
	}
	doc.Truncate(doc.Len() - len("\n}\n"))
	if m.State != nil && o.StateBody == "" && o.StateBase64 == nil {
		doc.WriteString(",\n  \"state\": ")
		doc.Write(m.State.Data) // unchanged: the encoder would remove its blanks
	}
	doc.WriteString(",\n")
	seal(&doc)
	return doc.Bytes(), nil
}

// An object ends in sealHead, the sum, and sealTail.
const (
	sealHead = `  "object_sha256": "`
	sealTail = "\"\n}\n"
	sealSize = len(sealHead) + 2*sha256.Size + len(sealTail)
)

func seal(doc *bytes.Buffer) {
	sum := sha256.Sum256(doc.Bytes())
	doc.WriteString(sealHead + hex.EncodeToString(sum[:]) + sealTail)
}

func checkSeal(data []byte) error {
	n := len(data) - sealSize
	if n < 0 {
		return errors.New("it is cut short")
	}
	sum := sha256.Sum256(data[:n])
	if string(data[n:]) != sealHead+hex.EncodeToString(sum[:])+sealTail {
		return errors.New("object_sha256 is not the hash of the content")
	}
	return nil
}

func wire(m *Mirrored) (*object, error) {
	v := &m.Version
	if err := errors.Join(m.Key.Validate(), v.Validate(), ValidateCommitID(v.CommitID)); err != nil {
		return nil, err
	}
	o := &object{
		Format: store.Format, Namespace: m.Key.Namespace, Name: m.Key.Name,
		Version: v.Number, CommitEpoch: v.CommitEpoch, CommitID: v.CommitID,
		By:      holder{ID: v.By.ID, Host: v.By.Host, PID: v.By.PID, RunID: v.By.RunID},
		SavedAt: v.SavedAt.UTC().Format(time.RFC3339Nano),
		Cursor:  v.Cursor, Processed: v.Processed, Failed: v.Failed, LastError: v.LastError,
		Identity: v.Identity, Schema: v.Schema,
		Ended: string(v.Ended), Deleted: v.Deleted, RestoredFrom: v.RestoredFrom, Reason: v.Reason,
		Born: v.Born, Starts: v.Starts,
	}
	texts := []string{o.By.ID, o.By.Host, o.By.RunID, o.Cursor, o.LastError, o.Identity, o.Ended, o.Reason}
	for _, r := range v.Finished {
		o.Finished = append(o.Finished, span(r))
		texts = append(texts, r.First, r.Last)
	}
	if s := v.State; s != nil {
		texts = append(texts, s.ContentType, s.Encoding, s.Body)
		o.StateType, o.StateEncoding, o.StateSize = s.ContentType, s.Encoding, s.Size
		o.StateSHA256 = hex.EncodeToString(s.SHA256)
		if err := wireContent(o, s); err != nil {
			return nil, err
		}
	}
	for _, text := range texts {
		if !utf8.ValidString(text) {
			return nil, fmt.Errorf("%.80q is not valid UTF-8", text)
		}
	}
	return o, nil
}

// wireContent says where the state is: in a body, in this object in base64, or, if neither field is
// set, in this object as JSON.
func wireContent(o *object, s *store.State) error {
	if s.Body != "" {
		o.StateBody = s.Body
		return nil
	}
	if sum := sha256.Sum256(s.Data); !bytes.Equal(sum[:], s.SHA256) {
		return errors.New("the state's sha256 is not the hash of its data")
	}
	if !inlineJSON(s.Data) {
		o.StateBase64 = &s.Data
		if s.Data == nil {
			o.StateBase64 = &[]byte{}
		}
	}
	return nil
}

// inlineJSON reports whether data can be a value in a document and be read from it again byte for
// byte.
func inlineJSON(data []byte) bool {
	const deepest = 1000 // encoding/json reads 10,000 levels, other readers fewer
	depth := 0
	for _, c := range data { // it also counts brackets within strings, which is safe
		switch c {
		case '{', '[':
			if depth++; depth > deepest {
				return false
			}
		case '}', ']':
			depth = max(0, depth-1)
		}
	}
	return utf8.Valid(data) && json.Valid(data) && len(bytes.TrimSpace(data)) == len(data)
}

// Decode reads an object of the mirror. An object that is damaged or was changed, or that has an
// unknown field or one of a wrong type, is store.ErrBadRecord. An object of a later release is
// store.ErrNewerFormat. name is the object's key, used in errors only.
func Decode(name string, data []byte) (*Mirrored, error) {
	o, err := parse(data)
	if err == nil {
		var m *Mirrored
		if m, err = unwire(o); err == nil {
			return m, nil
		}
	}
	if errors.Is(err, store.ErrNewerFormat) {
		return nil, fmt.Errorf("archive object %s: %w", name, err)
	}
	key, _, _ := splitKey(name, versions)
	return nil, &store.BadRecordError{Key: key, Record: name, Err: err}
}

func parse(data []byte) (*object, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, errors.Join(err, checkSeal(data))
	}
	var format int64
	if err := json.Unmarshal(fields["fmt"], &format); err != nil {
		return nil, fmt.Errorf("fmt: %w", err)
	}
	if format > store.Format {
		return nil, fmt.Errorf("%w: it is of format %d, and this release knows %d",
			store.ErrNewerFormat, format, store.Format)
	}
	if format != store.Format {
		return nil, fmt.Errorf("fmt is %d", format)
	}
	if err := checkSeal(data); err != nil {
		return nil, err
	}
	for name := range fields { // encoding/json takes a name in any case
		if !known[name] {
			return nil, fmt.Errorf("field %q is unknown", name)
		}
	}
	var o object
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&o); err != nil {
		return nil, err
	}
	o.State = fields["state"] // unlike the decoder, this tells null from absent
	return &o, nil
}

// known has the names of an object's fields.
var known = func() map[string]bool {
	names := map[string]bool{}
	for i := range reflect.TypeFor[object]().NumField() {
		name, _, _ := strings.Cut(reflect.TypeFor[object]().Field(i).Tag.Get("json"), ",")
		names[name] = true
	}
	return names
}()

func unwire(o *object) (*Mirrored, error) {
	m := &Mirrored{Key: store.Key{Namespace: o.Namespace, Name: o.Name}}
	m.Version = store.Version{
		Number: o.Version, CommitID: o.CommitID, CommitEpoch: o.CommitEpoch,
		By: store.Holder{ID: o.By.ID, Host: o.By.Host, PID: o.By.PID, RunID: o.By.RunID},
		Content: store.Content{
			Cursor: o.Cursor, Processed: o.Processed, Failed: o.Failed, Identity: o.Identity, Schema: o.Schema,
		},
		LastError: o.LastError,
		Ended:     store.Ended(o.Ended), Deleted: o.Deleted, RestoredFrom: o.RestoredFrom, Reason: o.Reason,
		Born: o.Born, Starts: o.Starts,
	}
	for _, r := range o.Finished {
		m.Finished = append(m.Finished, store.Range(r))
	}
	savedAt, err := time.Parse(time.RFC3339Nano, o.SavedAt)
	if err != nil {
		return nil, fmt.Errorf("saved_at: %w", err)
	}
	m.SavedAt = savedAt.UTC()
	if m.State, err = unwireState(o); err != nil {
		return nil, err
	}
	return m, errors.Join(m.Key.Validate(), m.Version.Validate(), ValidateCommitID(m.CommitID))
}

func unwireState(o *object) (*store.State, error) {
	places := 0
	for _, is := range []bool{o.StateBody != "", o.StateBase64 != nil, o.State != nil} {
		if is {
			places++
		}
	}
	if o.StateSHA256 == "" {
		if places > 0 || o.StateType != "" || o.StateEncoding != "" || o.StateSize != 0 {
			return nil, errors.New("state_sha256 is missing")
		}
		return nil, nil
	}
	if places != 1 {
		return nil, fmt.Errorf("of state, state_base64 and state_body there are %d, not one", places)
	}
	sum, err := hex.DecodeString(o.StateSHA256)
	if err != nil {
		return nil, fmt.Errorf("state_sha256: %w", err)
	}
	s := &store.State{
		Body: o.StateBody, ContentType: o.StateType, Encoding: o.StateEncoding, Size: o.StateSize, SHA256: sum,
	}
	if s.Size < 0 {
		return nil, fmt.Errorf("state_size is %d", s.Size)
	}
	if o.StateBody != "" {
		return s, nil
	}
	s.Data = o.State
	if o.StateBase64 != nil {
		s.Data = *o.StateBase64
	}
	if got := sha256.Sum256(s.Data); !bytes.Equal(got[:], sum) {
		return nil, errors.New("state_sha256 is not the hash of the state")
	}
	return s, nil
}
