package checkpoint

import (
	"context"
	"iter"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// MirrorPolicy says which versions are mirrored.
type MirrorPolicy int

// Which versions are mirrored.
const (
	// MirrorEvery mirrors every version that is committed.
	MirrorEvery MirrorPolicy = iota
	// MirrorSessions mirrors the last version of each session.
	MirrorSessions
	// MirrorOff mirrors none.
	MirrorOff
)

// Mirroring is how far the mirror of a session has come.
type Mirroring struct {
	Through int64         // all versions up to here are mirrored, but for the gaps
	Waiting int64         // how many versions since wait for it
	Gaps    []archive.Gap // that this session came upon
	Err     error         // why the last try failed; nil: it did not
}

// Names yields the names of the checkpoints that begin with prefix, in the store or (if a is not nil) in the
// archive, each once: first the store's. It ends after the first error. [Sync], [Verify], [Restore], [GC], [Prune]
// and [Export] take one at a time.
func Names(ctx context.Context, st store.Store, a archive.Archive, prefix string, opts *ListOptions) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var o ListOptions
		if opts != nil {
			o = *opts
		}
		if o.Namespace == "" {
			o.Namespace = store.DefaultNamespace
		}
		if err := store.ValidateNamespace(o.Namespace); err != nil {
			yield("", err)
			return
		}
		seen := map[string]bool{}
		for name, err := range st.Names(ctx, o.Namespace, prefix, o.After) {
			if err != nil {
				yield("", wrap("list", store.Key{Namespace: o.Namespace, Name: prefix}, err))
				return
			}
			seen[name] = true
			if !yield(name, nil) {
				return
			}
		}
		if a == nil {
			return
		}
		for name, err := range archive.Names(ctx, a, o.Namespace, prefix) {
			if err != nil {
				yield("", wrap("list in the archive", store.Key{Namespace: o.Namespace, Name: prefix}, err))
				return
			}
			if seen[name] || name <= o.After {
				continue
			}
			if !yield(name, nil) {
				return
			}
		}
	}
}
