package checkpoint

import (
	"context"
	"io"
	"iter"

	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// ImportOptions say how [Namespace.Import] writes. The zero value is useful.
type ImportOptions struct {
	// Reason is kept on the versions, for people.
	Reason string

	// Partial imports what there is of an export that was cut short. The versions at its end are
	// then missing.
	Partial bool

	// DryRun reads and checks everything, changes nothing, takes no lease, and returns the plan.
	DryRun bool

	// Lease says who imports, and how long to wait for a lease that is held.
	Lease lease.Options

	// Progress is called during the work, with how many versions of the current checkpoint are
	// done.
	Progress func(name string, done int64)
}

// ImportResult is the result for one checkpoint.
type ImportResult struct {
	store.Key
	Versions int64       // how many versions were made, or would be made without DryRun
	Present  int64       // how many versions an interrupted import had made before
	Newest   *Checkpoint // the last version that was read
}

// Import reads the lines that an [Exporter] wrote, of any number of checkpoints, and makes the same
// history of each in the store. Each version is a commit under the lease, with the version's
// content and time. Versions get new numbers, from the store's next one on, and RestoredFrom keeps
// their old numbers. If n has no Name, each checkpoint goes into the namespace that its lines name.
//
// A checkpoint that the store already has is a [*RefusedError], unless its newest version is one of
// the lines. Then an interrupted import continues after that version. A checkpoint that fails is
// yielded with its error, and the next one follows. A line that cannot be read ends the import,
// with a nil ImportResult. That includes a line of a newer format and an unknown field. An export
// that was cut short ends it too, with an error that matches [store.ErrBadRecord] and
// [io.ErrUnexpectedEOF].
//
// If r is an [io.Seeker], Import reads and checks all lines before it makes the first version. If
// not, what comes before a bad line is in the store, and an import of the whole export continues
// there. The end of ctx ends the import.
func (n Namespace) Import(ctx context.Context, r io.Reader, opts *ImportOptions) iter.Seq2[*ImportResult, error] {
	return func(yield func(*ImportResult, error) bool) {
		partial := opts != nil && opts.Partial
		if dry := opts != nil && opts.DryRun; !dry && !partial {
			if err := checkLines(r); err != nil {
				yield(nil, err)
				return
			}
		}
		lines := newLineReader(r, partial)
		lines.into = n.Name
		for {
			key, ok := lines.peek()
			if lines.err != nil {
				yield(nil, lines.err)
				return
			}
			if !ok {
				return
			}
			to := n
			to.Name = key.Namespace
			done, err := to.importOne(ctx, key.Name, opts, func() (*record, error) { return lines.next(key) })
			for err != nil && lines.err == nil { // skip the rest of the checkpoint
				if rec, _ := lines.next(key); rec == nil {
					break
				}
			}
			if lines.err != nil {
				yield(nil, lines.err)
				return
			}
			if !yield(done, err) || ctx.Err() != nil {
				return
			}
		}
	}
}

// ImportVersions is [Namespace.Import] for one checkpoint from elsewhere. versions are its history,
// oldest first. It uses their Number (any that rises), SavedAt, Content, LastError, State,
// ContentType, Ended and Label. An error that versions yields ends the import, and ImportVersions
// returns it.
func (n Namespace) ImportVersions(ctx context.Context, name string, versions iter.Seq2[*Checkpoint, error], opts *ImportOptions) (*ImportResult, error) {
	next, stop := iter.Pull2(versions)
	defer stop()
	return n.importOne(ctx, name, opts, func() (*record, error) {
		cp, err, ok := next()
		if !ok || err != nil {
			return nil, err
		}
		return &record{cp: cp}, nil
	})
}
