package records

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const contentBuffer = 256 << 10

// openContent opens a file that is not a directory, and decompresses it if needed.
func openContent(path string) (*Input, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open input: %w", err)
	}
	in := &Input{path: path, file: file, size: -1}
	in.closeAll = func() { _ = file.Close() }

	info, err := file.Stat()
	switch {
	case err != nil:
		in.Close()
		return nil, fmt.Errorf("open input: %w", err)
	case info.IsDir():
		in.Close()
		return nil, fmt.Errorf("input %s is a directory: name a file, one checkpoint for each", path)
	case info.Mode().IsRegular():
		in.size = info.Size()
	}

	// The buffer is small, so that the count of bytes read shows how far into a compressed file the
	// reader is.
	stored := bufio.NewReaderSize(&countingReader{file, &in.stored}, 16<<10)
	magic, err := stored.Peek(8)
	if err != nil && !errors.Is(err, io.EOF) {
		in.Close()
		return nil, fmt.Errorf("read input %s: %w", path, err)
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(stored)
		if err != nil {
			in.Close()
			return nil, fmt.Errorf("input %s begins like gzip but is not valid gzip: %w", path, err)
		}
		in.content = bufio.NewReaderSize(z, contentBuffer)
	case isZstd(magic):
		z, err := zstd.NewReader(stored, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err != nil {
			in.Close()
			return nil, fmt.Errorf("input %s begins like zstd but is not valid zstd: %w", path, err)
		}
		in.closeAll = func() { z.Close(); _ = file.Close() }
		in.content = bufio.NewReaderSize(z, contentBuffer)
	default:
		if what := notRecords(magic); what != "" {
			in.Close()
			return nil, fmt.Errorf("input %s is %s: only plain text, gzip and zstd can be read; convert it first", path, what)
		}
		in.content, in.plain = bufio.NewReaderSize(stored, contentBuffer), in.size >= 0
	}
	return in, nil
}

func isZstd(magic []byte) bool {
	if len(magic) < 4 {
		return false
	}
	skippable := magic[0]&0xf0 == 0x50 && bytes.Equal(magic[1:4], []byte{0x2a, 0x4d, 0x18})
	return skippable || bytes.Equal(magic[:4], []byte{0x28, 0xb5, 0x2f, 0xfd})
}

// notRecords names the kinds of file whose bytes would otherwise be taken for lines.
func notRecords(magic []byte) string {
	for _, kind := range []struct{ magic, what string }{
		{"\xfd7zXZ\x00", "an xz file"},
		{"PK\x03\x04", "a zip file"},
		{"PAR1", "a Parquet file"},
		{"Obj\x01", "an Avro file"},
		{"\xff\xfe", "text in UTF-16"},
		{"\xfe\xff", "text in UTF-16"},
	} {
		if bytes.HasPrefix(magic, []byte(kind.magic)) {
			return kind.what
		}
	}
	if len(magic) >= 8 && bytes.HasPrefix(magic, []byte("BZh")) && bytes.Equal(magic[4:8], []byte{0x31, 0x41, 0x59, 0x26}) {
		return "a bzip2 file"
	}
	return ""
}

// countingReader counts what is read from the file itself.
type countingReader struct {
	r io.Reader
	n *atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}
