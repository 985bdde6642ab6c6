package checkpoint

import (
	"context"
	"errors"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// GCOptions say how [GC] works. The zero value is useful.
type GCOptions struct {
	Namespace string

	// DryRun removes nothing, and returns what would be.
	DryRun bool

	// Progress is called as the work goes on, with how many bodies were looked at of how many.
	Progress func(done, total int64)
}

// Collected is what [GC] removed, or with DryRun would.
type Collected struct {
	Namespace, Name string
	Bodies          []Body // that no version points at
	Kept            int64  // bodies that stay
	Deleting        bool   // a deletion had been interrupted, and was finished
	Versions        int64  // that it had left; not known with DryRun
}

// Body is one body in the archive.
type Body struct {
	Object   string // its key
	Version  int64
	CommitID string
	Size     int64 // bytes as stored
}

// GC removes the bodies of a checkpoint that no version points at and none ever will, and finishes a deletion that
// was interrupted. It takes no lease, and may run at any time beside anything: a body that is being pointed at while it runs stays. a may
// be nil: then there are no bodies.
func GC(ctx context.Context, st store.Store, a archive.Archive, name string, opts *GCOptions) (*Collected, error) {
	return nil, errors.New("not built yet")
}
