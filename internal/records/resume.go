package records

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/milepost-dev/milepost/internal/human"
)

// Resume brings a freshly opened input to the position was. It returns an [*OtherInputError] if the
// input is not the same. An input that has grown is the same. In a plain file Resume seeks to the
// position; a compressed file it reads up to the position. With verify, Resume hashes everything
// before the position.
func (in *Input) Resume(ctx context.Context, was Position, verify bool) error {
	other := func(format string, args ...any) error {
		return &OtherInputError{Was: was, Path: in.path, Size: in.size, Why: fmt.Sprintf(format, args...)}
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
			return other("it ends at byte %s, before that one", human.Thousands(in.at.Offset))
		case err != nil:
			return fmt.Errorf("read input %s up to byte %d: %w", in.path, was.Offset, err)
		}
	}
	var now Position
	in.print.stamp(&now)
	head := min(window, was.Offset)
	switch {
	case now.Head != was.Head:
		return other("the sha256 of its first %s bytes is %.12s…, and was %.12s…", human.Thousands(head), now.Head, was.Head)
	case now.Tail != was.Tail:
		return other("the sha256 of the %s bytes before that byte is %.12s…, and was %.12s…", human.Thousands(head), now.Tail, was.Tail)
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
func (in *Input) seek(offset int64) error {
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

// readTo reads from the start up to offset. It returns io.EOF if the input ends before offset.
func (in *Input) readTo(ctx context.Context, offset int64) error {
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

// closeRecord handles an input whose last record had no line end. A line end that was added later
// still belongs to that record.
func (in *Input) closeRecord(other func(string, ...any) error) error {
	for _, end := range []string{"\n", "\r\n"} {
		if got, _ := in.content.Peek(len(end)); string(got) == end {
			_, _ = in.content.Discard(len(end))
			in.pass([]byte(end))
			return nil
		}
	}
	if got, _ := in.content.Peek(1); len(got) > 0 {
		return other("record %s was the last one and had no line end when it was processed; it has grown since", human.Thousands(in.at.Records))
	}
	in.at.Open = true
	return nil
}

// Skip passes over records up to record n, for a checkpoint whose cursor a person has set. [io.EOF]
// says that there are fewer.
func (in *Input) Skip(ctx context.Context, n int64) error {
	const some = 1000
	for in.at.Records < n {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if _, err := in.Next(int(min(some, n-in.at.Records))); err != nil {
			return err
		}
	}
	return nil
}
