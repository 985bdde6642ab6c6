package checkpoint_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/memstore"
)

func TestASecondRunGoesOnWhereTheFirstStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(nil)
		job := func(ctx context.Context, s *checkpoint.Session[sum]) error {
			s.Mark(s.Cursor()+"x", func(v *sum) { v.Sum += 3 })
			return nil
		}
		require.NoError(t, checkpoint.Run(t.Context(), st, "orders/eu", job, nil))
		require.NoError(t, checkpoint.Run(t.Context(), st, "orders/eu", job, nil))

		cp, err := checkpoint.Get(t.Context(), st, "orders/eu", nil)
		require.NoError(t, err)
		assert.Equal(t, int64(2), cp.Version)
		assert.Equal(t, "xx", cp.Cursor)
		assert.Equal(t, int64(2), cp.Processed)
		assert.Equal(t, store.EndedDone, cp.Ended)
		state, err := checkpoint.Decode[sum](cp)
		require.NoError(t, err)
		assert.Equal(t, sum{Sum: 6}, state)
	})
}
