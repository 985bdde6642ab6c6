package checkpoint

import (
	"context"
	"errors"
)

// purpose says what asks for a save. It decides whether the call returns the outcome of an earlier
// save, or settles that save without an error.
type purpose int

const (
	plainSave      purpose = iota // a call of the caller
	writesSave                    // a call of the caller, with the caller's own writes
	backgroundSave                // autosave: there is no caller to return an error to
	closingSave                   // the end of the session; Close reports
)

// errUnreported: nothing is saved in the background until the caller has heard the outcome of the
// caller's own writes.
var errUnreported = errors.New("the outcome of an earlier save waits to be reported")

// begin waits for the turn and settles the open save. It returns nil if a commit may start: the
// copy of the newest version is durable, and the lease allows a commit. The caller then owns the
// turn until it calls end.
func (c *committer) begin(ctx context.Context, why purpose) error {
	lost := c.lease.Context().Done()
	if why == closingSave {
		lost = nil
	}
	select {
	case <-c.turn: // even if ctx has ended: the open save may still be settled
	default:
		select {
		case <-c.turn:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-lost:
			return context.Cause(c.lease.Context())
		}
	}
	c.lost = lost
	err := c.prepare(ctx, why)
	if err != nil {
		c.end()
	}
	return err
}

func (c *committer) end() { c.turn <- struct{}{} }

// over returns why the turn's owner must stop waiting: ctx or the lease has ended. nil: it may
// wait.
func (c *committer) over(ctx context.Context) error {
	if ctx.Err() != nil || c.lost == nil {
		return context.Cause(ctx)
	}
	return context.Cause(c.lease.Context())
}

// bounded returns a context that ends with ctx, and with the lease if the loss of the lease ends
// the turn.
func (c *committer) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if c.lost == nil {
		return ctx, func() { cancel(nil) }
	}
	live := c.lease.Context()
	undo := context.AfterFunc(live, func() { cancel(context.Cause(live)) })
	if live.Err() != nil { // at once: what follows must not depend on when AfterFunc's goroutine runs
		cancel(context.Cause(live))
	}
	return ctx, func() { undo(); cancel(nil) }
}

// prepare does what must be done before the next commit.
func (c *committer) prepare(ctx context.Context, why purpose) error {
	if err := c.settleOpen(ctx, why); err != nil {
		return err
	}
	if s := c.settled; s != nil {
		switch why {
		case backgroundSave:
			return errUnreported
		case plainSave, writesSave:
			c.settled = nil
			return s
		}
	}
	if lost := c.lease.Lost(); lost != nil {
		return lost
	}
	if err := c.copied(ctx); err != nil {
		return err
	}
	if c.first {
		if err := c.keepBase(ctx); err != nil {
			return err
		}
	}
	if why == closingSave {
		c.awaitRetired(ctx)
		if c.mirror != nil {
			c.mirror.await(ctx)
		}
	}
	return c.lease.Ready(ctx)
}

// settleOpen sends the open save again until its outcome is known.
func (c *committer) settleOpen(ctx context.Context, why purpose) error {
	sv := c.open
	if sv == nil {
		return nil
	}
	err := c.send(ctx, sv)
	if c.open != nil {
		if unknown, ok := errors.AsType[*OutcomeUnknownError](err); ok {
			unknown.Earlier = true
		}
		return err
	}
	if sv.reported || why == writesSave {
		s := &SettledError{
			Key: c.key, Version: sv.commit.Next.Number, CommitID: sv.commit.Next.CommitID, Landed: err == nil, Err: err,
		}
		if lost := c.lease.Lost(); lost != nil {
			s.Err = lost
		}
		c.settled = s
	}
	return nil
}
