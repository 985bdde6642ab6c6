package lease

import (
	"context"
	"errors"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
	"github.com/milepost-dev/milepost/store/memstore"
)

var errShutdown = errors.New("the scheduler's patience is over")

func TestAWaitThatItsContextEndsNamesTheHolderAndTheCause(t *testing.T) {
	for name, end := range map[string]struct {
		of  func(context.Context) (context.Context, context.CancelFunc)
		why error
	}{
		"a deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 3*time.Second)
		}, context.DeadlineExceeded},
		"a deadline with a cause": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, 3*time.Second, errShutdown)
		}, errShutdown},
		"a cancel": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(3*time.Second, cancel)
			return ctx, cancel
		}, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memstore.New(nil)
				acquire(t, st, as("a"))
				ctx, cancel := end.of(t.Context())
				defer cancel()
				b := as("b")
				b.Wait = time.Hour
				_, err := Acquire(ctx, st, key, b)
				held, ok := errors.AsType[*HeldError](err)
				require.True(t, ok, "got %v", err)
				assert.Equal(t, "a", held.Holder.ID)
				assert.ErrorIs(t, err, end.why)
				assert.ErrorContains(t, err, end.why.Error())
			})
		})
	}
}

func TestAWaitWhoseContextEndsWithinALookNamesTheHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := faultstore.New(memstore.New(nil))
		acquire(t, st, as("a"))
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		b := as("b")
		b.Wait = time.Hour
		b.OnWait = func(*HeldError) { st.On("Look", 0, faultstore.Hang) }
		_, err := Acquire(ctx, st, key, b)
		assert.ErrorIs(t, err, ErrHeld)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		st.Clear()
	})
}

func TestErrorsNameHostProcessAndRunOfTheHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(nil)
		o := as("nightly")
		o.Holder.RunID = "run-7"
		a := acquire(t, st, o)
		wants := []string{"nightly", "nightly-host", "pid " + strconv.Itoa(os.Getpid()), "run-7"}
		_, err := Acquire(t.Context(), st, key, as("b"))
		for _, want := range wants {
			assert.ErrorContains(t, err, want)
		}
		again := as("nightly") // a second process that promised to be the only one
		again.SameHolder, again.Holder.Host, again.Holder.RunID = true, "other-host", "run-8"
		acquire(t, st, again)
		<-a.Context().Done()
		lost := context.Cause(a.Context())
		require.ErrorIs(t, lost, ErrLost)
		for _, want := range []string{"nightly", "other-host", "pid " + strconv.Itoa(os.Getpid()), "run-8"} {
			assert.ErrorContains(t, lost, want)
		}
	})
}

func TestALeaseWithoutANamespaceIsInTheDefaultNamespace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(nil)
		bare := store.Key{Name: key.Name}
		l, err := Acquire(t.Context(), st, bare, as("a"))
		require.NoError(t, err)
		assert.Equal(t, key, l.Key())
		_, err = Acquire(t.Context(), st, key, as("b"))
		require.ErrorIs(t, err, ErrHeld, "it is the same lease")
		o, err := Observe(t.Context(), st, bare)
		require.NoError(t, err)
		require.NotNil(t, o.Lease)
		assert.Equal(t, "a", o.Lease.Holder.ID)
		_, err = Break(t.Context(), st, bare, &BreakOptions{Reason: "stuck", Now: true})
		require.NoError(t, err)
		_ = l.Release(context.Background())
	})
}
