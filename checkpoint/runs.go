package checkpoint

import (
	"context"
	"iter"
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
func (n Namespace) Runs(ctx context.Context, name string, opts *ReadOptions) ([]RunInfo, error) {
	one, o, err := n.reading(name, opts)
	if err != nil {
		return nil, err
	}
	r, err := one.existing(ctx)
	if err != nil {
		return nil, err
	}
	var failed error
	versions := func(yield func(*Checkpoint) bool) {
		for e, err := range r.history(ctx, o.Version, o.At) {
			if err != nil {
				failed = err
				return
			}
			e.State = nil // so that it need not be unpacked, and one that cannot be hides no run
			cp, err := viewCopy(r.key, &e)
			if err != nil {
				failed = err
				return
			}
			if !yield(cp) {
				return
			}
		}
	}
	var live int64
	if held, _ := r.lease.HeldAt(r.clock); held {
		live = r.lease.Epoch
	}
	runs := GroupRuns(versions, live)
	if failed != nil {
		return nil, failed
	}
	return runs, nil
}

// GroupRuns groups versions, which come newest first, by the epoch that committed them. live is the epoch
// of the lease that is held; 0: none is.
func GroupRuns(versions iter.Seq[*Checkpoint], live int64) []RunInfo {
	var runs []RunInfo
	for cp := range versions {
		if n := len(runs); n == 0 || runs[n-1].Epoch != cp.CommitEpoch {
			runs = append(runs, RunInfo{
				Epoch: cp.CommitEpoch, By: cp.By, Last: cp.Number, Saved: cp.SavedAt, Cursor: cp.Cursor,
				Processed: cp.Processed, Failed: cp.Failed, LastError: cp.LastError, Reason: cp.Reason, Ended: cp.Ended,
				Live: cp.Ended == "" && n == 0 && live == cp.CommitEpoch,
			})
		}
		run := &runs[len(runs)-1]
		run.First, run.Began = cp.Number, cp.SavedAt
	}
	return runs
}
