// Package retries says whether and when to send a request again.
package retries

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/milepost-dev/milepost/store"
)

// Transient reports whether the same request may succeed a moment later. A deadline or a
// cancellation counts as that of one attempt: the caller checks its own context first.
func Transient(err error) bool {
	return errors.Is(err, store.ErrThrottled) || errors.Is(err, store.ErrUnavailable) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// Lag is how long the keys and permissions of a new role, and those that replace others, may take
// to be known everywhere.
const Lag = 10 * time.Second

// Tries are the attempts of one request. The zero value has none.
type Tries struct {
	refused time.Time // when credentials were refused first
}

// Again reports whether the same request may succeed a moment later, after an attempt that failed
// with err: if the error is [Transient], or says that credentials or permissions were refused, and
// they were refused first less than [Lag] ago.
func (t *Tries) Again(err error) bool {
	if Transient(err) {
		return true
	}
	if !errors.Is(err, store.ErrCredentials) {
		return false
	}
	if t.refused.IsZero() {
		t.refused = time.Now()
	}
	return time.Since(t.refused) < Lag
}

// Pace returns the intervals between the attempts of one request: 50 ms to 2 s, unless the caller
// changes them.
func Pace() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = 50*time.Millisecond, 2*time.Second
	return b
}

// Sleep waits for d, and reports false if ctx ended first.
func Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
