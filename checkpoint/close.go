package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// Close ends the session. It cancels the session's context, saves what was marked last with how the
// session ended, waits until that version and its copy are durable, and releases the lease. The
// caller's work must be over.
//
// err says how the session ended:
//   - nil: done, if every record that was started is finished; otherwise an error that matches
//     [ErrUnfinished], which Close returns;
//   - an error that matches [ErrYielded]: handed over;
//   - the end of the session's context, if the caller ended it: stopped;
//   - anything else: an error. Its text is saved as last_error, redacted and cut to 1 KiB, with the
//     cursor, counts and state of the last mark.
//
// Close returns nil, or why not everything was saved or released. After a loss that is the
// [*lease.LostError]. It works even if ctx and the session's context have ended. It takes at most
// about two lease durations, and five more seconds for the archive, when the lease is already free.
// A second call returns the same.
func (s *Session[T]) Close(ctx context.Context, err error) error {
	s.lock()
	s.mu.Unlock()
	s.closing.Do(func() { s.closeErr = s.close(ctx, err) })
	return s.closeErr
}

// CloseBy bounds a Close that begins after it: at t, Close gives up what is not saved or released, and
// says so. Only the archive gets five more seconds. A process that must end by a certain time calls
// it.
func (s *Session[T]) CloseBy(t time.Time) { s.closeBy.Store(&t) }

func (s *Session[T]) close(ctx context.Context, jobErr error) error {
	ended, lastErr := s.ended(jobErr)
	s.mu.Lock()
	s.closed = true
	left := s.dropped
	if ended == store.EndedDone {
		if left = s.unfinished(); left != nil {
			ended, lastErr = store.EndedError, left
		}
	}
	unreported := s.unreported
	s.announce()
	s.mu.Unlock()
	close(s.ending)
	s.cancel(ErrClosed)

	ctx = context.WithoutCancel(ctx)
	patience := max(s.opts.Lease.Duration, time.Second)
	if by := s.closeBy.Load(); by != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, *by)
		defer cancel()
		patience = min(patience, max(time.Until(*by), 0))
	}
	if s.c.lease.Lost() != nil {
		patience = min(patience, 5*time.Second)
	}
	bounded, cancel := context.WithTimeoutCause(ctx, patience,
		fmt.Errorf("the store did not take it within %v: %w", patience, context.DeadlineExceeded))
	defer cancel()
	// The save in flight has half the time. The rest is for settling its outcome.
	defer time.AfterFunc(patience/2, s.stopSaving).Stop()

	err := s.saveLast(bounded, ended, lastErr, unreported != nil)
	s.stopSaving()
	s.background.Wait()
	if behind := s.c.close(bounded); err == nil && behind != nil {
		err = wrap("copy the last version of", s.c.key, behind)
	}
	released := s.release(ctx)
	s.c.finish(ctx)
	if lost := s.c.lease.Lost(); errors.Is(err, lost) {
		return err
	}
	if err == nil && released == nil {
		return left
	}
	return errors.Join(left, err, released)
}

// unfinished returns an error that names the first record that was started and not finished, or
// nil. It is called with s.mu held.
func (s *Session[T]) unfinished() error {
	first, ok := s.window.holding()
	if !ok {
		return nil
	}
	return wrap("close", s.c.key, fmt.Errorf("%w: the first is at %q, and there are %d more: everything before it is saved",
		ErrUnfinished, first.first, s.window.unfinished()-1))
}

// ended returns how the session ended: by the error that the caller gave, and by what ended the
// session's context.
func (s *Session[T]) ended(err error) (store.Ended, error) {
	failure := s.whyFailed()
	switch {
	case errors.Is(err, ErrYielded):
		return store.EndedYielded, nil
	case failure != nil:
		return store.EndedError, failure
	case err == nil:
		return store.EndedDone, nil
	case !s.interrupted(err):
		return store.EndedError, err
	case errors.Is(context.Cause(s.ctx), ErrYielded):
		return store.EndedYielded, nil
	}
	return store.EndedStopped, nil
}

// interrupted reports whether err only says that the session's context has ended.
func (s *Session[T]) interrupted(err error) bool {
	cause := context.Cause(s.ctx)
	return cause != nil && (errors.Is(err, cause) || errors.Is(err, s.ctx.Err()))
}

// saveLast makes the closing save. If what is marked cannot be saved, it saves the version before
// again, with the error.
func (s *Session[T]) saveLast(ctx context.Context, ended store.Ended, lastErr error, unreported bool) error {
	if err := s.begin(ctx, closingSave); err != nil {
		return err
	}
	defer s.c.end()
	var report error
	if unreported && s.c.settled != nil {
		report = s.c.settled
		if lastErr == nil {
			ended, lastErr = store.EndedError, report
		}
	}
	sv, err := s.takeLast(ended)
	if err == nil {
		err = s.commitLast(ctx, sv, ended, lastErr)
	}
	if err == nil || errors.Is(err, ErrOutcomeUnknown) || !permanent(err) && !errors.Is(err, errUnsavable) {
		return errors.Join(err, report)
	}
	switch {
	case lastErr == nil:
		lastErr = err
	case errors.Is(err, errUnsavable): // the history must say what was lost
		lastErr = fmt.Errorf("%w; %w", lastErr, err)
	}
	again := newSave(store.Version{Content: s.c.base.Content})
	again.settled = func(landed bool) { s.settled(again, landed) }
	return errors.Join(err, report, s.commitLast(ctx, again, store.EndedError, lastErr))
}

func (s *Session[T]) takeLast(ended store.Ended) (*save, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ended == store.EndedDone {
		s.view.Lock()
		s.window.before = nil // the input does not have these records any more
		s.view.Unlock()
	}
	return s.take()
}

func (s *Session[T]) commitLast(ctx context.Context, sv *save, ended store.Ended, lastErr error) error {
	next := &sv.commit.Next
	next.Ended = ended
	if lastErr != nil {
		next.LastError = s.opts.lastError(lastErr)
	}
	return s.c.commit(ctx, sv)
}

// lastError returns the text of err as it is saved.
func (o *Options) lastError(err error) string {
	text := err.Error()
	if o.Redact != nil {
		text = o.Redact(text)
	}
	return store.CutText(strings.ToValidUTF8(text, "\uFFFD"), store.MaxLastError)
}

// release marks the lease free, within a separate time limit. If the lease was lost before, release
// returns the loss.
func (s *Session[T]) release(ctx context.Context) error {
	lost := s.c.lease.Lost()
	bounded, cancel := context.WithTimeout(ctx, max(s.opts.Lease.Duration, time.Second))
	defer cancel()
	err := s.c.lease.Release(bounded)
	if lost != nil && lost.Reason != lease.Released {
		return lost
	}
	return err
}
