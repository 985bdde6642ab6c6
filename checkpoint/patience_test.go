package checkpoint_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
)

func TestAnEditEndsInBoundedTimeWhenTheArchiveDoesNotAnswer(t *testing.T) {
	for what, fault := range map[string]func(context.Context, string) error{"down": down, "blocked": blocked} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				r.another(2)
				a := newMemory()
				a.on(func(ctx context.Context, call string) error {
					if strings.HasPrefix(call, "List") { // it is asked once whether it has a mirror
						return nil
					}
					return fault(ctx, call)
				})
				state := []byte(`"` + strings.Repeat("x", 100_000) + `"`)
				ns := r.in(r.Store, a)
				ns.InlineLimit = 1
				began := time.Now()
				_, err := ns.Set(r.Context(), name, checkpoint.Content{State: state}, nil)
				require.ErrorIs(r, err, store.ErrUnavailable)
				require.ErrorIs(r, err, store.ErrNotApplied)
				assert.Less(r, time.Since(began), 2*time.Minute)
				assert.Equal(r, int64(2), r.head().Number)
			})
		})
	}
}

func TestAnEditEndsWithItsLeaseWhenTheStoreDoesNotAnswer(t *testing.T) {
	for _, method := range []string{"Commit", "KeepBase"} {
		t.Run(method, func(t *testing.T) {
			over(t, func(r *rig) {
				r.another(2)
				r.On(method, 0, faultstore.Hang)
				r.On("Renew", 0, faultstore.Hang)
				cursor := "c"
				began := time.Now()
				_, err := in(r.Store).Set(r.Context(), name, checkpoint.Content{Cursor: &cursor}, nil)
				require.ErrorIs(r, err, lease.ErrLost)
				assert.Less(r, time.Since(began), time.Minute)
				assert.Equal(r, int64(2), r.head().Number)
			})
		})
	}
}

func TestAPinEndsInBoundedTimeWhenItsWriteIsNotAnswered(t *testing.T) {
	over(t, func(r *rig) {
		r.another(2)
		r.On("Amend", 0, faultstore.Throttle)
		began := time.Now()
		_, err := in(r.Store).Pin(r.Context(), name, 1, "label", nil)
		require.ErrorIs(r, err, store.ErrUnavailable)
		assert.Less(r, time.Since(began), time.Minute)
	})
}
