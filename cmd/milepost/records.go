package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxBatchBytes bounds the memory that one batch may take. A record longer than
// this is more likely a quote that never closes than a record.
const maxBatchBytes = 1 << 30

var errBatchTooLarge = fmt.Errorf("the records of one batch would take more than %d MiB of memory: "+
	"lower --every, and if it is 1 already look for a line that never ends", maxBatchBytes>>20)

// appendRecord appends the next record to dst, its line end included. At the end
// of the content it returns io.EOF with dst as it was; the last record need not
// have a line end. delimiter 0 means that records are lines; otherwise they are
// CSV records, whose quoted fields may hold line ends.
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
			return dst[:start], errors.New("it ends inside a quoted field: a quote was opened and never closed")
		case errors.Is(err, io.EOF):
			return dst, nil
		case err != nil:
			return dst[:start], err
		case field != inQuotes:
			return dst, nil
		}
	}
}

// csvField says where in a field of a CSV record a reader stands.
type csvField int

const (
	atStart csvField = iota
	unquoted
	inQuotes
	afterQuote // a quote inside quotes: the first of two, or the closing one
)

// after returns where the reader stands when it has read chunk. A quote opens a
// quoted field only where a field begins, so that 5" in a plain field is harmless.
func (f csvField) after(chunk []byte, delimiter byte) csvField {
	if f != inQuotes && f != afterQuote && bytes.IndexByte(chunk, '"') < 0 {
		// No quote, so no state but that of the chunk's last byte matters.
		chunk = chunk[max(0, len(chunk)-1):]
	}
	for _, c := range chunk {
		switch {
		case f == inQuotes:
			if c == '"' {
				f = afterQuote
			}
		case c == delimiter || c == '\n':
			f = atStart
		case c == '"' && f != unquoted:
			f = inQuotes // it opens, or it was the first of two
		default:
			f = unquoted
		}
	}
	return f
}

// csvDelimiter tells what separates the fields of a header: the most frequent of
// the usual ones outside quotes, and a comma if there is none.
func csvDelimiter(header []byte) byte {
	best, most := byte(','), 0
	for _, delimiter := range []byte(",;\t|") {
		count, quoted := 0, false
		for _, c := range header {
			switch {
			case c == '"':
				quoted = !quoted
			case c == delimiter && !quoted:
				count++
			}
		}
		if count > most {
			best, most = delimiter, count
		}
	}
	return best
}
