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

// maxFields is the most fields of a request; open has the most, and fewer.
const maxFields = 32

// fields are the members of one JSON object, a request. They are taken by name and type; an
// error is kept, and [fields.end] returns the first. A mark is one of 200,000 a second, and
// encoding/json takes as long for it as all else together; it also takes a name in any case, a name
// given twice, and half a surrogate pair.
type fields struct {
	all   []field // valid until the line is
	taken uint64  // which of them, by bit
	err   error
}

type field struct{ name, value []byte }

// scan finds the members of the object on the line. What their values hold is looked at when they are taken.
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
			return fmt.Errorf("field %q is there twice", name)
		}
	}
	if len(f.all) == maxFields {
		return fmt.Errorf("the request has more than %d fields", maxFields)
	}
	f.all = append(f.all, field{name, value})
	return nil
}

// take returns the raw value of a field, nil if it is not there.
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

// end returns the first error; a field that was not taken is one.
func (f *fields) end() error {
	for i := range f.all {
		if f.taken&(1<<i) == 0 {
			f.fail("unknown field %q", f.all[i].name)
		}
	}
	return f.err
}

// has reports whether the field is there. It does not take it.
func (f *fields) has(name string) bool {
	for i := range f.all {
		if string(f.all[i].name) == name {
			return true
		}
	}
	return false
}

// text takes a string, "" if it is not there.
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

// required is text for a field that has to be there.
func (f *fields) required(name string) string {
	if !f.has(name) {
		f.fail("field %q is missing", name)
	}
	return f.text(name)
}

// choice takes one of some strings; the first is the default.
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
	f.fail("field %q: %q is none of %q", name, text, of)
	return 0
}

// flag takes a boolean, false if it is not there.
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

// whole takes an integer in that range, and absent if it is not there.
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

// count takes a number of records, 0 if it is not there.
func (f *fields) count(name string) int64 { return f.whole(name, 0, 0, math.MaxInt64) }

// millis takes a duration; absent says what it is if it is not there.
func (f *fields) millis(name string, absent time.Duration) time.Duration {
	n := f.whole(name, -1, 0, math.MaxInt64/int64(time.Millisecond))
	if n < 0 {
		return absent
	}
	return time.Duration(n) * time.Millisecond
}

// time takes a time, the zero one if it is not there.
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

// id takes the bytes of an id as they are; nil if there is none.
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

// integer reads an integer as JSON writes it, without sign.
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
