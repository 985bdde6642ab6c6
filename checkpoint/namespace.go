package checkpoint

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// Namespace says where checkpoints are kept, and how: in a store and an archive, by rules that hold
// for all checkpoints of one namespace. Its methods read and change checkpoints by name. [Run] and
// [Open] begin a session on a checkpoint.
//
// Store is required. The zero values of the other fields are useful. A Namespace is a plain value:
// copy it to change a field for one call. It may be used by any number of goroutines. If a name or
// a field is not valid, the called method returns an error: a bad name matches [store.ErrName].
type Namespace struct {
	// Store holds the newest versions and the leases.
	Store store.Store

	// Archive holds the states that are too large for the store, and a mirror of the versions.
	// Versions that the store no longer has are read from there. Nil: there is no archive, and the
	// store keeps each state, up to its limit.
	Archive archive.Archive

	// Name is the name of the namespace. Default: "default".
	Name string

	// A version is kept for RetainAge (default: 30 days, at least an hour). The versions that the
	// newest RetainStarts sessions started from (default: 5) are kept for longer.
	RetainAge    time.Duration
	RetainStarts int

	// InlineLimit is the most bytes of a stored state that lie in the store with the version. With
	// an Archive, a larger state is a body in the archive. Default: 4 KiB.
	InlineLimit int

	// Mirror says which versions are mirrored in Archive. Default: every one.
	Mirror MirrorPolicy
}

const (
	// DefaultRetainStarts is the default of Namespace.RetainStarts.
	DefaultRetainStarts = 5

	// MinRetainAge is the least Namespace.RetainAge: the outcome of a save is read from the version
	// that it made.
	MinRetainAge = time.Hour

	defaultRetainAge   = 30 * 24 * time.Hour
	defaultInlineLimit = 4 << 10
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

// filled returns n with its defaults, or why it is not valid.
func (n Namespace) filled() (Namespace, error) {
	if n.Name == "" {
		n.Name = store.DefaultNamespace
	}
	if n.RetainAge == 0 {
		n.RetainAge = defaultRetainAge
	}
	if n.RetainStarts == 0 {
		n.RetainStarts = DefaultRetainStarts
	}
	if n.InlineLimit == 0 {
		n.InlineLimit = defaultInlineLimit
	}
	switch {
	case n.Store == nil:
		return n, fmt.Errorf("checkpoint namespace %s: Store is nil, and is required", n.Name)
	case n.InlineLimit < 0 || n.RetainStarts < 0:
		return n, fmt.Errorf("checkpoint namespace %s: neither InlineLimit nor RetainStarts can be negative", n.Name)
	case n.RetainAge < MinRetainAge:
		return n, fmt.Errorf("checkpoint namespace %s: RetainAge %v: at least %v", n.Name, n.RetainAge, MinRetainAge)
	case n.Mirror < MirrorEvery || n.Mirror > MirrorOff:
		return n, fmt.Errorf("checkpoint namespace %s: Mirror %d is none of MirrorEvery, MirrorSessions and MirrorOff", n.Name, n.Mirror)
	}
	return n, store.ValidateNamespace(n.Name)
}

// named is one checkpoint of a namespace that was filled in. Its key is valid.
type named struct {
	Namespace
	key store.Key
}

func (n Namespace) named(name string) (named, error) {
	n, err := n.filled()
	if err != nil {
		return named{}, err
	}
	key := store.Key{Namespace: n.Name, Name: name}
	return named{n, key}, key.Validate()
}

// look reads what the store holds of the checkpoint, without its copies.
func (n named) look(ctx context.Context) (store.Records, error) {
	found, err := n.Store.Look(ctx, n.key)
	if err != nil {
		return found, wrap("read", n.key, err)
	}
	return found, nil
}

// mustArchive returns an error if there is no archive.
func (n named) mustArchive(doing string) error {
	if n.Archive == nil {
		return fmt.Errorf("%s checkpoint %s: there is no archive", doing, n.key)
	}
	return nil
}

// Names yields the names of checkpoints that begin with prefix, each once: those of which the store
// or the archive has a version. A deletion that was interrupted is among them, and so is a
// checkpoint that cannot be read. A name that is only expected to be saved is not: [Namespace.List]
// has it, too. The names in the store come first, then the names that only the archive has. Names
// ends after the first error.
func (n Namespace) Names(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		n, err := n.filled()
		if err != nil {
			yield("", err)
			return
		}
		seen := map[string]bool{}
		for l, err := range n.List(ctx, prefix) {
			switch {
			case l == nil:
				yield("", err)
				return
			case err == nil && l.Checkpoint == nil && !l.Deleting:
				continue // it is only expected
			}
			seen[l.Name] = true
			if !yield(l.Name, nil) {
				return
			}
		}
		if n.Archive == nil {
			return
		}
		for name, err := range archive.Names(ctx, n.Archive, n.Name, prefix) {
			if err != nil {
				yield("", wrap("list in the archive", store.Key{Namespace: n.Name, Name: prefix}, err))
				return
			}
			if !seen[name] && !yield(name, nil) {
				return
			}
		}
	}
}
