package checkpoint_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
)

// denied is what a service says of a permission that it does not know, or not yet.
var denied = faultstore.Fail(fmt.Errorf("%w: AccessDeniedException: %w", store.ErrCredentials, store.ErrNotApplied))

func TestAPermissionThatIsDeniedForASecondFailsNoSave(t *testing.T) {
	for _, method := range []string{"Commit", "Copy", "KeepBase"} {
		t.Run(method, func(t *testing.T) {
			over(t, func(r *rig) {
				r.another(2)
				s := r.open(&checkpoint.Options{Interval: time.Hour})
				for i := range 3 {
					r.On(method, 0, denied)
					time.AfterFunc(time.Second, r.Clear)
					require.NoError(r, s.Save(r.Context(), fmt.Sprint(i), sum{1}))
				}
				r.done(s)
			})
		})
	}
}

// It makes no difference whether the permission goes right after a save, while its copy is written,
// or later.
func TestAPermissionThatIsDeniedFailsASaveAfterTenSecondsWhenEverItGoes(t *testing.T) {
	for _, pause := range []time.Duration{0, 3 * time.Second} {
		t.Run(pause.String(), func(t *testing.T) {
			over(t, func(r *rig) {
				s := r.open(&checkpoint.Options{Interval: time.Hour})
				if pause == 0 {
					r.On("Copy", 0, denied)
				}
				require.NoError(r, s.Save(r.Context(), "a", sum{1}))
				time.Sleep(pause)
				r.On("Copy", 0, denied)
				r.On("Commit", 0, denied)
				began := time.Now()
				err := s.Save(r.Context(), "b", sum{2})
				require.ErrorIs(r, err, store.ErrCredentials)
				require.NotErrorIs(r, err, checkpoint.ErrOutcomeUnknown)
				assert.GreaterOrEqual(r, time.Since(began), 8*time.Second)
				assert.Less(r, time.Since(began), 16*time.Second)
				assert.NoError(r, s.Context().Err(), "the lease is held")
				r.Clear()
				ctx, cancel := context.WithCancel(r.Context())
				cancel()
				_ = s.Close(ctx, nil)
			})
		})
	}
}

func TestASaveInTheBackgroundThatIsDeniedEndsTheSession(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(&checkpoint.Options{Interval: time.Second})
		r.On("Commit", 0, denied)
		s.Mark("a", add(1))
		<-s.Context().Done()
		assert.ErrorIs(r, context.Cause(s.Context()), store.ErrCredentials)
		r.Clear()
		_ = s.Close(r.Context(), nil)
	})
}

// What the archive refuses is tried as long as what the store refuses.
func TestABodyThatIsDeniedForASecondFailsNoSaveAndForEverFailsIt(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		deny := func(context.Context, string) error { return fmt.Errorf("%w: AccessDenied", store.ErrCredentials) }
		ns := r.mirroring(checkpoint.MirrorOff).in(r.Store, a)
		ns.InlineLimit = 1
		s, err := checkpoint.Open[sum](r.Context(), ns, name, &checkpoint.Options{Interval: time.Hour})
		require.NoError(r, err)
		a.on(deny)
		time.AfterFunc(time.Second, func() { a.on(nil) })
		require.NoError(r, s.Save(r.Context(), "a", sum{1_000_000}))
		a.on(deny)
		began := time.Now()
		err = s.Save(r.Context(), "b", sum{2_000_000})
		require.ErrorIs(r, err, store.ErrCredentials)
		require.ErrorIs(r, err, store.ErrNotApplied)
		assert.GreaterOrEqual(r, time.Since(began), 8*time.Second)
		assert.Less(r, time.Since(began), 16*time.Second)
		a.on(nil)
		require.NoError(r, s.Close(r.Context(), nil))
	})
}
