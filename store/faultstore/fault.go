package faultstore

import (
	"context"
	"time"

	"github.com/milepost-dev/milepost/store"
)

// Fault is what happens to a call instead of being passed on. The fault may pass the call on
// itself, with [Call.Deliver]. Its error is the reply.
type Fault func(ctx context.Context, c *Call) error

// LoseReply applies the call and loses the reply. The error is ambiguous.
func LoseReply(ctx context.Context, c *Call) error {
	_ = c.Deliver(ctx)
	return c.errorf("%w: the reply was lost", store.ErrUnavailable)
}

// LoseRequest never applies the call. The error is ambiguous, as [LoseReply]'s is.
func LoseRequest(_ context.Context, c *Call) error {
	return c.errorf("%w: the reply was lost", store.ErrUnavailable)
}

// Hold holds the call back until [Call.Deliver]. The caller sees a lost reply.
func Hold(ctx context.Context, c *Call) error {
	c.store.hold(c)
	return LoseRequest(ctx, c)
}

// Duplicate passes the call on, and holds a second one back until [Call.Deliver].
func Duplicate(ctx context.Context, c *Call) error {
	c.store.hold(c)
	return c.Deliver(ctx)
}

// Throttle refuses the call. The error is definite.
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

// Fail never applies the call and returns err, which may be definite or ambiguous.
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

// Before calls f and then passes the call on. So f acts between the caller's last call and this
// one. f may block, and may use the other store.
func Before(f func()) Fault {
	return func(ctx context.Context, c *Call) error {
		f()
		return c.Deliver(ctx)
	}
}

// After passes the call on, and calls f before the caller gets the reply.
func After(f func()) Fault {
	return func(ctx context.Context, c *Call) error {
		err := c.Deliver(ctx)
		f()
		return err
	}
}
