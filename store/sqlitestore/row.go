package sqlitestore

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/milepost-dev/milepost/store"
)

// row is one row as read. Each field is taken out of it by name, with the type that it must have.
// If a field cannot be taken, err has the first error. A field that is left at the end is one that
// this release does not know.
type row struct {
	fields map[string]any
	err    error
}

func newRow(columns []string, values []any) *row {
	r := &row{fields: make(map[string]any, len(columns))}
	for i, column := range columns {
		r.fields[column] = values[i]
	}
	return r
}

func (r *row) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func taken[T any](r *row, name string) (value T) {
	found, ok := r.fields[name]
	delete(r.fields, name)
	if value, is := found.(T); is {
		return value
	}
	switch {
	case !ok || found == nil:
		r.fail("%s is missing", name)
	default:
		r.fail("%s is of the wrong type (%T)", name, found)
	}
	return value
}

// null takes a field that holds NULL, and reports whether it does.
func (r *row) null(name string) bool {
	if found, ok := r.fields[name]; !ok || found != nil {
		return false
	}
	delete(r.fields, name)
	return true
}

func (r *row) int(name string) int64    { return taken[int64](r, name) }
func (r *row) text(name string) string  { return taken[string](r, name) }
func (r *row) bytes(name string) []byte { return notNil(taken[[]byte](r, name)) }

func (r *row) bool(name string) bool {
	n := r.int(name)
	if n != 0 && n != 1 {
		r.fail("%s is %d", name, n)
	}
	return n == 1
}

func (r *row) time(name string) time.Time {
	if r.null(name) {
		return time.Time{}
	}
	return time.UnixMicro(r.int(name)).UTC()
}

func (r *row) duration(name string, unit time.Duration) time.Duration {
	n := r.int(name)
	if most := math.MaxInt64 / int64(unit); n > most || n < -most {
		r.fail("%s is %d", name, n)
		return 0
	}
	return time.Duration(n) * unit
}

func (r *row) json(name string, target any) {
	text := r.text(name)
	if text == "" {
		return
	}
	if err := json.Unmarshal([]byte(text), target); err != nil {
		r.fail("%s: %w", name, err)
	}
}

// key takes the fields that each record begins with. In a format that this release does not know,
// no other field is known.
func (r *row) key() {
	_, _ = r.text("ns"), r.text("name")
	switch format := r.int("fmt"); {
	case r.err != nil:
	case format > store.Format:
		r.fail("fmt is %d: %w", format, store.ErrNewerFormat)
	case format < 1:
		r.fail("fmt is %d", format)
	}
}

// done returns a [store.BadRecordError] if something is wrong with the row, or with the record that
// was made of it.
func (r *row) done(key store.Key, record string, validate func() error) error {
	for name, value := range r.fields {
		if value != nil {
			r.fail("it has a field that this release does not know: %s", name)
		}
	}
	if r.err == nil {
		r.err = validate()
	}
	if r.err != nil {
		return &store.BadRecordError{Key: key, Record: record, Err: r.err}
	}
	return nil
}

func (r *row) holder(prefix string) store.Holder {
	return store.Holder{
		ID: r.text(prefix + "_id"), Host: r.text(prefix + "_host"),
		PID: int(r.int(prefix + "_pid")), RunID: r.text(prefix + "_run"),
	}
}

func holderValues(h store.Holder) []any { return []any{h.ID, h.Host, h.PID, h.RunID} }

// versionColumns are the content of a version, in HEAD and in its copy, in the
// order of versionValues.
var versionColumns = []string{
	"version", "commit_id", "commit_epoch", "by_id", "by_host", "by_pid", "by_run", "saved_at",
	"cursor", "finished", "processed", "failed", "last_error", "identity", "schema",
	"ended", "deleted", "restored_from", "reason", "born", "starts", "archived_through",
	"state_type", "state_encoding", "state_size", "state_sha256", "state_body", "state",
}

func versionValues(v *store.Version) ([]any, error) {
	finished, err := finishedText(v.Finished)
	if err != nil {
		return nil, err
	}
	starts, err := jsonText(v.Starts, len(v.Starts))
	if err != nil {
		return nil, err
	}
	values := make([]any, 0, len(versionColumns))
	values = append(values, v.Number, v.CommitID, v.CommitEpoch)
	values = append(values, holderValues(v.By)...)
	values = append(values, micros(v.SavedAt), v.Cursor, finished, v.Processed, v.Failed, v.LastError, v.Identity, v.Schema,
		string(v.Ended), v.Deleted, v.RestoredFrom, v.Reason, v.Born, starts, v.ArchivedThrough)
	switch s := v.State; {
	case s == nil:
		return append(values, nil, nil, nil, nil, nil, nil), nil
	case s.Body != "":
		return append(values, s.ContentType, s.Encoding, s.Size, notNil(s.SHA256), s.Body, nil), nil
	default:
		return append(values, s.ContentType, s.Encoding, s.Size, notNil(s.SHA256), "", notNil(s.Data)), nil
	}
}

func (r *row) version() store.Version {
	v := store.Version{
		Number: r.int("version"), CommitID: r.text("commit_id"), CommitEpoch: r.int("commit_epoch"),
		By: r.holder("by"), SavedAt: r.time("saved_at"),
		Content: store.Content{
			Cursor: r.text("cursor"), Processed: r.int("processed"), Failed: r.int("failed"), State: r.state(),
			Identity: r.text("identity"), Schema: r.int("schema"),
		},
		LastError: r.text("last_error"),
		Ended:     store.Ended(r.text("ended")), Deleted: r.bool("deleted"), RestoredFrom: r.int("restored_from"), Reason: r.text("reason"),
		Born: r.int("born"), ArchivedThrough: r.int("archived_through"),
	}
	r.json("starts", &v.Starts)
	var finished [][]string
	r.json("finished", &finished)
	for _, f := range finished {
		if len(f) != 2 {
			r.fail("finished: a range has %d ends", len(f))
			break
		}
		v.Finished = append(v.Finished, store.Range{First: f[0], Last: f[1]})
	}
	return v
}

func (r *row) state() *store.State {
	if r.null("state_sha256") {
		for _, name := range []string{"state_type", "state_encoding", "state_size", "state_body", "state"} {
			if !r.null(name) {
				r.fail("%s is there, and state_sha256 is not", name)
			}
		}
		return nil
	}
	s := &store.State{
		ContentType: r.text("state_type"), Encoding: r.text("state_encoding"), Size: r.int("state_size"),
		SHA256: r.bytes("state_sha256"), Body: r.text("state_body"),
	}
	if s.Body == "" || !r.null("state") {
		s.Data = r.bytes("state")
		if s.Body != "" {
			r.fail("state_body is there, and state too")
		}
	}
	return s
}

func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// notNil makes an empty blob of nil, which is NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func finishedText(ranges []store.Range) (string, error) {
	pairs := make([][]string, len(ranges))
	for i, f := range ranges {
		pairs[i] = []string{f.First, f.Last}
		if !utf8.ValidString(f.First) || !utf8.ValidString(f.Last) {
			return "", fmt.Errorf("the finished range %q to %q is not valid UTF-8", f.First, f.Last)
		}
	}
	return jsonText(pairs, len(pairs))
}

func jsonText(list any, length int) (string, error) {
	if length == 0 {
		return "", nil
	}
	text, err := json.Marshal(list)
	return string(text), err
}
