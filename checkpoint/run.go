package checkpoint

import (
	"context"
	"errors"
	"fmt"

	"github.com/milepost-dev/milepost/lease"
)

// Run opens a session on the checkpoint name, calls fn with it, and closes it: it acquires the lease,
// resumes, renews, saves in the background, saves once more at the end, and releases.
//
// fn goes on from s.Cursor(). Its context ends when ctx does, and, with a cause that says why, when
// the session does before: see [Session.Context].
//
// Run returns nil if fn did, the lease was held throughout, and the last save is durable.
// It returns fn's own error unchanged, joined with the closing's if that failed too. When the lease was
// lost it returns the [*lease.LostError]; when the session handed over, [ErrYielded]; when fn returned nil or
// its context's error after ctx had ended, ctx's cause: so nil always means that fn came to its end. The errors of
// the opening are those of [Open].
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
		jobErr = cause // it came to no end of its own
	} else if cause != nil && s.interrupted(jobErr) && !errors.Is(jobErr, cause) {
		if lost := s.c.lease.Lost(); lost != nil || errors.Is(cause, ErrYielded) || s.whyFailed() != nil {
			jobErr = cause
		}
	}
	closeErr := s.Close(ctx, jobErr)
	if lost, ok := errors.AsType[*lease.LostError](closeErr); ok && errors.Is(jobErr, lost) {
		closeErr = nil // said already
	}
	if closeErr == nil {
		return jobErr
	}
	if jobErr == nil {
		return closeErr
	}
	return errors.Join(jobErr, closeErr)
}
