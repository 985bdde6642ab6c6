package checkpoint

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	"github.com/milepost-dev/milepost/store"
)

// lineReader reads the lines of an export. After the first error it reads nothing more: the lines
// after a damaged line cannot be assigned to a version.
type lineReader struct {
	lines  *bufio.Scanner
	number int64 // the number of the last line that was read
	err    error

	into    string      // the namespace to import into; "": the one that each line names
	partial bool        // accept an export that was cut short
	seen    exportEnd   // what was read since the beginning, or since the last end line
	of      store.Key   // the checkpoint of the last version that was read, as its line names it
	open    bool        // the last line was not an end line
	ahead   *exportLine // the line that was read and not taken yet
	parts   int64       // how many parts of the last version are still to come
	part    int64       // the number of the last part that was read
}

func newLineReader(r io.Reader, partial bool) *lineReader {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	return &lineReader{lines: lines, partial: partial, open: true}
}

// checkLines reads all lines of an export, and seeks back to where it began. So an import of an
// incomplete export writes nothing. checkLines does not check a reader that cannot seek.
func checkLines(r io.Reader) error {
	seeker, ok := r.(io.ReadSeeker)
	if !ok {
		return nil
	}
	start, err := seeker.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil //nolint:nilerr // r is a pipe
	}
	lines := newLineReader(seeker, false)
	for {
		key, ok := lines.peek()
		if !ok {
			break
		}
		rec, err := lines.next(key)
		if err == nil && rec.write != nil {
			err = rec.write(io.Discard)
		}
		if err != nil {
			break
		}
	}
	if lines.err != nil {
		return lines.err
	}
	_, err = seeker.Seek(start, io.SeekStart)
	return err
}

// errCutShort says that the end line of an export, which has its counts, is missing.
var errCutShort = fmt.Errorf("%w: the export was cut short: %w", store.ErrBadRecord, io.ErrUnexpectedEOF)

// end compares the end line of an export with the lines that came before it.
func (r *lineReader) end(end *exportEnd) error {
	seen := r.seen
	r.seen, r.of, r.open = exportEnd{}, store.Key{}, false
	if *end != seen {
		return r.fail(fmt.Errorf("%w: the export had %d versions of %d checkpoints, and %d of %d are here",
			store.ErrBadRecord, end.Versions, end.Checkpoints, seen.Versions, seen.Checkpoints))
	}
	return nil
}

// count counts a version's line.
func (r *lineReader) count(line *exportLine) {
	r.open = true
	r.seen.Versions++
	if of := (store.Key{Namespace: line.Namespace, Name: line.Name}); of != r.of {
		r.of = of
		r.seen.Checkpoints++
	}
}

func (r *lineReader) fail(err error) error {
	if r.err == nil {
		r.err = fmt.Errorf("line %d: %w", r.number, err)
	}
	return r.err
}

// line reads one line into v. It returns false at the end.
func (r *lineReader) line(v any) bool {
	if r.err != nil {
		return false
	}
	r.number++
	if !r.lines.Scan() {
		if err := r.lines.Err(); err != nil {
			_ = r.fail(err)
		}
		return false
	}
	data := r.lines.Bytes()
	var format struct {
		Format int64 `json:"fmt"`
	}
	switch err := json.Unmarshal(data, &format); {
	case err != nil && !r.lines.Scan() && r.lines.Err() == nil && r.number > 1: // the last line is incomplete
		if !r.partial {
			_ = r.fail(fmt.Errorf("%w within its last line: %w", errCutShort, err))
		}
		return false
	case err != nil:
		_ = r.fail(fmt.Errorf("%w: %w", store.ErrBadRecord, err))
	case format.Format > store.Format:
		_ = r.fail(fmt.Errorf("%w: its format is %d, and this release knows %d", store.ErrNewerFormat, format.Format, store.Format))
	case format.Format < 1:
		_ = r.fail(fmt.Errorf("%w: its fmt is %d", store.ErrBadRecord, format.Format))
	default:
		if err := strict(data, v); err != nil {
			_ = r.fail(fmt.Errorf("%w: %w", store.ErrBadRecord, err))
		}
	}
	return r.err == nil
}

// peek returns the checkpoint of the next version.
func (r *lineReader) peek() (store.Key, bool) {
	for r.parts > 0 { // skip the parts of a version that was not read
		if _, err := r.nextPart(); err != nil {
			return store.Key{}, false
		}
	}
	for r.ahead == nil {
		line := &exportLine{}
		switch {
		case !r.line(line):
			if r.err == nil && r.open && !r.partial {
				_ = r.fail(fmt.Errorf("%w: its last line, which says how much it has, is missing", errCutShort))
			}
			return store.Key{}, false
		case line.End == nil:
			r.count(line)
			r.ahead = line
		case line.Name != "":
			_ = r.fail(fmt.Errorf("%w: it is the end, and a version's", store.ErrBadRecord))
			return store.Key{}, false
		case r.end(line.End) != nil:
			return store.Key{}, false
		}
	}
	key := store.Key{Namespace: cmp.Or(r.into, r.ahead.Namespace, store.DefaultNamespace), Name: r.ahead.Name}
	if err := key.Validate(); err != nil {
		_ = r.fail(err)
		return store.Key{}, false
	}
	return key, true
}

// next takes the next version of that checkpoint. It returns nil if the next version belongs to
// another checkpoint, or if there is none.
func (r *lineReader) next(key store.Key) (*record, error) {
	of, ok := r.peek()
	if r.err != nil {
		return nil, r.err
	}
	if !ok || of != key {
		return nil, nil
	}
	line := r.ahead
	r.ahead = nil
	cp := &Checkpoint{}
	if err := cp.unwire(&line.wire); err != nil {
		return nil, r.fail(fmt.Errorf("%w: %w", store.ErrBadRecord, err))
	}
	if cp.Body != "" || line.Parts < 0 || line.Parts > 0 && line.wire.State != nil && string(line.wire.State) != "null" {
		return nil, r.fail(fmt.Errorf("%w: its state is neither here nor in the lines that follow", store.ErrBadRecord))
	}
	rec := &record{cp: cp}
	if r.parts, r.part = line.Parts, 0; r.parts > 0 {
		cp.State = nil
		rec.write = func(w io.Writer) error { return r.state(w, line) }
	}
	return rec, nil
}

// state writes the state of a version, which comes in parts, to w.
func (r *lineReader) state(w io.Writer, line *exportLine) error {
	sum, size := sha256.New(), int64(0)
	for r.parts > 0 {
		data, err := r.nextPart()
		if err != nil {
			return err
		}
		_, _ = sum.Write(data)
		size += int64(len(data))
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	want, err := hex.DecodeString(line.SHA256)
	if err != nil || !bytes.Equal(sum.Sum(nil), want) || size != line.StateSize {
		return r.fail(fmt.Errorf("%w: the state has %d bytes with the sha256 %x, and %d with %s were exported",
			store.ErrBadRecord, size, sum.Sum(nil), line.StateSize, line.SHA256))
	}
	return nil
}

func (r *lineReader) nextPart() ([]byte, error) {
	var part partLine
	if !r.line(&part) {
		if r.err == nil {
			_ = r.fail(fmt.Errorf("%w: the lines end, and %d parts of a state are missing", store.ErrBadRecord, r.parts))
		}
		return nil, r.err
	}
	r.parts--
	r.part++
	if part.Part != r.part {
		return nil, r.fail(fmt.Errorf("%w: part %d of a state comes where part %d should", store.ErrBadRecord, part.Part, r.part))
	}
	return part.Data, nil
}
