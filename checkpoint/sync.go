package checkpoint

import (
	"context"
	"errors"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// SyncOptions say what [Sync] mirrors. The zero value is useful.
type SyncOptions struct {
	Namespace   string
	InlineLimit int          // as in [Options]
	Mirror      MirrorPolicy // as in [Options]; MirrorOff is not accepted

	// DryRun writes nothing, and returns what would be.
	DryRun bool

	// Progress is called as the work goes on, with how many versions are mirrored of how many.
	Progress func(done, total int64)
}

// Synced is what [Sync] did.
type Synced struct {
	Namespace, Name string
	Mirrored        int64 // versions that were mirrored, or with DryRun would be
	Present         int64 // that were mirrored before
	Gaps            []Gap // that can be mirrored no more
	Moved           bool  // latest.json was moved forward
}

// Sync mirrors what the store holds of a checkpoint and the archive does not: all of it, whatever
// the mirror is said to hold. It takes no lease, may run at any time beside anything, and again. A checkpoint of
// which neither holds anything is [store.ErrNotFound].
func Sync(ctx context.Context, st store.Store, a archive.Archive, name string, opts *SyncOptions) (*Synced, error) {
	return nil, errors.New("not built yet")
}
