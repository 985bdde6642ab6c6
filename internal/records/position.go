package records

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/store"
)

// window is the size in bytes of the two parts of an input that a position has a hash of: the
// beginning of the input, and what is before the cursor.
const window = 64 << 10

// Position says where in an input a reader is, and how to tell that input from another. It is the
// state of a batch job's checkpoint. Offsets count decompressed bytes, so a file may be compressed,
// or compressed again, between two runs.
type Position struct {
	Input   string `json:"input"` // as it was named, for people
	Records int64  `json:"records"`
	Offset  int64  `json:"offset"`
	Size    int64  `json:"size"` // of the file as stored, for people

	// Open says that the last record had no line end: it was the last one of the file.
	Open bool `json:"open_record,omitempty"`

	Head  string `json:"head_sha256"`  // of the first 64 KiB, or of everything before Offset if that is less
	Tail  string `json:"tail_sha256"`  // of the 64 KiB before Offset
	Chain string `json:"chain_sha256"` // over the whole blocks before Offset: see [fingerprint]
}

// fingerprint gathers what tells one input from another while the input is read. chain is over
// whole blocks of 64 KiB: the chain of a block is the sha256 of the chain before it and the block.
// What follows the last whole block is in the tail. So a resume continues the chain from a hash and
// the tail's bytes, and the checkpoint keeps no bytes of the input.
type fingerprint struct {
	head, block []byte
	tail        []byte // the last window, and sometimes bytes before it
	chain       [sha256.Size]byte
}

func (f *fingerprint) write(content []byte) {
	if missing := window - len(f.head); missing > 0 {
		f.head = append(f.head, content[:min(missing, len(content))]...)
	}
	f.tail = append(f.tail, content[max(0, len(content)-window):]...)
	if len(f.tail) > 8*window { // seldom: moving a window for each record would cost more than reading the record
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

// last returns the window before the offset, of which the tail is the hash.
func (f *fingerprint) last() []byte { return f.tail[max(0, len(f.tail)-window):] }

// stamp writes the fingerprint into p.
func (f *fingerprint) stamp(p *Position) {
	p.Head, p.Tail, p.Chain = hashOf(f.head), hashOf(f.last()), hex.EncodeToString(f.chain[:])
}

// restore continues the chain from was, and reports whether it can.
func (f *fingerprint) restore(was Position) bool {
	chain, err := hex.DecodeString(was.Chain)
	return err == nil && copy(f.chain[:], chain) == sha256.Size
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// OtherInputError says that an input is not the one that a checkpoint began with.
type OtherInputError struct {
	Key  store.Key // the checkpoint's, set by the caller
	Hint string    // what to do, set by the caller
	Was  Position
	Path string
	Size int64
	Why  string
}

func (e *OtherInputError) Error() string {
	now := e.Path
	if e.Size >= 0 {
		now += fmt.Sprintf(" (%s bytes)", human.Thousands(e.Size))
	}
	return fmt.Sprintf("input %s is not the one that the checkpoint began with, %s (%s bytes, at record %s, byte %s): %s",
		now, e.Was.Input, human.Thousands(e.Was.Size), human.Thousands(e.Was.Records), human.Thousands(e.Was.Offset), e.Why)
}

// Is makes the error match [checkpoint.ErrRefused].
func (e *OtherInputError) Is(target error) bool { return target == checkpoint.ErrRefused }

// As lets [errors.As] take the error as a [*checkpoint.RefusedError].
func (e *OtherInputError) As(target any) bool {
	refused, ok := target.(**checkpoint.RefusedError)
	if ok {
		*refused = &checkpoint.RefusedError{Key: e.Key, What: "input", Have: e.Was.Input, Want: e.Path, Hint: e.Hint}
	}
	return ok
}
