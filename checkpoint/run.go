package checkpoint

import (
	"context"
	"errors"
	"fmt"

	"github.com/milepost-dev/milepost/internal/later"
	"github.com/milepost-dev/milepost/lease"
)

// Run opens a session on the checkpoint name, calls fn with it, and closes it: it acquires the
// lease, resumes, renews, saves in the background, saves once more at the end, and releases.
//
// fn continues from s.Cursor(). Its context ends when ctx ends. It also ends, with a cause that
// says why, when the session ends before: see [Session.Context].
//
// Run returns nil if fn returned nil, the lease was held all the time, and the last save is
// durable. So nil always means that fn came to its end. Otherwise Run returns:
//   - fn's own error, unchanged, and joined with the error of the closing if that failed, too;
//   - the [*lease.LostError] if the lease was lost;
//   - [ErrYielded] if the session handed over;
//   - ctx's cause if fn returned nil or its context's error after ctx had ended; if fn's error wraps
//     its context's, both joined;
//   - an error that matches [ErrUnfinished] if fn returned nil with a record in hand;
//   - the errors of [Open].
//
// If fn panics, that is saved as an error, and Run panics with the same value.
func Run[T any](ctx context.Context, ns Namespace, name string, fn func(context.Context, *Session[T]) error, opts *Options) error {
	s, err := Open[T](ctx, ns, name, opts)
	if err != nil {
		return err
	}
	returned := false
	defer func() {
		if returned {
			return
		}
		p := recover()
		why := errors.New("the function did not return: it called runtime.Goexit")
		if p != nil {
			why = fmt.Errorf("panic: %v", p)
		}
		if err := s.Close(ctx, why); err != nil {
			if refused, ok := errors.AsType[*RefusedError](err); ok && refused.What == "cursor" {
				err = fmt.Errorf("%w: a save must not move the cursor backward", ErrRefused) // no cursor is logged
			}
			s.opts.Logger.Error("not saved after a panic", "checkpoint", s.c.key.String(), "error", err)
			later.Flush(s.opts.Logger, flushWithin)
		}
		if p != nil {
			panic(p)
		}
	}()
	jobErr := fn(s.Context(), s)
	returned = true
	return s.finished(ctx, jobErr)
}

// finished closes the session after its function returned.
func (s *Session[T]) finished(ctx context.Context, jobErr error) error {
	cause := context.Cause(s.ctx)
	if jobErr == nil {
		jobErr = cause // it did not come to its end by itself
	} else if cause != nil && s.interrupted(jobErr) && !errors.Is(jobErr, cause) {
		if own := s.c.lease.Lost() == nil && !errors.Is(cause, ErrYielded) && s.whyFailed() == nil; own && jobErr != s.ctx.Err() {
			cause = errors.Join(jobErr, cause)
		}
		jobErr = cause
	}
	closeErr := s.Close(ctx, jobErr)
	if lost, ok := errors.AsType[*lease.LostError](closeErr); ok && errors.Is(jobErr, lost) {
		closeErr = nil // jobErr says it already
	}
	if closeErr == nil || jobErr != nil && errors.Is(jobErr, closeErr) {
		return jobErr
	}
	if jobErr == nil {
		return closeErr
	}
	return errors.Join(jobErr, closeErr)
}
