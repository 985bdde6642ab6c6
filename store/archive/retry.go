package archive

import (
	"context"
	"fmt"

	"github.com/cenkalti/backoff/v5"

	"github.com/milepost-dev/milepost/internal/retries"
)

// retry calls try, at these intervals, until try reports that another attempt is not needed or of
// no use, or ctx ends.
func retry(ctx context.Context, intervals backoff.BackOff, try func() (again bool, err error)) error {
	for {
		again, err := try()
		if !again {
			return err
		}
		if !retries.Sleep(ctx, intervals.NextBackOff()) {
			return fmt.Errorf("%w; the last attempt: %w", context.Cause(ctx), err)
		}
	}
}
