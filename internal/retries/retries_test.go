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

func TestRefusedCredentialsAreTriedAgainForTenSecondsFromTheFirstRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := fmt.Errorf("wrapped: %w: %w", store.ErrCredentials, store.ErrNotApplied)
		var tries retries.Tries
		assert.True(t, tries.Again(refused))
		time.Sleep(9 * time.Second)
		assert.True(t, tries.Again(refused))
		assert.True(t, tries.Again(store.ErrThrottled), "which says nothing of the credentials")
		time.Sleep(time.Second)
		assert.False(t, tries.Again(refused))
		assert.True(t, tries.Again(store.ErrThrottled))
		assert.False(t, tries.Again(store.ErrNoTable))
		assert.True(t, new(retries.Tries).Again(refused), "another request has ten seconds again")
	})
}

func TestASleepEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		assert.True(t, retries.Sleep(ctx, time.Second))
		assert.False(t, retries.Sleep(ctx, time.Hour))
	})
}
