package checkpoint

import (
	"context"
	"errors"
	"time"

	"github.com/milepost-dev/milepost/store"
)

// PruneOptions say what [Prune] keeps. The zero value keeps what a session with default [Options] does.
type PruneOptions struct {
	Namespace string

	// RetainAge and RetainStarts are as in [Options]: a version stays if either keeps it. A negative RetainStarts keeps
	// none for that reason.
	RetainAge    time.Duration
	RetainStarts int

	// DryRun removes nothing, and returns what would be.
	DryRun bool

	// Progress is called as the work goes on, with how many versions were looked at of how many.
	Progress func(done, total int64)
}

// Pruned is what [Prune] removed, or with DryRun would.
type Pruned struct {
	Namespace, Name string
	Versions        []PrunedVersion // newest first
	Kept            int64           // versions that stay, the newest among them
}

// PrunedVersion is one version that was removed.
type PrunedVersion struct {
	Version int64
	SavedAt time.Time
}

// Prune removes the versions of a checkpoint that are older than RetainAge, but for the newest, savepoints, and the
// versions that the newest RetainStarts sessions started from. The mirror keeps them; bodies that nothing points at any more
// are for [GC]. It takes no lease, and may run at any time beside anything. No such checkpoint is [store.ErrNotFound].
func Prune(ctx context.Context, st store.Store, name string, opts *PruneOptions) (*Pruned, error) {
	return nil, errors.New("not built yet")
}
