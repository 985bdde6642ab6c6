package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/milepost-dev/milepost/checkpoint"
)

// window is how much of an input's beginning, and of what lies before the
// cursor, is remembered by its hash.
const window = 64 << 10

// position is the state of a batch job's checkpoint: where in the input it is,
// and how to tell that input from another. Offsets count decompressed bytes, so that a
// file may be compressed, or compressed anew, between two runs.
type position struct {
	Input   string `json:"input"` // as it was named, for people
	Records int64  `json:"records"`
	Offset  int64  `json:"offset"`
	Size    int64  `json:"size"` // of the file as stored, for people

	// Open says that the last record had no line end, being the last of the file.
	Open bool `json:"open_record,omitempty"`

	Head  string `json:"head_sha256"`  // of the first 64 KiB, or of all before Offset if that is less
	Tail  string `json:"tail_sha256"`  // of the 64 KiB before Offset
	Chain string `json:"chain_sha256"` // over the whole blocks before Offset: see [fingerprint]
}

// fingerprint gathers what tells one input from another while it is read. chain is over whole blocks
// of 64 KiB: each one's is the sha256 of the chain before and the block. What lies
// behind the last whole block is in the tail. So a resume goes on with the chain from a hash and the tail's
// bytes, and no bytes of the input need be kept in the checkpoint.
type fingerprint struct {
	head, block []byte
	tail        []byte // the last window of it, and for a while what was before that
	chain       [sha256.Size]byte
}

func (f *fingerprint) write(content []byte) {
	if missing := window - len(f.head); missing > 0 {
		f.head = append(f.head, content[:min(missing, len(content))]...)
	}
	f.tail = append(f.tail, content[max(0, len(content)-window):]...)
	if len(f.tail) > 8*window { // seldom: to move a window for each record would cost more than to read it
		f.tail = append(f.tail[:0], f.last()...)
	}
	for len(content) > 0 {
		n := min(window-len(f.block), len(content))
		f.block, content = append(f.block, content[:n]...), content[n:]
		if len(f.block) == window {
			f.chain = sha256.Sum256(append(f.chain[:], f.block...))
			f.block = f.block[:0]
		}
	}
}

// last is what the tail's hash is of: the window before the offset.
func (f *fingerprint) last() []byte { return f.tail[max(0, len(f.tail)-window):] }

// stamp writes the fingerprint into p.
func (f *fingerprint) stamp(p *position) {
	p.Head, p.Tail, p.Chain = hashOf(f.head), hashOf(f.last()), hex.EncodeToString(f.chain[:])
}

// restore takes up the chain where was left it, and reports whether it can.
func (f *fingerprint) restore(was position) bool {
	chain, err := hex.DecodeString(was.Chain)
	return err == nil && copy(f.chain[:], chain) == sha256.Size
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// otherInputError says that an input is not the one that a checkpoint began with.
type otherInputError struct {
	Name string // the checkpoint's
	Was  position
	Path string
	Size int64
	Why  string
}

func (e *otherInputError) Error() string {
	now := e.Path
	if e.Size >= 0 {
		now += fmt.Sprintf(" (%s bytes)", thousands(e.Size))
	}
	return fmt.Sprintf("input %s is not the one that the checkpoint began with, %s (%s bytes, stands at record %s, byte %s): %s",
		now, e.Was.Input, thousands(e.Was.Size), thousands(e.Was.Records), thousands(e.Was.Offset), e.Why)
}

// Is makes an otherInputError match [checkpoint.ErrRefused].
func (e *otherInputError) Is(target error) bool { return target == checkpoint.ErrRefused }

// resume brings a freshly opened input to where the checkpoint stands, having
// made sure that it is the same input: else it returns [*otherInputError]. An input
// that has grown is the same. In a plain file it seeks; what is compressed is read up to
// there. With verify everything before the position is hashed.
func (in *input) resume(ctx context.Context, was position, verify bool) error {
	other := func(format string, args ...any) error {
		return &otherInputError{Was: was, Path: in.path, Size: in.size, Why: fmt.Sprintf(format, args...)}
	}
	if was.Offset == 0 {
		return nil
	}
	if in.plain && in.size < was.Offset {
		return other("it ends before that byte")
	}

	if in.plain && !verify && in.print.restore(was) {
		if err := in.seek(was.Offset); err != nil {
			return fmt.Errorf("seek in input %s: %w", in.path, err)
		}
	} else {
		switch err := in.readTo(ctx, was.Offset); {
		case errors.Is(err, io.EOF):
			return other("it ends at byte %s, before that one", thousands(in.at.Offset))
		case err != nil:
			return fmt.Errorf("read input %s up to byte %d: %w", in.path, was.Offset, err)
		}
	}
	var now position
	in.print.stamp(&now)
	head := min(window, was.Offset)
	switch {
	case now.Head != was.Head:
		return other("the sha256 of its first %s bytes is %.12s…, and was %.12s…", thousands(head), now.Head, was.Head)
	case now.Tail != was.Tail:
		return other("the sha256 of the %s bytes before that byte is %.12s…, and was %.12s…", thousands(head), now.Tail, was.Tail)
	case now.Chain != was.Chain:
		return other("something before that byte has changed: the chained sha256 of all of it is %.12s…, and was %.12s…", now.Chain, was.Chain)
	}
	in.at.Records, in.at.Offset = was.Records, was.Offset
	if was.Open {
		return in.closeRecord(other)
	}
	return nil
}

// seek puts a plain input at offset, having read no more than two windows.
func (in *input) seek(offset int64) error {
	n := min(window, offset)
	in.print.head, in.print.tail = make([]byte, n), make([]byte, n)
	for _, part := range []struct {
		into []byte
		from int64
	}{{in.print.head, 0}, {in.print.tail, offset - n}} {
		if _, err := in.file.ReadAt(part.into, part.from); err != nil {
			return err
		}
	}
	in.print.block = append([]byte{}, in.print.tail[n-offset%window:]...)
	if _, err := in.file.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	in.content.Reset(in.file)
	return nil
}

// readTo reads from the start up to offset; io.EOF: the input ends before it.
func (in *input) readTo(ctx context.Context, offset int64) error {
	in.print = fingerprint{}
	in.pass(in.header)
	buf := make([]byte, 1<<20)
	for in.at.Offset < offset {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n, err := in.content.Read(buf[:min(int64(len(buf)), offset-in.at.Offset)])
		in.pass(buf[:n])
		if err != nil {
			return err
		}
	}
	return nil
}

// closeRecord deals with an input whose last record had no line end: one that was
// added since still belongs to it.
func (in *input) closeRecord(other func(string, ...any) error) error {
	for _, end := range []string{"\n", "\r\n"} {
		if got, _ := in.content.Peek(len(end)); string(got) == end {
			_, _ = in.content.Discard(len(end))
			in.pass([]byte(end))
			return nil
		}
	}
	if got, _ := in.content.Peek(1); len(got) > 0 {
		return other("record %s was the last one and had no line end when it was processed, and has grown since", thousands(in.at.Records))
	}
	in.at.Open = true
	return nil
}

// skip passes over records up to record n, for a checkpoint whose cursor a person
// has set. io.EOF: there are fewer.
func (in *input) skip(ctx context.Context, n int64) error {
	const some = 1000
	for in.at.Records < n {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if _, err := in.next(int(min(some, n-in.at.Records))); err != nil {
			return err
		}
	}
	return nil
}
