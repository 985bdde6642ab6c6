package agent

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"
)

// maxFields is the most fields that a request may have. No method has as many.
const maxFields = 32

// fields are the members of one JSON object, a request. They are taken by name and type. The first
// error is kept, and [fields.end] returns it. The agent does not use encoding/json: up to 200,000
// marks arrive each second, and decoding would take as long as everything else together.
// encoding/json also accepts a name in any case, a name given twice, and half a surrogate pair.
type fields struct {
	all   []field // valid as long as the line
	taken uint64  // a bit for each field that was taken
	err   error
}

type field struct{ name, value []byte }

// scan finds the members of the object on the line. Values are checked when they are taken.
func (f *fields) scan(line []byte) error {
	f.all, f.taken, f.err = f.all[:0], 0, nil
	if !utf8.Valid(line) {
		return errors.New("the line is not valid UTF-8")
	}
	s := scanner{line: line}
	if !s.next('{') {
		return s.wrong("a JSON object")
	}
	if !s.next('}') {
		for {
			name, err := s.string()
			if err != nil {
				return err
			}
			if !s.next(':') {
				return s.wrong("a colon")
			}
			value, err := s.value()
			if err != nil {
				return err
			}
			if err := f.add(name, value); err != nil {
				return err
			}
			if s.next('}') {
				break
			}
			if !s.next(',') {
				return s.wrong("a comma, or the object's end")
			}
		}
	}
	if s.space(); s.at < len(line) {
		return s.wrong("the line's end")
	}
	return nil
}

func (f *fields) add(quoted, value []byte) error {
	name := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(name, '\\') >= 0 {
		text, err := unquote(quoted)
		if err != nil {
			return err
		}
		name = []byte(text)
	}
	for i := range f.all {
		if bytes.Equal(f.all[i].name, name) {
			return fmt.Errorf("field %q is given twice", name)
		}
	}
	if len(f.all) == maxFields {
		return fmt.Errorf("the request has more than %d fields", maxFields)
	}
	f.all = append(f.all, field{name, value})
	return nil
}

// take returns the raw value of a field, or nil if there is no such field.
func (f *fields) take(name string) []byte {
	for i := range f.all {
		if string(f.all[i].name) == name {
			f.taken |= 1 << i
			return f.all[i].value
		}
	}
	return nil
}

func (f *fields) fail(format string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf(format, args...)
	}
}

// end returns the first error. A field that was not taken is an error.
func (f *fields) end() error {
	for i := range f.all {
		if f.taken&(1<<i) == 0 {
			f.fail("unknown field %q", f.all[i].name)
		}
	}
	return f.err
}

// has reports whether there is such a field. It does not take the field.
func (f *fields) has(name string) bool {
	for i := range f.all {
		if string(f.all[i].name) == name {
			return true
		}
	}
	return false
}

// text takes a string, "" if there is no such field.
func (f *fields) text(name string) string {
	raw := f.take(name)
	if raw == nil {
		return ""
	}
	text, err := unquote(raw)
	if err != nil {
		f.fail("field %q: %w", name, err)
	}
	return text
}

// required is text for a field that must be there.
func (f *fields) required(name string) string {
	if !f.has(name) {
		f.fail("field %q is missing", name)
	}
	return f.text(name)
}

// choice takes a string that is one of several, and returns its index. The first is the default.
func (f *fields) choice(name string, of ...string) int {
	if !f.has(name) {
		return 0
	}
	text := f.text(name)
	for i, one := range of {
		if text == one && one != "" {
			return i
		}
	}
	f.fail("field %q: %q is not one of %q", name, text, of)
	return 0
}

// flag takes a boolean, false if there is no such field.
func (f *fields) flag(name string) bool {
	switch raw := f.take(name); string(raw) {
	case "true":
		return true
	case "false", "":
	default:
		f.fail("field %q: true or false is wanted", name)
	}
	return false
}

// whole takes an integer in that range, and absent if there is no such field.
func (f *fields) whole(name string, absent, least, most int64) int64 {
	raw := f.take(name)
	if raw == nil {
		return absent
	}
	n, ok := integer(raw)
	if !ok || n < least || n > most {
		f.fail("field %q: an integer from %d to %d is wanted", name, least, most)
	}
	return n
}

// count takes a number of records, 0 if there is no such field.
func (f *fields) count(name string) int64 { return f.whole(name, 0, 0, math.MaxInt64) }

// millis takes a duration, and absent if there is no such field.
func (f *fields) millis(name string, absent time.Duration) time.Duration {
	n := f.whole(name, -1, 0, math.MaxInt64/int64(time.Millisecond))
	if n < 0 {
		return absent
	}
	return time.Duration(n) * time.Millisecond
}

// time takes a time, the zero time if there is no such field.
func (f *fields) time(name string) time.Time {
	if !f.has(name) {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, f.text(name))
	if err != nil {
		f.fail("field %q: a time such as 2026-11-24T02:00:00Z is wanted", name)
	}
	return t
}

// state takes the bytes of a state; nil if there is none.
func (f *fields) state() json.RawMessage {
	raw, coded := f.take("state"), f.has("state_base64")
	switch {
	case raw != nil && coded:
		f.fail("state and state_base64 exclude each other")
		return nil
	case raw != nil:
		raw = bytes.Clone(raw)
	case coded:
		var err error
		if raw, err = base64.StdEncoding.DecodeString(f.text("state_base64")); err != nil {
			f.fail("field \"state_base64\": %w", err)
		}
	default:
		return nil
	}
	if !json.Valid(raw) {
		f.fail("the state is not valid JSON")
	}
	return raw
}

// id takes the bytes of an id unchanged; nil if there is none.
func (f *fields) id(name string) []byte {
	raw := f.take(name)
	if raw == nil {
		return nil
	}
	if raw[0] == '"' {
		if text, err := unquote(raw); err == nil && len(text) <= 64 {
			return raw
		}
	} else if n, ok := integer(raw); ok && n < 1<<53 {
		return raw
	}
	f.fail("field %q: an integer from 0 to 2^53-1, or a string of at most 64 bytes is wanted", name)
	return nil
}

// integer reads an integer without sign, as JSON writes it.
func integer(raw []byte) (int64, bool) {
	if len(raw) == 0 || len(raw) > 19 || raw[0] == '0' && len(raw) > 1 {
		return 0, false
	}
	var n uint64
	for _, c := range raw {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + uint64(c-'0')
	}
	return int64(n), n <= math.MaxInt64
}
