package survey

import (
	"context"
	"errors"
	"time"

	"github.com/milepost-dev/milepost/internal/parallel"
	"github.com/milepost-dev/milepost/store"
)

// MaxHistories is the number of checkpoints for which one survey reads older versions.
const MaxHistories = 100

// Memory keeps what earlier surveys have shown. The zero value remembers nothing. What one survey
// cannot show, Recall reads from older versions, of at most [MaxHistories] checkpoints per survey.
type Memory struct {
	known map[store.Key]Movement
}

// Movement is the progress of a checkpoint.
type Movement struct {
	Advanced time.Time // when the cursor last changed, or the latest time at which it can have changed; zero: never saved
	Rate     float64   // records a second between two saves, falling while the next save is awaited; 0: not known

	version, records int64
	cursor           string
	savedAt          time.Time
	gained           int64         // records between two saves that surveys have seen
	within           time.Duration // the time between these saves
}

// Recall returns the movement of each item, in their order, and remembers it for the next survey.
// Items whose history is most worth reading must come first. If a read fails, Recall returns the
// first error along with what it knows.
func (m *Memory) Recall(ctx context.Context, st store.Store, items []Item) ([]Movement, error) {
	before := m.known
	m.known = make(map[store.Key]Movement, len(items))
	all := make([]Movement, len(items))
	var unknown []int // items whose history must be read
	for n := range items {
		i := &items[n]
		if !i.Saved() {
			continue
		}
		now := Movement{
			Advanced: i.Head.SavedAt, version: i.Head.Number, cursor: i.Head.Cursor,
			records: i.Head.Processed + i.Head.Version.Failed, savedAt: i.Head.SavedAt,
		}
		last, known := before[i.Key]
		switch {
		case known && i.Head.Born <= last.version: // else it was deleted meanwhile, and what was before does not count
			now.since(&last)
		case len(unknown) < MaxHistories && (i.Held || i.Expect != nil):
			unknown = append(unknown, n)
		}
		all[n] = now
	}
	err := parallel.Each(ctx, len(unknown), atOnce, func(ctx context.Context, u int) error {
		n := unknown[u]
		return all[n].read(ctx, st, &items[n])
	})
	for n := range items {
		if i := &items[n]; i.Saved() {
			all[n].Rate = all[n].rate(i)
			m.known[i.Key] = all[n]
		}
	}
	return all, err
}

// since takes over what an earlier survey has shown.
func (m *Movement) since(last *Movement) {
	if m.cursor == last.cursor {
		m.Advanced = last.Advanced
	}
	m.gained, m.within = last.gained, last.within
	if m.version != last.version {
		// A count that fell has started again after a reset or a rollback.
		m.gained, m.within = max(m.records-last.records, 0), m.savedAt.Sub(last.savedAt)
	}
}

// rate uses the times of saves, not of surveys: there may be no save between two surveys, or the
// store's clock may have whole seconds.
func (m *Movement) rate(i *Item) float64 {
	span := m.within
	if idle := i.Now.Sub(m.savedAt); idle > span {
		if !i.Held {
			return 0 // the run has ended
		}
		span = idle
	}
	if span <= 0 {
		return 0
	}
	return float64(m.gained) / span.Seconds()
}

// read finds in older versions what no earlier survey has shown. It first doubles the step back
// until the cursor differs, then halves the step. It takes two reads for each doubling of the
// versions that share a cursor, and mostly one.
func (m *Movement) read(ctx context.Context, st store.Store, i *Item) error {
	newest := i.Head.Version
	same, at := newest.Number, newest.SavedAt // the oldest version known to have this cursor
	other := newest.Born - 1                  // the newest version known to have another cursor
	for step := int64(1); same-other > 1; {
		look := same - step
		if step == 0 || look <= other {
			look = other + (same-other)/2
			step = 0
		}
		c, err := st.Version(ctx, i.Key, look)
		switch {
		case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrBadRecord), errors.Is(err, store.ErrNewerFormat):
			other = look // look is before the oldest version
			step = 0
			continue
		case err != nil:
			return err
		}
		if look == newest.Number-1 {
			m.gained = max(newest.Processed+newest.Failed-c.Processed-c.Version.Failed, 0)
			m.within = newest.SavedAt.Sub(c.SavedAt)
		}
		if c.Cursor == newest.Cursor {
			same, at = look, c.SavedAt
			step *= 2
		} else {
			other, step = look, 0
		}
	}
	m.Advanced = at
	return nil
}
