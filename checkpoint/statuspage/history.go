package statuspage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/survey"
	"github.com/milepost-dev/milepost/store"
)

// How much of a history one request reads: versions, and bytes of the states that come with them.
const (
	maxVersions     = 500
	maxHistoryBytes = 32 << 20
)

// window is a part of a history, newest first.
type window struct {
	entries []entry
	next    int64 // older versions come before this one; 0: there are none
}

// entry is one version, without its state, or why it cannot be read.
type entry struct {
	Version int64
	*checkpoint.Checkpoint
	Err error
}

// history reads up to limit versions before one (0: the newest).
func (h *handler) history(ctx context.Context, name string, before int64, limit int) (window, error) {
	var w window
	if before == 1 {
		return w, nil
	}
	options := &checkpoint.ReadOptions{Version: max(before-1, 0)}
	var bytes int64
	for cp, err := range h.ns.History(ctx, name, options) {
		if err != nil {
			bad, ok := errors.AsType[*store.BadRecordError](err)
			if !ok {
				return w, err
			}
			version, _ := store.CopyVersion(bad.Record)
			w.entries = append(w.entries, entry{Version: version, Err: err})
		} else {
			bytes += int64(len(cp.State))
			cp.State = nil
			w.entries = append(w.entries, entry{Version: cp.Number, Checkpoint: cp})
			if cp.Number <= cp.Born {
				break
			}
		}
		if len(w.entries) >= limit || bytes > maxHistoryBytes {
			w.next = w.entries[len(w.entries)-1].Version
			break
		}
	}
	return w, nil
}

// good returns the versions that can be read, oldest first.
func (w window) good() []*checkpoint.Checkpoint {
	var good []*checkpoint.Checkpoint
	for _, e := range slices.Backward(w.entries) {
		if e.Err == nil {
			good = append(good, e.Checkpoint)
		}
	}
	return good
}

// run is one session, as the versions of a window tell of it: [checkpoint.RunInfo] of a part of the
// history.
type run struct {
	checkpoint.RunInfo
	Cut bool // it may have begun before the window
}

// runs groups the versions. live is the epoch of the lease that is held (0: none).
func (w window) runs(live int64) []run {
	good := w.good()
	slices.Reverse(good)
	var runs []run
	for _, info := range checkpoint.GroupRuns(slices.Values(good), live) {
		runs = append(runs, run{RunInfo: info})
	}
	if n := len(runs); n > 0 && w.next > 0 {
		runs[n-1].Cut = true
	}
	return runs
}

// End returns how the run ended, as milepost runs prints it.
func (r run) End() string { return survey.RunEnd(r.RunInfo) }

// event is something that happened to a checkpoint.
type event struct {
	At      time.Time
	Version int64
	What    string
	Detail  string
	Bad     bool
}

const maxEvents = 50

// events returns the events that the versions of a window show in addition to progress, newest
// first.
func (w window) events(lease *store.Lease) []event {
	var all []event
	var last *checkpoint.Checkpoint
	for _, cp := range w.good() {
		add := func(bad bool, what, detail string) {
			all = append(all, event{At: cp.SavedAt, Version: cp.Number, What: what, Detail: detail, Bad: bad})
		}
		if last != nil && last.CommitEpoch != cp.CommitEpoch {
			if last.Ended == "" {
				add(true, "The run before died", who(last.By))
			}
			add(false, "A run began", who(cp.By))
		}
		if last == nil && cp.Number == cp.Born {
			add(false, "The first run began", who(cp.By))
		}
		if cp.RestoredFrom != 0 {
			add(false, fmt.Sprintf("Content of version %s", human.Thousands(cp.RestoredFrom)), cp.Reason)
		} else if cp.Reason != "" {
			add(false, "Changed by an operator", cp.Reason)
		}
		if cp.LastError != "" && (last == nil || last.LastError != cp.LastError) {
			add(true, "Error", cp.LastError)
		}
		if cp.Label != "" {
			add(false, "Pinned", cp.Label)
		}
		if cp.Ended != "" {
			add(cp.Ended == store.EndedError, "The run ended: "+string(cp.Ended), who(cp.By))
		}
		last = cp
	}
	if lease != nil && lease.Reason != "" {
		all = append(all, event{At: lease.AcquiredAt, What: "The lease was taken or ended by hand", Detail: lease.Reason})
		slices.SortStableFunc(all, func(a, b event) int { return a.At.Compare(b.At) })
	}
	slices.Reverse(all)
	return all[:min(len(all), maxEvents)]
}

// who returns a short text for a holder.
func who(h store.Holder) string {
	s := h.ID
	if h.Host != "" && !strings.HasSuffix(s, "@"+h.Host) {
		s += " on " + h.Host
	}
	if h.RunID != "" {
		s += ", run " + h.RunID
	}
	return s
}

// maxState is the most bytes of a state that are compared or shown. The command shows more.
const maxState = 4 << 20

// version reads one version, with its state if the store holds it.
func (h *handler) version(ctx context.Context, name string, version int64) (*checkpoint.Checkpoint, error) {
	cp, err := h.withoutArchive().Get(ctx, name, &checkpoint.ReadOptions{Version: version})
	if h.ns.Archive == nil || !errors.Is(err, store.ErrNotFound) || version == 0 {
		return cp, err
	}
	// History loads no state from the archive, however large.
	for old, failed := range h.ns.History(ctx, name, &checkpoint.ReadOptions{Version: version}) {
		if failed != nil {
			return nil, failed
		}
		if old.Number == version {
			return old, nil
		}
		break
	}
	return nil, err
}

var errStateTooLarge = errors.New("the state is too large to show here")

// state loads the state of a version that was read before.
func (h *handler) state(ctx context.Context, cp *checkpoint.Checkpoint) error {
	switch {
	case max(cp.StateSize, int64(len(cp.State))) > maxState:
		return fmt.Errorf("%w: %s bytes", errStateTooLarge, human.Thousands(cp.StateSize))
	case cp.State != nil || cp.Body == "":
		return nil
	}
	r, err := cp.OpenState(ctx, h.ns.Archive)
	if err != nil {
		return err
	}
	defer r.Close()
	if cp.State, err = io.ReadAll(io.LimitReader(r, maxState+1)); err == nil && len(cp.State) > maxState {
		err = errStateTooLarge
	}
	return err
}
