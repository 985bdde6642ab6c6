package lease

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
	"github.com/milepost-dev/milepost/store/memstore"
)

// refused is what a service says of keys or permissions that it does not know, or not yet.
var refused = faultstore.Fail(fmt.Errorf("%w: UnrecognizedClientException: %w", store.ErrCredentials, store.ErrNotApplied))

func TestKeysThatAreRefusedForASecondFailNoStepOfALease(t *testing.T) {
	for _, method := range []string{"Look", "Acquire", "Raise", "Renew", "Release"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := memstore.New(nil)
				st := faultstore.New(inner)
				forASecond := func() {
					st.On(method, 0, refused)
					time.AfterFunc(time.Second, st.Clear)
				}
				if method == "Look" || method == "Acquire" || method == "Raise" {
					forASecond()
				}
				l, err := Acquire(t.Context(), st, key, as("a"))
				require.NoError(t, err)
				if method == "Renew" || method == "Release" {
					forASecond()
				}
				time.Sleep(20 * time.Second)
				if method == "Release" {
					forASecond()
				}
				require.NoError(t, l.Context().Err())
				require.NoError(t, l.Release(t.Context()))
				found, err := inner.Look(t.Context(), key)
				require.NoError(t, err)
				assert.Equal(t, store.Free, found.Lease.Status)
			})
		})
	}
}

func TestKeysThatAreRefusedAreSaidToBeAfterTenSeconds(t *testing.T) {
	for _, method := range []string{"Look", "Acquire", "Raise", "Release"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := faultstore.New(memstore.New(nil))
				st.On(method, 0, refused)
				began := time.Now()
				l, err := Acquire(t.Context(), st, key, as("a"))
				if method == "Release" {
					require.NoError(t, err)
					err = l.Release(context.Background())
				}
				require.ErrorIs(t, err, store.ErrCredentials)
				assert.GreaterOrEqual(t, time.Since(began), 8*time.Second)
				assert.Less(t, time.Since(began), 20*time.Second)
			})
		})
	}
}
