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

	// Partial imports what there is of an export that was cut short: what was exported behind that is not in the store then.
	Partial bool

	// DryRun reads and checks everything, changes nothing, takes no lease, and returns what would be.
	DryRun bool

	// Lease says who imports, and how long to wait for a lease that is held.
	Lease lease.Options

	// Progress is called as the work goes on, with how many versions of the checkpoint in hand were imported.
	Progress func(name string, done int64)
}

// ImportResult is what became of one checkpoint.
type ImportResult struct {
	store.Key
	Versions int64       // that were made, or with DryRun would be
	Present  int64       // that an interrupted import had made before
	Newest   *Checkpoint // as it was read
}

// Import reads the lines that [Exporter] has written, of any number of checkpoints, and makes the same history of each
// in the store: a commit for each version, under the lease, with the version's content and time. Versions are numbered anew, from the
// store's own next one on, and RestoredFrom keeps the number that each had. Where n has no Name, each checkpoint goes into the namespace that its lines name.
//
// A checkpoint that st has already is a [*RefusedError], unless its newest version is one of those to import: then an interrupted
// import goes on behind it. One that fails is yielded with its error, and the next one follows; what cannot be read, a line of a format or
// with a field that is not known among it, is an error with a nil ImportResult, and ends the import. An export that was cut short is such an
// error, which matches [store.ErrBadRecord] and [io.ErrUnexpectedEOF]. Where r is an [io.Seeker], all of it is read and checked before the first version is made; else what
// comes before such a line is in the store, and an import of the whole goes on behind it.
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
			for err != nil && lines.err == nil { // the rest of it
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

// ImportVersions is [Namespace.Import] for one checkpoint from elsewhere: versions are its history, oldest first, of which Version (any number that
// rises), SavedAt, Cursor, Finished, counts, LastError, State, ContentType, Identity, Schema, Ended and Label are taken. An error that
// versions yields ends the import and is returned.
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
