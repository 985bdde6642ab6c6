package checkpoint

import (
	"context"
	"iter"
)

// RunInfo is one session as its versions show it.
type RunInfo struct {
	*Checkpoint             // the newest of its versions, which says how far it came and how it ended
	First       *Checkpoint // the oldest of its versions that are still kept
	Live        bool        // it holds the lease, which has not run out
}

// Runs groups the versions that are kept by the epoch that committed them: who ran, when, how far
// the run came, how it ended. The newest run is first. A run that saved nothing leaves no trace.
// The options choose where the runs begin, as for [Namespace.History]. States are not loaded. The
// errors are those of [Namespace.Get].
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

// GroupRuns groups versions, which come newest first, by the epoch that committed them. live is the
// epoch of the lease that is held; 0: none is.
func GroupRuns(versions iter.Seq[*Checkpoint], live int64) []RunInfo {
	var runs []RunInfo
	for cp := range versions {
		if n := len(runs); n == 0 || runs[n-1].CommitEpoch != cp.CommitEpoch {
			runs = append(runs, RunInfo{Checkpoint: cp, Live: cp.Ended == "" && n == 0 && live == cp.CommitEpoch})
		}
		runs[len(runs)-1].First = cp
	}
	return runs
}
