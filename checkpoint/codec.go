package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// Codec turns a job's state into bytes and back. Encryption by the job is a codec.
type Codec interface {
	// ContentType is saved with the state. A session refuses a state of another content type.
	ContentType() string
	// Marshal encodes v, the state itself. It is called under the session's lock.
	Marshal(v any) ([]byte, error)
	// Unmarshal decodes data, which it must not keep, into v, a pointer to the state.
	Unmarshal(data []byte, v any) error
}

// JSON is the default codec. It keeps numbers exactly: an any decodes them as [json.Number]. It
// keeps a [json.RawMessage] byte for byte.
var JSON Codec = jsonCodec{}

// Bytes is the codec of a state that is a []byte, which it keeps as it is.
var Bytes Codec = bytesCodec{}

const jsonType = "application/json"

type jsonCodec struct{}

func (jsonCodec) ContentType() string { return jsonType }

func (jsonCodec) Marshal(v any) ([]byte, error) {
	raw, ok := v.(json.RawMessage)
	switch {
	case !ok || raw == nil:
		return json.Marshal(v)
	case !json.Valid(raw):
		return nil, errors.New("the json.RawMessage is not valid JSON")
	}
	return bytes.Clone(raw), nil // json.Marshal would compact it
}

func (jsonCodec) Unmarshal(data []byte, v any) error {
	if raw, ok := v.(*json.RawMessage); ok {
		if !json.Valid(data) {
			return errors.New("it is not valid JSON")
		}
		*raw = bytes.Clone(data)
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the JSON value")
	}
	return nil
}

type bytesCodec struct{}

func (bytesCodec) ContentType() string { return "application/octet-stream" }

func (bytesCodec) Marshal(v any) ([]byte, error) {
	data, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("checkpoint.Bytes takes a []byte, not a %T", v)
	}
	return bytes.Clone(data), nil
}

func (bytesCodec) Unmarshal(data []byte, v any) error {
	to, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("checkpoint.Bytes gives a []byte, not a %T", v)
	}
	*to = append([]byte{}, data...)
	return nil
}

// codecFor returns the codec of a state of type T.
func codecFor[T any](chosen Codec) Codec {
	if streams[T]() {
		return Bytes
	}
	if chosen != nil {
		return chosen
	}
	if _, ok := any(*new(T)).([]byte); ok {
		return Bytes
	}
	return JSON
}

// streams reports whether a session of T never holds its state in memory.
func streams[T any]() bool {
	_, ok := any(*new(T)).(StreamedState)
	return ok
}

// uses says what a session does with the state that it resumes from.
type uses int

const (
	loadsState   uses = iota // it is loaded, decoded and migrated
	streamsState             // the caller reads it as a stream
	hasNoState               // there must be none, unless Options.KeepState is set
)

// loading returns what a session of T does with the state that it resumes from.
func loading[T any]() uses {
	switch any(*new(T)).(type) {
	case StreamedState:
		return streamsState
	case struct{}:
		return hasNoState
	}
	return loadsState
}

// packed returns an encoded state as the store keeps it.
func packed(data []byte, contentType string) *store.State {
	s := archive.Pack(data)
	s.ContentType = storedType(contentType)
	return s
}

// storedType returns a content type as the store keeps it: "" for JSON.
func storedType(contentType string) string {
	if contentType == jsonType {
		return ""
	}
	return contentType
}
