package checkpoint_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
	"github.com/milepost-dev/milepost/store/memstore"
)

// A service's clock counts whole seconds, and a session counts on from the reading that it had: so the next session, whose reading was
// cut to the second, may be behind what the one before has written.
func TestNoVersionIsSavedBeforeTheOneBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wrong atomic.Int64
		inner := memstore.New(&memstore.Options{Clock: func() store.Clock {
			return store.Clock{Wall: time.Now().Round(0).Add(time.Duration(wrong.Load()))}
		}})
		r := &rig{T: t, Store: faultstore.New(inner), inner: inner}
		save := func() time.Time {
			s := r.open(nil)
			require.NoError(r, s.Save(r.Context(), "1", sum{}))
			r.done(s)
			return r.head().SavedAt
		}
		first := save()
		wrong.Store(int64(-900 * time.Millisecond))
		assert.Equal(r, first, save())
		cp, err := in(r.inner).Get(r.Context(), name, &checkpoint.ReadOptions{At: first})
		require.NoError(r, err)
		assert.Equal(r, int64(4), cp.Number)

		// A clock that was wrong by hours, and was set right, is believed.
		wrong.Store(int64(-3 * time.Hour))
		assert.Equal(r, first.Add(-3*time.Hour), save())
	})
}

func TestAVersionThatIsSavedAfterALookThatHungIsFoundByTime(t *testing.T) {
	over(t, func(r *rig) {
		r.On("Look", 1, faultstore.Hang) // for the time of one attempt
		s := r.open(nil)
		require.NoError(r, s.Save(r.Context(), "1", sum{}))
		first := r.head().SavedAt
		time.Sleep(time.Second)
		cp, err := in(r.inner).Get(r.Context(), name, &checkpoint.ReadOptions{At: time.Now()})
		require.NoError(r, err)
		assert.Equal(r, int64(1), cp.Number)
		time.Sleep(lease.DefaultDuration)
		require.NoError(r, s.Save(r.Context(), "2", sum{}))
		assert.Equal(r, lease.DefaultDuration+time.Second, r.head().SavedAt.Sub(first))
		r.done(s)
	})
}
