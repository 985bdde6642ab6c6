package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/milepost-dev/milepost/store"
)

// Codec turns a job's state into bytes and back. Encryption on the client's side is a codec.
type Codec interface {
	// ContentType is saved with the state; a state of another one is refused.
	ContentType() string
	// Marshal encodes v, the state itself. It is called under the session's lock.
	Marshal(v any) ([]byte, error)
	// Unmarshal decodes data, which it must not keep, into v, a pointer to the state.
	Unmarshal(data []byte, v any) error
}

// JSON is the default codec. Numbers survive exactly: an any decodes them as
// [json.Number]. A [json.RawMessage] is kept byte for byte.
var JSON Codec = jsonCodec{}

// Bytes is the codec of a state that is a []byte: it is kept as it is.
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

// codecFor is the codec of a state of type T.
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
	_, ok := any(*new(T)).(Stream)
	return ok
}

// compressAbove is the size below which compression is not tried.
const compressAbove = 1024

const zstdEncoding = "zstd"

// Both are made for one-shot use from any number of goroutines, and hold no goroutine. They are made with the program: a
// channel that they made in the testing/synctest bubble of the first use could not be used from another.
var (
	compressor   = newCompressor()
	decompressor = newDecompressor()
)

func newCompressor() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(2))
	if err != nil {
		panic(err) // the options are constants
	}
	e.EncodeAll([]byte{0}, nil) // makes what it makes once
	return e
}

func newDecompressor() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0))
	if err != nil {
		panic(err) // the options are constants
	}
	return d
}

// packed is encoded state as it is stored: compressed where that makes it smaller.
func packed(data []byte, contentType string) *store.State {
	s := &store.State{Data: data, ContentType: contentType, Size: int64(len(data))}
	if contentType == jsonType {
		s.ContentType = ""
	}
	if len(data) > compressAbove {
		if smaller := compressor.EncodeAll(data, make([]byte, 0, len(data)/2)); len(smaller) < len(data) {
			s.Data, s.Encoding = smaller, zstdEncoding
		}
	}
	sum := sha256.Sum256(s.Data)
	s.SHA256 = sum[:]
	return s
}

// unpacked is the reverse of packed. What it cannot trust is an error.
func unpacked(s *store.State) (data []byte, err error) {
	if sum := sha256.Sum256(s.Data); !bytes.Equal(sum[:], s.SHA256) {
		return nil, fmt.Errorf("the state's sha256 is %x, and the record says %x", sum, s.SHA256)
	}
	switch s.Encoding {
	case "":
		data = s.Data
	case zstdEncoding:
		if data, err = decompress(s); err != nil {
			return nil, fmt.Errorf("the state does not decompress: %w", err)
		}
	default:
		return nil, fmt.Errorf("the state's encoding is %q, which this release does not know", s.Encoding)
	}
	if int64(len(data)) != s.Size {
		return nil, fmt.Errorf("the state has %d bytes, and the record says %d", len(data), s.Size)
	}
	return data, nil
}

// decompress looks at the frame's own size first, so that no record can make it
// allocate more than it says it holds.
func decompress(s *store.State) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(s.Data); err != nil {
		return nil, err
	}
	if !h.HasFCS || h.FrameContentSize != uint64(s.Size) {
		return nil, fmt.Errorf("the frame holds %d bytes, and the record says %d", h.FrameContentSize, s.Size)
	}
	return decompressor.DecodeAll(s.Data, make([]byte, 0, s.Size))
}
