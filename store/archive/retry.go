package archive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/milepost-dev/milepost/store"
)

// The intervals between two attempts of most requests grow from firstPause to longestPause.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
)

// retry calls try, at intervals that grow from first to longest, until try reports that another
// attempt is not needed or of no use, or ctx ends.
func retry(ctx context.Context, first, longest time.Duration, try func() (again bool, err error)) error {
	intervals := backoff.NewExponentialBackOff()
	intervals.InitialInterval, intervals.MaxInterval = first, longest
	for {
		again, err := try()
		if !again {
			return err
		}
		t := time.NewTimer(intervals.NextBackOff())
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("%w; the last attempt: %w", context.Cause(ctx), err)
		}
	}
}

// transient reports whether the same request may succeed a moment later. A deadline or a
// cancellation is that of one attempt: the caller checks its own context first.
func transient(err error) bool {
	return errors.Is(err, store.ErrThrottled) || errors.Is(err, store.ErrUnavailable) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}
