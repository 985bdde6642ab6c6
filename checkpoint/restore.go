package checkpoint

import (
	"context"
	"errors"
	"time"

	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// RestoreOptions say what [Restore] restores. The zero value is the newest version, into a store that has nothing of
// the checkpoint.
type RestoreOptions struct {
	Namespace string

	// At restores the newest version that was saved at that time or before. Zero: the newest.
	At time.Time

	// Behind restores into a store that has the checkpoint and is behind the mirror, such as a table that was brought back
	// from a backup. Without it that is a [*RefusedError].
	Behind bool

	// Reason is kept on the version, for people.
	Reason string

	// DryRun changes nothing, takes no lease, and returns what would be.
	DryRun bool

	// Lease says who restores, and how long to wait for a lease that is held.
	Lease lease.Options

	// RetainAge, RetainStarts and InlineLimit are as in [Options].
	RetainAge    time.Duration
	RetainStarts int
	InlineLimit  int

	// Progress is called as the work goes on, with how many versions were brought back of how many.
	Progress func(done, total int64)
}

// Restored is what [Restore] did. With DryRun After has neither CommitID nor epoch yet.
type Restored struct {
	Before *Checkpoint // what the store had; nil: nothing
	From   *Checkpoint // the version of the mirror whose content it now has
	After  *Checkpoint
	Copies int64 // older versions that were brought back into the store; the others are read from the archive
}

// Restore brings a checkpoint that the store has lost back from its mirror: it makes a version above all that
// were mirrored, with the content of the newest, as a commit under the lease and an epoch that is 1,000,000 above any seen,
// so that whoever worked on it before the loss is fenced. Where the store is not behind the mirror it is a [*RefusedError]; where there is no
// mirror, or no version as of At, [store.ErrNotFound]. A damaged newest version is [store.ErrBadRecord], and nothing older stands in
// for it: At chooses one. A restore that was interrupted is run again. Otherwise as [Rollback].
func Restore(ctx context.Context, st store.Store, a archive.Archive, name string, opts *RestoreOptions) (*Restored, error) {
	return nil, errors.New("not built yet")
}
