package retries_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/milepost-dev/milepost/internal/retries"
	"github.com/milepost-dev/milepost/store"
)

func TestWhatMaySucceedAMomentLaterIsTransient(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{errors.New("anything else"), false},
		{store.ErrNotApplied, false},
		{store.ErrBadRecord, false},
		{store.ErrNotFound, false},
		{store.ErrThrottled, true},
		{store.ErrUnavailable, true},
		{context.DeadlineExceeded, true},
		{context.Canceled, true}, // of one attempt, which says nothing against the request
	} {
		assert.Equal(t, c.want, retries.Transient(fmt.Errorf("wrapped: %w", c.err)), "%v", c.err)
	}
	assert.False(t, retries.Transient(nil))
}

func TestASleepEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		assert.True(t, retries.Sleep(ctx, time.Second))
		assert.False(t, retries.Sleep(ctx, time.Hour))
	})
}
