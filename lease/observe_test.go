package lease

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
	"github.com/milepost-dev/milepost/store/memstore"
)

func TestBreakRefusesALeaseThatIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(nil)
		a := acquire(t, st, as("a"))
		_, err := Break(t.Context(), st, key, &BreakOptions{Reason: "stuck"})
		held, ok := errors.AsType[*HeldError](err)
		require.True(t, ok, "got %v", err)
		assert.True(t, held.Renewed)
		assert.NoError(t, a.Context().Err())
	})
}

func TestBreakEndsADeadLeaseAndItsReasonIsHandedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New(nil)
		st := faultstore.New(mem)
		a := acquire(t, st, as("a"))
		crash(a)
		epoch, err := Break(t.Context(), st, key, &BreakOptions{Reason: "host is gone", DryRun: true})
		require.NoError(t, err)
		assert.Equal(t, int64(2), epoch)
		assert.Empty(t, st.Calls("Steal"))

		st.On("Steal", 1, faultstore.LoseReply)
		st.On("Raise", 1, faultstore.LoseReply)
		epoch, err = Break(t.Context(), st, key, &BreakOptions{Reason: "host is gone"})
		require.NoError(t, err)
		assert.Equal(t, int64(2), epoch)

		b, err := Acquire(t.Context(), st, key, as("b"))
		require.NoError(t, err)
		assert.Equal(t, int64(3), b.Epoch())
		assert.Equal(t, "host is gone", b.Reason(), "for the next version")
		crash(b) // before it committed
		time.Sleep(time.Hour)
		c := acquire(t, st, as("c"))
		assert.Equal(t, "host is gone", c.Reason(), "until a version carries it")
		commit(t, st, c, 1)
		require.NoError(t, c.Release(t.Context()))
		assert.Empty(t, acquire(t, st, as("d")).Reason())
	})
}

func TestBreakWantsAReasonAndAHolder(t *testing.T) {
	st := memstore.New(nil)
	_, err := Break(t.Context(), st, key, nil)
	assert.ErrorContains(t, err, "a reason is required")
	_, err = Break(t.Context(), st, key, &BreakOptions{Reason: "x"})
	assert.ErrorIs(t, err, store.ErrNotFound)
}

func TestObserveTellsWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(nil)
		o, err := Observe(t.Context(), st, key)
		require.NoError(t, err)
		assert.Nil(t, o.Lease)
		l := acquire(t, st, as("a"))
		time.Sleep(2 * time.Second)
		o, err = Observe(t.Context(), st, key)
		require.NoError(t, err)
		assert.Equal(t, "a", o.Lease.Holder.ID)
		assert.Equal(t, 28*time.Second, o.Left)
		require.NoError(t, l.Release(t.Context()))
		o, err = Observe(t.Context(), st, key)
		require.NoError(t, err)
		assert.Zero(t, o.Left)
	})
}
