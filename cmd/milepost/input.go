package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Record formats, as a job's identity has them.
const (
	lines = "lines"
	csv   = "csv"
)

// input is a file of records, read once and in order.
type input struct {
	path string

	file     *os.File
	size     int64 // of the file as stored; -1 where it has none, as a pipe
	stored   atomic.Int64
	content  *bufio.Reader // decompressed
	plain    bool          // the content is the file, so that one can seek in it
	closeAll func()

	buf       []byte // of the batch in hand
	header    []byte // CSV: repeated before each batch
	delimiter byte   // 0: records are lines

	at    position
	print fingerprint
}

// batch is some records of an input, in order.
type batch struct {
	data        []byte // what the command reads; valid until the next batch is read
	first, last int64  // record numbers, from 1
	after       position
	final       bool // nothing follows in the input
}

// openInput opens path and reads as far as the header. Whether it is compressed is
// told by its first bytes, not by its name.
func openInput(path, format string) (*input, error) {
	in, err := openContent(path)
	if err != nil {
		return nil, err
	}
	in.at = position{Input: path}
	if format == csv {
		in.header, err = appendRecord(nil, in.content, ',')
		if err != nil && !errors.Is(err, io.EOF) {
			in.close()
			return nil, fmt.Errorf("read the header of %s: %w", path, err)
		}
		in.delimiter = csvDelimiter(in.header)
	}
	return in, nil
}

const contentBuffer = 256 << 10

// openContent opens a file, a directory being none, and whatever decompresses it.
func openContent(path string) (*input, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open input: %w", err)
	}
	in := &input{path: path, file: file, size: -1}
	in.closeAll = func() { _ = file.Close() }

	info, err := file.Stat()
	switch {
	case err != nil:
		in.close()
		return nil, fmt.Errorf("open input: %w", err)
	case info.IsDir():
		in.close()
		return nil, fmt.Errorf("input %s is a directory: name a file, one checkpoint for each", path)
	case info.Mode().IsRegular():
		in.size = info.Size()
	}

	// A small buffer, so that what was read of a compressed file tells how far it is.
	stored := bufio.NewReaderSize(&countingReader{file, &in.stored}, 16<<10)
	magic, err := stored.Peek(8)
	if err != nil && !errors.Is(err, io.EOF) {
		in.close()
		return nil, fmt.Errorf("read input %s: %w", path, err)
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(stored)
		if err != nil {
			in.close()
			return nil, fmt.Errorf("input %s begins like gzip and is not: %w", path, err)
		}
		in.content = bufio.NewReaderSize(z, contentBuffer)
	case isZstd(magic):
		z, err := zstd.NewReader(stored, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err != nil {
			in.close()
			return nil, fmt.Errorf("input %s begins like zstd and is not: %w", path, err)
		}
		in.closeAll = func() { z.Close(); _ = file.Close() }
		in.content = bufio.NewReaderSize(z, contentBuffer)
	default:
		if what := notRecords(magic); what != "" {
			in.close()
			return nil, fmt.Errorf("input %s is %s: this reads plain text, gzip and zstd; convert it first", path, what)
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

// next reads the next n records, or what is left. At the end of the input it
// returns io.EOF.
func (in *input) next(n int) (*batch, error) {
	if in.at.Records == 0 && in.at.Offset == 0 {
		in.pass(in.header)
	}
	b := &batch{data: append(in.buf[:0], in.header...), first: in.at.Records + 1}
	for range n {
		start := len(b.data)
		var err error
		b.data, err = appendRecord(b.data, in.content, in.delimiter)
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("the file ends within its compressed data; is it complete? %w", err)
		}
		if err != nil {
			return nil, fmt.Errorf("read input %s: record %d, which begins at byte %d: %w",
				in.path, in.at.Records+1, in.at.Offset, err)
		}
		in.pass(b.data[start:])
		in.at.Records++
	}
	if in.at.Records < b.first {
		return nil, io.EOF
	}
	in.buf = b.data
	b.last = in.at.Records
	in.at.Open = b.data[len(b.data)-1] != '\n'
	in.at.Size = max(in.size, 0)
	b.after = in.at
	in.print.stamp(&b.after)

	_, err := in.content.Peek(1)
	b.final = errors.Is(err, io.EOF)
	return b, nil
}

// pass takes in content that has been read.
func (in *input) pass(content []byte) {
	in.at.Offset += int64(len(content))
	in.print.write(content)
}

// fraction tells how much of the input has been read, from 0 to 1; -1 if its
// size is not known.
func (in *input) fraction() float64 {
	switch {
	case in.size <= 0:
		return -1
	case in.plain:
		return min(1, float64(in.at.Offset)/float64(in.size))
	}
	return min(1, float64(in.stored.Load())/float64(in.size))
}

// interrupt ends a read of a pipe that nobody writes to. Files never wait.
func (in *input) interrupt() { _ = in.file.SetReadDeadline(time.Now()) }

func (in *input) close() { in.closeAll() }

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
