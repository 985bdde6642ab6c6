package survey

import (
	"context"
	"errors"
	"time"

	"github.com/milepost-dev/milepost/store"
)

// MaxHistories is for how many checkpoints one look reads older versions.
const MaxHistories = 100

// Memory is what earlier looks have shown. The zero value remembers nothing. What one look alone does not tell, it reads
// from older versions, of at most [MaxHistories] checkpoints a look.
type Memory struct {
	known map[store.Key]Movement
}

// Movement is how a checkpoint moves.
type Movement struct {
	Advanced time.Time // when the cursor last changed, or at the latest so; the zero time: it was never saved
	Rate     float64   // records a second, between the last two looks or the last two versions; 0: not known

	version, records int64
	cursor           string
	at               time.Time
}

// Recall returns how each of the items moves, in their order, and remembers it for the next look. Items come in the order in which
// history is worth reading. It returns the first error of a read along with what it knows.
func (m *Memory) Recall(ctx context.Context, st store.Store, items []Item) ([]Movement, error) {
	before := m.known
	m.known = make(map[store.Key]Movement, len(items))
	all := make([]Movement, len(items))
	budget := MaxHistories
	var failed error
	for n := range items {
		i := &items[n]
		if !i.Saved() {
			continue
		}
		now := Movement{
			Advanced: i.Head.SavedAt, version: i.Head.Version.Version, cursor: i.Head.Cursor,
			records: i.Head.Processed + i.Head.Version.Failed, at: i.Now,
		}
		last, known := before[i.Key]
		switch {
		case known:
			if now.cursor == last.cursor {
				now.Advanced = last.Advanced
			}
			if span := now.at.Sub(last.at); span > 0 && now.records >= last.records {
				now.Rate = float64(now.records-last.records) / span.Seconds()
			}
		case budget > 0 && (i.Held || i.Expect != nil) && failed == nil:
			budget--
			failed = now.read(ctx, st, i)
		}
		m.known[i.Key] = now
		all[n] = now
	}
	return all, failed
}

// read finds in older versions what no earlier look has shown: first doubling the step back until the cursor differs, then halving it. It takes two
// reads for each doubling of the versions that share a cursor, and mostly one.
func (m *Movement) read(ctx context.Context, st store.Store, i *Item) error {
	newest := i.Head.Version
	same, at := newest.Version, newest.SavedAt // the oldest version known to have this cursor
	other := newest.Born - 1                   // the newest one known not to
	for step := int64(1); same-other > 1; {
		look := same - step
		if step == 0 || look <= other {
			look = other + (same-other)/2
			step = 0
		}
		c, err := st.Version(ctx, i.Key, look)
		switch {
		case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrBadRecord), errors.Is(err, store.ErrNewerFormat):
			other = look // it goes back further than there are versions
			step = 0
			continue
		case err != nil:
			return err
		}
		if look == newest.Version-1 && i.Held {
			if span := newest.SavedAt.Sub(c.SavedAt); span > 0 {
				m.Rate = float64(max(newest.Processed+newest.Failed-c.Processed-c.Version.Failed, 0)) / span.Seconds()
			}
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
