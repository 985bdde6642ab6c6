package faultstore

import (
	"context"
	"time"

	"github.com/milepost-dev/milepost/store"
)

// Fault is what happens to a call instead of its being passed on; it passes it on
// itself with [Call.Deliver], if at all. What it returns is the reply.
type Fault func(ctx context.Context, c *Call) error

// LoseReply applies the call and loses the reply: an ambiguous error.
func LoseReply(ctx context.Context, c *Call) error {
	_ = c.Deliver(ctx)
	return c.errorf("%w: the reply was lost", store.ErrUnavailable)
}

// LoseRequest never applies the call; the error is as ambiguous as [LoseReply]'s.
func LoseRequest(_ context.Context, c *Call) error {
	return c.errorf("%w: the reply was lost", store.ErrUnavailable)
}

// Hold keeps the call back until [Call.Deliver]; the caller sees a lost reply.
func Hold(ctx context.Context, c *Call) error {
	c.store.hold(c)
	return LoseRequest(ctx, c)
}

// Duplicate passes the call on, and keeps a second one back until [Call.Deliver].
func Duplicate(ctx context.Context, c *Call) error {
	c.store.hold(c)
	return c.Deliver(ctx)
}

// Throttle turns the call away: a definite error.
func Throttle(_ context.Context, c *Call) error {
	return c.errorf("%w: %w", store.ErrThrottled, store.ErrNotApplied)
}

// Hang never applies the call and returns when ctx ends.
func Hang(ctx context.Context, c *Call) error {
	<-ctx.Done()
	return c.errorf("%w", ctx.Err())
}

// HangAfter applies the call and returns when ctx ends.
func HangAfter(ctx context.Context, c *Call) error {
	_ = c.Deliver(ctx)
	return Hang(ctx, c)
}

// Fail never applies the call and returns err: definite or not, as err says.
func Fail(err error) Fault {
	return func(_ context.Context, c *Call) error { return c.errorf("%w", err) }
}

// Delay passes the call on after d. If ctx ends first, it is never applied.
func Delay(d time.Duration) Fault {
	return func(ctx context.Context, c *Call) error {
		select {
		case <-time.After(d):
			return c.Deliver(ctx)
		case <-ctx.Done():
			return c.errorf("%w", ctx.Err())
		}
	}
}

// Before calls f, and then passes the call on: what f does comes between the
// caller's last call and this one. f may block, and may use the store behind.
func Before(f func()) Fault {
	return func(ctx context.Context, c *Call) error {
		f()
		return c.Deliver(ctx)
	}
}

// After passes the call on, and calls f before the caller sees the reply.
func After(f func()) Fault {
	return func(ctx context.Context, c *Call) error {
		err := c.Deliver(ctx)
		f()
		return err
	}
}
