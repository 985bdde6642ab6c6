package checkpoint

import (
	"errors"
	"time"

	"github.com/milepost-dev/milepost/internal/retries"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// autosave saves in the background what was marked: after Options.Every records, or
// Options.Interval after the save before, whichever comes first. One save is in flight at a time.
func (s *Session[T]) autosave() {
	timer := time.NewTimer(s.opts.Interval)
	defer timer.Stop()
	pauses := retries.Pace()
	for {
		select {
		case <-s.wake:
		case <-timer.C:
		case <-s.saving.Done():
			return
		case <-s.ending:
			return
		}
		err := s.save(s.saving, backgroundSave, func() bool { return s.saved == s.marked })
		switch {
		case err == nil || err == errUnreported:
			pauses.Reset()
			timer.Reset(s.opts.Interval)
		case permanent(err) || errors.Is(err, errUnsavable):
			s.mu.Lock()
			s.fail(err)
			s.mu.Unlock()
			return
		case errors.Is(err, lease.ErrLost) || errors.Is(err, ErrClosed) || s.saving.Err() != nil: // the closing save saves it
			return
		case errors.Is(err, store.ErrCredentials): // they were refused for [retries.Lag]
			s.mu.Lock()
			s.fail(err)
			s.mu.Unlock()
			return
		default:
			s.opts.Logger.Warn("not saved in the background; it is tried again", "checkpoint", s.c.key.String(), "error", err)
			timer.Reset(pauses.NextBackOff())
		}
	}
}
