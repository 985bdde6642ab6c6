package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store/faultstore"
)

// landsAndLoses applies the commit; before its reply is lost, so is the lease, and the session knows.
func (r *rig) landsAndLoses(ctx context.Context, c *faultstore.Call) error {
	if err := c.Deliver(ctx); err != nil {
		return err
	}
	r.breakLease()
	<-ctx.Done() // the next beat finds out
	return fmt.Errorf("the reply was lost: %w", ctx.Err())
}

func TestASaveThatLandedBeforeTheLeaseWasLostIsNoUnknown(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		r.On("Commit", 1, r.landsAndLoses)
		require.NoError(r, s.Save(r.Context(), "a", sum{Sum: 1}))
		assert.Equal(r, "a", r.get().Cursor)
		require.ErrorIs(r, s.Save(r.Context(), "b", sum{}), lease.ErrLost)
		require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrLost)
	})
}

func TestWhateverASaveWaitsForTheLossOfTheLeaseEndsIt(t *testing.T) {
	for waitsFor, hang := range map[string]func(r *rig, s *checkpoint.Session[sum]){
		"its own request": func(r *rig, _ *checkpoint.Session[sum]) { r.On("Commit", 0, faultstore.Hang) },
		"the copy of the version before": func(r *rig, s *checkpoint.Session[sum]) {
			r.On("Copy", 0, faultstore.Hang)
			require.NoError(r, s.Save(r.Context(), "a", sum{}))
		},
		"the base": func(r *rig, _ *checkpoint.Session[sum]) { r.On("KeepBase", 0, faultstore.Hang) },
		"another try": func(r *rig, _ *checkpoint.Session[sum]) {
			r.On("Commit", 0, func(ctx context.Context, c *faultstore.Call) error {
				_ = faultstore.Delay(4500*time.Millisecond)(ctx, c)
				return faultstore.Throttle(ctx, c)
			})
		},
		"its turn": func(r *rig, s *checkpoint.Session[sum]) {
			r.On("Commit", 0, faultstore.Hang)
			r.On("Look", 0, faultstore.Hang) // what the save before asks after the loss
			go func() { _ = s.Save(r.Context(), "a", sum{}) }()
			synctest.Wait()
		},
	} {
		t.Run(waitsFor, func(t *testing.T) {
			over(t, func(r *rig) {
				r.versions(1)
				s := r.open(nil)
				hang(r, s)
				r.breakLease()
				began := time.Now()
				require.ErrorIs(r, s.Save(r.seconds(60), "b", sum{}), lease.ErrLost)
				assert.Equal(r, lease.DefaultDuration/6, time.Since(began), "the next beat finds out")
				r.Clear()
				require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrLost)
				time.Sleep(time.Minute) // whoever had the turn gives up
			})
		})
	}
}

func TestALostLeaseDoesNotHideWhatBecameOfTheCallersWrites(t *testing.T) {
	for name, fault := range map[string]faultstore.Fault{"landed": faultstore.LoseReply, "did not": faultstore.LoseRequest} {
		t.Run(name, func(t *testing.T) {
			for range 10 { // the session's end and its turn to speak come at once: neither may win by chance
				over(t, func(r *rig) {
					var out sink
					s := r.open(nil)
					r.On("Commit", 1, fault)
					r.On("Commit", 0, faultstore.Throttle)
					require.ErrorIs(r, s.SaveStep(r.seconds(2), at("a", out.put("a"))), checkpoint.ErrOutcomeUnknown)
					r.Clear()
					r.breakLease()
					time.Sleep(10 * time.Second) // a beat finds out
					require.Error(r, s.Context().Err())

					err := s.SaveStep(r.Context(), at("b", out.put("b")))
					settled, ok := errors.AsType[*checkpoint.SettledError](err)
					require.True(r, ok, "got %v", err)
					assert.ErrorIs(r, err, lease.ErrLost)
					assert.Equal(r, name == "landed", settled.Landed)
					assert.NotContains(r, out.rows, "b")
					require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrLost)
				})
			}
		})
	}
}

func TestHousekeepingThatHangsDoesNotCostTheLastSave(t *testing.T) {
	over(t, func(r *rig) {
		for range 2 {
			r.done(r.retaining(1).open(nil))
		}
		r.On("Amend", 0, faultstore.Hang)
		s := r.retaining(1).open(nil)
		require.NoError(r, s.Save(r.Context(), "a", sum{}))
		s.Mark("b", nil)
		_ = s.Close(r.Context(), nil) // it may complain of what it could not do
		assert.Equal(r, "b", r.get().Cursor)
	})
}

func TestAStartThatASessionHadNoTimeForLeavesWithTheNext(t *testing.T) {
	over(t, func(r *rig) {
		for range 2 {
			r.done(r.retaining(1).open(nil))
		}
		r.On("Amend", 0, faultstore.Hang)
		s := r.retaining(1).open(nil)
		require.NoError(r, s.Save(r.Context(), "a", sum{}))
		_ = s.Close(r.Context(), nil)
		fell := r.head().Starts[0]
		require.True(r, r.copy(fell).ExpiresAt.IsZero(), "the session had no time for it")

		r.Clear()
		r.done(r.retaining(1).open(nil))
		assert.NotContains(r, r.head().Starts, fell)
		assert.False(r, r.copy(fell).ExpiresAt.IsZero())
	})
}

func TestNoMarkCountsOnceTheContextHasEndedForALoss(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		s.Mark("1", nil)
		require.NoError(r, s.Flush(r.Context()))
		r.breakLease()
		s.Mark("2", func(*sum) { <-s.Context().Done() }) // begun before it, and holding up whoever would stop the next
		s.Mark("3", nil)
		assert.Equal(r, "2", s.Cursor())
		require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrLost)
	})
}
