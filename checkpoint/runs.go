package checkpoint

import (
	"context"
	"time"

	"github.com/milepost-dev/milepost/store"
)

// RunInfo is one session as its versions tell of it.
type RunInfo struct {
	Epoch     int64
	By        store.Holder
	First     int64     // of its versions that are still kept
	Last      int64     // its newest
	Began     time.Time // when First was saved
	Saved     time.Time // when Last was saved
	Cursor    string    // how far it came
	Processed int64     // over all runs, at its end
	Failed    int64
	LastError string
	Reason    string      // an operator's, on Last
	Ended     store.Ended // "": it is live, or it died
	Live      bool        // it holds the lease, which has not run out
}

// Runs groups the versions that are kept by the epoch that committed them: who ran, when, how far it came, how
// it ended. The newest is first. A run that has saved nothing leaves no trace. opts.Version and opts.At choose where it
// begins, as for [History]; the errors are those of [Get].
func Runs(ctx context.Context, st store.Store, name string, opts *ReadOptions) ([]RunInfo, error) {
	key, o, err := opts.key(name)
	if err != nil {
		return nil, err
	}
	r, err := look(ctx, st, key, o.Archive)
	if err != nil {
		return nil, err
	}
	var runs []RunInfo
	for c, err := range r.history(ctx, o.Version, o.At) {
		if err != nil {
			return nil, err
		}
		if n := len(runs); n == 0 || runs[n-1].Epoch != c.CommitEpoch {
			runs = append(runs, RunInfo{
				Epoch: c.CommitEpoch, By: c.By, Last: c.Number, Saved: c.SavedAt, Cursor: c.Cursor,
				Processed: c.Processed, Failed: c.Failed, LastError: c.LastError, Reason: c.Reason, Ended: c.Ended,
				Live: c.Ended == "" && runs == nil && live(r.lease, c.CommitEpoch, r.clock),
			})
		}
		run := &runs[len(runs)-1]
		run.First, run.Began = c.Number, c.SavedAt
	}
	return runs, nil
}

func live(l *store.Lease, epoch int64, now store.Clock) bool {
	return l != nil && l.Epoch == epoch && l.Status == store.Held && !l.Until.PassedBy(now, 0)
}
