package memstore

import (
	"slices"

	"github.com/milepost-dev/milepost/store"
)

// The records handed in and out are copies all the way down.

func cloneVersion(v store.Version) store.Version {
	v.By = readableHolder(v.By)
	v.Finished = slices.Clone(v.Finished)
	v.Starts = slices.Clone(v.Starts)
	if v.State != nil {
		state := *v.State
		state.Data = slices.Clone(state.Data)
		state.SHA256 = slices.Clone(state.SHA256)
		v.State = &state
	}
	return v
}

func cloneHead(h *store.Head) *store.Head {
	if h == nil {
		return nil
	}
	c := *h
	c.Version = cloneVersion(h.Version)
	return &c
}

func cloneLease(l *store.Lease) *store.Lease {
	if l == nil {
		return nil
	}
	c := *l
	if l.Wanted != nil {
		wanted := *l.Wanted
		c.Wanted = &wanted
	}
	return &c
}

func cloneCopy(c store.Copy) store.Copy {
	c.Version = cloneVersion(c.Version)
	return c
}

// readableHolder is what HEAD and the copies keep of a holder: what rule (e) judges
// by lies in LEASE alone.
func readableHolder(h store.Holder) store.Holder {
	return store.Holder{ID: h.ID, Host: h.Host, PID: h.PID, RunID: h.RunID}
}
