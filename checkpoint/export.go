package checkpoint

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// Exporter writes checkpoints as JSON lines that [Namespace.Import] reads. Each line is a version:
// a [Checkpoint] as JSON, with "fmt". A state that is too large for the line follows in separate
// lines, part by part. The last line, which Close writes, says how many checkpoints and versions
// there are, so that an import refuses an export that was cut short.
type Exporter struct {
	w      io.Writer
	end    exportEnd
	failed error
}

// NewExporter returns an Exporter that writes to w. It writes each line with one call.
func NewExporter(w io.Writer) *Exporter { return &Exporter{w: w} }

// ExportOptions say what [Exporter.Add] writes. The zero value is the whole history.
type ExportOptions struct {
	Newest bool // only the newest version

	// Progress is called during the work, with how many of how many versions were written.
	Progress func(done, total int64)
}

// Add writes the versions of a checkpoint, oldest first, and returns how many it wrote. Versions
// that have expired are not written. The errors are those of [Namespace.Get] and of the writer.
// If there is no such checkpoint, Add writes nothing, and the error matches [store.ErrNotFound].
// After any other error the checkpoint is incomplete in the output, and Close returns that error.
func (x *Exporter) Add(ctx context.Context, ns Namespace, name string, opts *ExportOptions) (versions int64, err error) {
	one := &exporting{Exporter: x, archive: ns.Archive}
	if opts != nil {
		one.o = *opts
	}
	n, err := ns.named(name)
	var r *reader
	if err == nil {
		r, err = n.existing(ctx)
	}
	if errors.Is(err, store.ErrNotFound) {
		return 0, err // the output is whole without it
	}
	if err == nil {
		err = one.checkpoint(ctx, r)
	}
	if err != nil {
		x.failed = err
		return one.versions, err
	}
	x.end.Checkpoints++
	x.end.Versions += one.versions
	return one.versions, nil
}

// Close writes the last line. It does not close the writer. After an Add that failed it writes
// nothing, and returns the error.
func (x *Exporter) Close() error {
	if x.failed != nil {
		return x.failed
	}
	return x.line(&endLine{Format: store.Format, End: x.end})
}

func (x *exporting) checkpoint(ctx context.Context, r *reader) error {
	if x.o.Newest {
		cp, err := r.labelled(ctx, r.newest())
		if err != nil {
			return err
		}
		return x.export(ctx, cp, 1)
	}
	// The history comes newest first, and the export is oldest first. So Add lists the versions
	// first, and then reads each one.
	var versions []int64
	for e, err := range r.history(ctx, 0, time.Time{}) {
		if err != nil {
			return err
		}
		versions = append(versions, e.Number)
	}
	for _, version := range slices.Backward(versions) {
		cp, err := r.labelled(ctx, version)
		if errors.Is(err, store.ErrNotFound) && version < r.newest() {
			continue // the version has expired meanwhile
		}
		if err != nil {
			return err
		}
		if err := x.export(ctx, cp, int64(len(versions))); err != nil {
			return err
		}
	}
	return nil
}

// labelled reads one version with its label. HEAD has no label, so for the newest version labelled
// also reads the copy.
func (r *reader) labelled(ctx context.Context, version int64) (*Checkpoint, error) {
	cp, err := r.version(ctx, version)
	if err != nil || version != r.newest() {
		return cp, err
	}
	c, err := r.Store.Version(ctx, r.key, version)
	switch {
	case err == nil && c.CommitID == cp.CommitID:
		cp.Label = c.Label
	case unlessAny(err, store.ErrNotFound) != nil:
		return nil, wrap(fmt.Sprintf("read version %d of", version), r.key, err)
	}
	return cp, nil
}

// exportLine is one line of an export: a version, a part of the state of the version before, or the
// end.
type exportLine struct {
	Format int64 `json:"fmt"`
	wire

	// Parts is how many lines with parts of the state follow. If it is not 0, the version's line
	// has no state.
	Parts int64 `json:"state_parts,omitempty"`
	// SHA256 is the hash of a state that comes in parts, in hexadecimal.
	SHA256 string `json:"state_sha256,omitempty"`

	// End is set in the last line, which has nothing else.
	End *exportEnd `json:"end,omitempty"`
}

// endLine is the last line.
type endLine struct {
	Format int64     `json:"fmt"`
	End    exportEnd `json:"end"`
}

// exportEnd counts the lines since the beginning, or since the end line of another export before
// it.
type exportEnd struct {
	Checkpoints int64 `json:"checkpoints"`
	Versions    int64 `json:"versions"`
}

// partLine is a part of a state.
type partLine struct {
	Format int64  `json:"fmt"`
	Part   int64  `json:"part"` // from 1
	Data   []byte `json:"data"`
}

const (
	// partSize is how many bytes of a state are in one part line. A larger state is not in the
	// version's line.
	partSize = 512 << 10
	// maxLine is the most bytes of a line.
	maxLine = 4 << 20
)

// exporting is one Add under way.
type exporting struct {
	*Exporter
	o        ExportOptions
	archive  archive.Archive
	versions int64
}

func (x *exporting) export(ctx context.Context, cp *Checkpoint, total int64) error {
	if err := x.version(ctx, cp); err != nil {
		return wrap(fmt.Sprintf("export version %d of", cp.Number), cp.Key, err)
	}
	x.versions++
	if x.o.Progress != nil {
		x.o.Progress(x.versions, total)
	}
	return nil
}

func (x *exporting) version(ctx context.Context, cp *Checkpoint) error {
	for _, text := range []string{cp.Cursor, cp.Identity, cp.Label, cp.ContentType} {
		if !utf8.ValidString(text) {
			return fmt.Errorf("%.80q is not valid UTF-8, which is all that JSON holds", text)
		}
	}
	line := exportLine{Format: store.Format}
	inline := *cp
	inline.Body, inline.Archived, inline.ArchivedThrough, inline.StoredSize = "", false, 0, 0
	if cp.StateSize <= partSize && cp.Body == "" {
		var err error
		if line.wire, err = inline.wire(); err != nil {
			return err
		}
		return x.exactly(&line, cp)
	}
	// The hash is written before the state, so that an import need not hold the state in memory.
	// So the export reads the state twice.
	sum := sha256.New()
	if err := x.state(ctx, cp, func(p []byte) error { _, err := sum.Write(p); return err }); err != nil {
		return err
	}
	inline.State = nil
	var err error
	if line.wire, err = inline.wire(); err != nil {
		return err
	}
	line.Parts, line.SHA256 = (cp.StateSize+partSize-1)/partSize, hex.EncodeToString(sum.Sum(nil))
	if err := x.line(&line); err != nil {
		return err
	}
	part := int64(0)
	return x.state(ctx, cp, func(p []byte) error {
		part++
		return x.line(&partLine{Format: store.Format, Part: part, Data: p})
	})
}

// state calls do with each part of the state.
func (x *exporting) state(ctx context.Context, cp *Checkpoint, do func([]byte) error) error {
	r, err := cp.OpenState(ctx, x.archive)
	if err != nil {
		return err
	}
	defer r.Close()
	buffer := make([]byte, partSize)
	for {
		n, err := io.ReadFull(r, buffer)
		if n > 0 {
			if err := do(buffer[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// exactly writes a line whose state reads back byte for byte. If the state as JSON would not, it
// writes base64.
func (x *exporting) exactly(line *exportLine, cp *Checkpoint) error {
	if cp.State != nil && cp.ContentType == jsonType {
		var compact bytes.Buffer
		if err := json.Compact(&compact, cp.State); err != nil || !bytes.Equal(compact.Bytes(), cp.State) {
			quoted, err := json.Marshal(cp.State)
			if err != nil {
				return err
			}
			line.State, line.ContentType = quoted, jsonType
		}
	}
	return x.line(line)
}

func (x *Exporter) line(v any) error {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := x.w.Write(line.Bytes())
	return err
}
