// Package records reads the records of a file, in batches and in order, and finds the place where
// an earlier run stopped.
//
// An input is plain text, gzip or zstd, or a pipe. A record is a line or a CSV record. [Position]
// says where in an input a reader is, and has the hashes that tell this input from another.
//
// The package runs no command and saves nothing.
package records

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// Format says what a record is. It is part of a job's identity.
type Format string

// The formats of records.
const (
	Lines Format = "lines"
	CSV   Format = "csv" // the first record is the header, repeated before each batch
)

// Input is a file of records, read once and in order.
type Input struct {
	path string

	file     *os.File
	size     int64 // of the file as stored; -1 for a pipe
	stored   atomic.Int64
	content  *bufio.Reader // decompressed
	plain    bool          // the file is not compressed, so the reader can seek in it
	closeAll func()

	buf       []byte // of the batch in hand
	header    []byte // CSV: repeated before each batch
	delimiter byte   // 0: records are lines

	at    Position
	print fingerprint
}

// Batch is some records of an input, in order.
type Batch struct {
	Data        []byte // the records, after the header of CSV; valid until the next batch is read
	First, Last int64  // record numbers, from 1
	After       Position
	Final       bool // nothing follows in the input
}

// Open opens path and reads up to the end of the header. The first bytes of the file, not its name,
// say whether it is compressed. Opening a pipe waits for a writer.
func Open(path string, format Format) (*Input, error) {
	in, err := openContent(path)
	if err != nil {
		return nil, err
	}
	in.at = Position{Input: path}
	if format == CSV {
		in.header, err = appendRecord(nil, in.content, ',')
		if err != nil && !errors.Is(err, io.EOF) {
			in.Close()
			return nil, fmt.Errorf("read the header of %s: %w", path, err)
		}
		in.delimiter = csvDelimiter(in.header)
	}
	return in, nil
}

// Next reads the next n records, or what is left. At the end of the input it returns [io.EOF].
func (in *Input) Next(n int) (*Batch, error) {
	if in.at.Records == 0 && in.at.Offset == 0 {
		in.pass(in.header)
	}
	b := &Batch{Data: append(in.buf[:0], in.header...), First: in.at.Records + 1}
	for range n {
		start := len(b.Data)
		var err error
		b.Data, err = appendRecord(b.Data, in.content, in.delimiter)
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
		in.pass(b.Data[start:])
		in.at.Records++
	}
	if in.at.Records < b.First {
		return nil, io.EOF
	}
	in.buf = b.Data
	b.Last = in.at.Records
	in.at.Open = b.Data[len(b.Data)-1] != '\n'
	in.at.Size = max(in.size, 0)
	b.After = in.at
	in.print.stamp(&b.After)

	_, err := in.content.Peek(1)
	b.Final = errors.Is(err, io.EOF)
	return b, nil
}

// maxBatchBytes bounds the memory that one batch may take. A record that is longer is probably a
// quote that is never closed.
const maxBatchBytes = 1 << 30

var errBatchTooLarge = fmt.Errorf("the records of one batch would take more than %d MiB of memory: "+
	"lower --every; if it is 1 already, look for a line that never ends", maxBatchBytes>>20)

// appendRecord appends the next record to dst, its line end included. At the end of the content it
// returns io.EOF with dst as it was. The last record need not have a line end. delimiter 0 means
// that records are lines. Otherwise they are CSV records, whose quoted fields may hold line ends.
func appendRecord(dst []byte, r *bufio.Reader, delimiter byte) ([]byte, error) {
	start := len(dst)
	var field csvField
	for {
		chunk, err := r.ReadSlice('\n')
		dst = append(dst, chunk...)
		if len(dst) > maxBatchBytes {
			return dst[:start], errBatchTooLarge
		}
		if delimiter != 0 {
			field = field.after(chunk, delimiter)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(dst) == start:
			return dst, io.EOF
		case errors.Is(err, io.EOF) && field == inQuotes:
			return dst[:start], errors.New("it ends inside a quoted field: a quote was opened but never closed")
		case errors.Is(err, io.EOF):
			return dst, nil
		case err != nil:
			return dst[:start], err
		case field != inQuotes:
			return dst, nil
		}
	}
}

// pass counts and hashes content that has been read.
func (in *Input) pass(content []byte) {
	in.at.Offset += int64(len(content))
	in.print.write(content)
}

// Records returns the number of records before the place where the input is.
func (in *Input) Records() int64 { return in.at.Records }

// IsFile reports whether the input is a file, which can be read again, and not a pipe.
func (in *Input) IsFile() bool { return in.size >= 0 }

// Fraction returns how much of the input has been read, from 0 to 1, and -1 if its size is not
// known.
func (in *Input) Fraction() float64 {
	switch {
	case in.size <= 0:
		return -1
	case in.plain:
		return min(1, float64(in.at.Offset)/float64(in.size))
	}
	return min(1, float64(in.stored.Load())/float64(in.size))
}

// Interrupt ends a read of a pipe that has no writer. A read of a file never waits. Interrupt may
// be called while another goroutine reads.
func (in *Input) Interrupt() { _ = in.file.SetReadDeadline(time.Now()) }

// Close closes the file.
func (in *Input) Close() { in.closeAll() }
