package checkpoint

import (
	"context"
	"errors"
	"io"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// ExportOptions say what [Export] writes. The zero value is the whole history.
type ExportOptions struct {
	Namespace string
	Archive   archive.Archive // as in [ReadOptions]
	Newest    bool            // the newest version alone

	// Progress is called as the work goes on, with how many versions were written of how many.
	Progress func(done, total int64)
}

// Exported is what [Export] wrote.
type Exported struct {
	Namespace, Name string
	Versions        int64
	Bytes           int64
}

// Export writes the versions of a checkpoint to w, oldest first, as JSON lines that [Import] reads: each is a [Checkpoint]
// as JSON, with "fmt", and behind it in lines of their own the parts of a state that is too large for a line. The errors are
// those of [Get]; after one, what was written is not a whole checkpoint.
func Export(ctx context.Context, st store.Store, name string, w io.Writer, opts *ExportOptions) (*Exported, error) {
	return nil, errors.New("not built yet")
}
