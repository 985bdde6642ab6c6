package checkpoint

import (
	"errors"
	"math"
	"time"

	"github.com/milepost-dev/milepost/internal/retries"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// saveSoonAfter is how long a mark waits for its save once the process may be killed.
const saveSoonAfter = 250 * time.Millisecond

// SaveSoon says that this process may be killed soon, as after SIGTERM: what is marked is saved in
// the background now, and what is marked later within 250 ms. It does not wait. After the end of
// the caller's context marks are saved within 250 ms as well, unless Options.Interval is the
// largest Duration.
func (s *Session[T]) SaveSoon() { s.soonOnce.Do(func() { close(s.soon) }) }

// autosave saves in the background what was marked: after Options.Every records, or
// Options.Interval after the save before, whichever comes first. One save is in flight at a time.
func (s *Session[T]) autosave() {
	interval := s.opts.Interval
	timer := time.NewTimer(interval)
	defer timer.Stop()
	pauses := retries.Pace()
	soon, stopped := s.soon, s.ctx.Done()
	if interval == math.MaxInt64 {
		stopped = nil // the caller asks for every save
	}
	for {
		select {
		case <-s.wake:
		case <-timer.C:
		case <-soon:
			soon, stopped = nil, nil
			interval = min(interval, saveSoonAfter)
		case <-stopped:
			stopped = nil
			interval = min(interval, saveSoonAfter)
			timer.Reset(interval) // if the job ends at once, its closing save is enough
			continue
		case <-s.saving.Done():
			return
		case <-s.ending:
			return
		}
		err := s.save(s.saving, backgroundSave, func() bool { return s.saved == s.marked })
		switch {
		case err == nil || err == errUnreported:
			pauses.Reset()
			timer.Reset(interval)
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
