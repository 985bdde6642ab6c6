package archive

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/milepost-dev/milepost/store"
)

// zstdEncoding is the Encoding of a compressed state.
const zstdEncoding = "zstd"

// compressAbove is the most bytes of a state that are never compressed.
const compressAbove = 1024

// Both serve one-shot calls from any number of goroutines, and hold no goroutine. They are made
// when the program starts: a channel that they made inside the testing/synctest bubble of the first
// call could not be used from another bubble.
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

// Pack returns an encoded state as a record stores it, compressed where that makes it smaller. It
// sets no content type.
func Pack(data []byte) *store.State {
	s := &store.State{Data: data, Size: int64(len(data))}
	if len(data) > compressAbove {
		if smaller := compressor.EncodeAll(data, make([]byte, 0, len(data)/2)); len(smaller) < len(data) {
			s.Data, s.Encoding = smaller, zstdEncoding
		}
	}
	sum := sha256.Sum256(s.Data)
	s.SHA256 = sum[:]
	return s
}

// Unpack returns the state that a record holds, as it was before [Pack]. Data that does not match
// the record's sha256, size or encoding is an error.
func Unpack(s *store.State) (data []byte, err error) {
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

// decompress checks the size in the frame's header first, so that no record can make it allocate
// more bytes than the record says.
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
