package agent

import (
	"bufio"
	"errors"
	"io"
)

// MaxLine is the longest line of the agent's protocol, in bytes.
const MaxLine = 32 << 20

// errLongLine says that a line was too long. It was read to its end and dropped.
var errLongLine = errors.New("the line is longer than 33554432 bytes")

// lineReader reads lines of bounded length.
type lineReader struct {
	r    *bufio.Reader
	most int
	long []byte // a line that the buffer of r does not hold
}

func newLineReader(r io.Reader, most int) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, min(most, 256<<10)), most: most}
}

// next returns the next line without its end. The line is valid until the next call. The errors are
// errLongLine, after which the next line can be read, and those of the reader. A last line without
// a line end counts as a line.
func (l *lineReader) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		line, err = l.gather(line)
	}
	if err == io.EOF && len(line) > 0 {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
	}
	return line, nil
}

// gather reads the rest of a line that began with start.
func (l *lineReader) gather(start []byte) ([]byte, error) {
	if cap(l.long) > 1<<20 {
		l.long = nil // one long line must not hold its memory for the rest of the conversation
	}
	l.long = append(l.long[:0], start...)
	tooLong := false
	for {
		part, err := l.r.ReadSlice('\n')
		if tooLong = tooLong || len(l.long)+len(part) > l.most; !tooLong {
			l.long = append(l.long, part...)
		}
		switch {
		case err == bufio.ErrBufferFull:
		case err != nil && err != io.EOF:
			return nil, err
		case tooLong:
			l.long = nil
			return nil, errLongLine
		default:
			return l.long, err
		}
	}
}
