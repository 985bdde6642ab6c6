package homemade

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
)

// order sorts the versions by the time in the name, then by the time in the record. It finds the
// versions whose order these times do not show.
func (h *History) order() {
	slices.SortFunc(h.Versions, func(a, b *Object) int {
		if c := a.Named.Compare(b.Named); c != 0 {
			return c
		}
		if c := a.recorded.Compare(b.recorded); c != 0 {
			return c
		}
		return strings.Compare(a.Key, b.Key)
	})
	var kept []*Object
	for i := 0; i < len(h.Versions); {
		end := i + 1
		for end < len(h.Versions) && h.Versions[end].Named.Equal(h.Versions[i].Named) {
			end++
		}
		kept = append(kept, h.sameSecond(h.Versions[i:end])...)
		i = end
	}
	h.Versions = kept
	for i, o := range h.Versions {
		o.Checkpoint.Number = int64(i + 1)
		if folder := path.Dir(o.Key); !slices.Contains(h.Folders, folder) {
			h.Folders = append(h.Folders, folder)
		}
	}
}

// sameSecond takes objects that have the same time in their names, in order, and returns them
// without repetitions.
func (h *History) sameSecond(group []*Object) []*Object {
	var kept []*Object
	for _, o := range group {
		if slices.ContainsFunc(kept, func(k *Object) bool { return bytes.Equal(k.data, o.data) }) {
			h.Repeated = append(h.Repeated, o)
		} else {
			kept = append(kept, o)
		}
	}
	if len(kept) > 1 && kept[0].recorded.IsZero() { // the first one may belong before or after any other
		h.Ties = append(h.Ties, kept)
		return kept
	}
	for i := 0; i < len(kept); {
		end := i + 1
		for end < len(kept) && kept[end].recorded.Equal(kept[i].recorded) {
			end++
		}
		if end-i > 1 {
			h.Ties = append(h.Ties, kept[i:end:end])
		}
		i = end
	}
	return kept
}

// Doubt returns why it is not known which version is the newest. It returns nil if it is known.
func (h *History) Doubt() error {
	refused := func(format string, args ...any) error {
		return fmt.Errorf("import %s: %w: %s; --skip KEY leaves an object out", h.Place, checkpoint.ErrRefused, fmt.Sprintf(format, args...))
	}
	if len(h.Versions) == 0 {
		if len(h.Unreadable) > 0 {
			return refused("none of the %d objects can be read", len(h.Unreadable))
		}
		return fmt.Errorf("import %s: %w: there is no checkpoint_<unix seconds>.json", h.Place, store.ErrNotFound)
	}
	newest := h.Versions[len(h.Versions)-1]
	for _, o := range h.Unreadable {
		if !o.Named.Before(newest.Named) {
			return refused("%s, the newest by its name, cannot be read, and an older one does not replace it: %v", o.Key, o.Err)
		}
	}
	for _, tie := range h.Ties {
		if slices.Contains(tie, newest) {
			return refused("which is the newest of %s cannot be known", strings.Join(Keys(tie), " and "))
		}
	}
	return nil
}

// Keys returns the keys of objects.
func Keys(objects []*Object) []string {
	var keys []string
	for _, o := range objects {
		keys = append(keys, o.Key)
	}
	return keys
}
