package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/faultstore"
)

func TestALargeStateLiesInTheArchiveAndASmallOneInTheStore(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		s := r.bigger(a, nil)
		require.NoError(r, s.Save(r.Context(), "small", big{Text: noise(4<<10 - 100)}))
		assert.Empty(r, a.keys("body/"))
		require.NoError(r, s.Save(r.Context(), "compresses", big{Text: strings.Repeat("a", 100<<10)}))
		assert.Empty(r, a.keys("body/"), "it is what is stored that counts")
		want := big{N: 3, Text: noise(100 << 10)}
		require.NoError(r, s.Save(r.Context(), "large", want))
		h := r.head()
		body := fmt.Sprintf("%s%s-3-%s", bodiesOf, archive.Home(r.inner), h.CommitID)
		assert.Equal(r, h.Fence.LeaseID+"-3", h.CommitID, "the body's name says whose save it is")
		assert.Equal(r, []string{body}, a.keys("body/"))
		assert.Equal(r, body, h.State.Body)
		assert.Empty(r, h.State.Data)
		r.closed(s)

		s = r.bigger(a, nil)
		assert.Equal(r, want, s.State())
		assert.Equal(r, "large", s.Cursor())
		r.closed(s)
		cp, err := both(r.inner, a).Get(r.Context(), name, nil)
		require.NoError(r, err)
		state, err := checkpoint.Decode[big](cp)
		require.NoError(r, err)
		assert.Equal(r, want, state)
	})
}

func TestABodyIsThereBeforeHEADPointsAtIt(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		s := r.bigger(a, nil)
		var bodies []string
		r.On("Commit", 0, faultstore.Before(func() { bodies = append(bodies, a.keys("body/")...) }))
		require.NoError(r, s.Save(r.Context(), "x", big{Text: noise(10 << 10)}))
		require.Len(r, bodies, 1)
		assert.Equal(r, r.head().State.Body, bodies[0])
		r.Clear()
		r.closed(s)
	})
}

func TestEachVersionHasABodyOfItsOwn(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		s := r.bigger(a, nil)
		require.NoError(r, s.Save(r.Context(), "1", big{N: 1, Text: noise(10 << 10)}))
		s.Mark("2", nil)
		require.NoError(r, s.Flush(r.Context()))
		r.closed(s) // version 3
		_, err := both(r.inner, a).Rollback(r.Context(), name, 1, nil)
		require.NoError(r, err)
		assert.Len(r, a.keys("body/"), 4)
		h := r.head()
		assert.Equal(r, archive.BodyKey(key, archive.BodyID{Home: archive.Home(r.inner), Version: 4, CommitID: h.CommitID}), h.State.Body)
		assert.Equal(r, int64(1), h.RestoredFrom)

		// So one that is removed with its version does not take another's state.
		a.change(r, r.copy(1).State.Body, gone)
		s = r.bigger(a, nil)
		assert.Equal(r, 1, s.State().N)
		r.closed(s)
	})
}

func TestWithoutAnArchiveALargeStateStaysInTheStore(t *testing.T) {
	over(t, func(r *rig) {
		s, err := checkpoint.Open[big](r.Context(), in(r.Store), name, nil)
		require.NoError(r, err)
		require.NoError(r, s.Save(r.Context(), "x", big{Text: noise(100 << 10)}))
		assert.NotEmpty(r, r.head().State.Data)

		// Past what the engine takes, the save fails with size and limit, and nothing is changed.
		r.On("Commit", 0, faultstore.Fail(&store.SizeError{Key: key, Size: 500 << 10, Limit: 400 << 10}))
		err = s.Save(r.Context(), "y", big{Text: noise(500 << 10)})
		var size *store.SizeError
		require.ErrorAs(r, err, &size)
		require.ErrorIs(r, err, store.ErrNotApplied)
		assert.Equal(r, "x", r.get().Cursor)
		r.Clear()
		require.NoError(r, s.Save(r.Context(), "z", big{}))
		r.closed(s)
	})
}

func TestASaveThatDefinitelyFailedRemovesItsBody(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		s := r.bigger(a, nil)
		r.On("Commit", 0, faultstore.Fail(&store.SizeError{Key: key, Size: 2, Limit: 1}))
		require.ErrorIs(r, s.Save(r.Context(), "x", big{Text: noise(10 << 10)}), store.ErrTooLarge)
		r.Clear()
		time.Sleep(time.Second) // it is removed in the background
		assert.Empty(r, a.keys("body/"))
		require.NoError(r, s.Save(r.Context(), "x", big{Text: noise(10 << 10)}))
		r.closed(s)
		assert.Len(r, a.keys("body/"), 2)
	})
}

func TestASaveWhoseBodyCannotBeWrittenFailsAndLeavesNothing(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		s := r.bigger(a, nil)
		a.on(down)
		err := s.Save(r.seconds(5), "x", big{Text: noise(10 << 10)})
		require.ErrorIs(r, err, store.ErrUnavailable)
		require.ErrorIs(r, err, store.ErrNotApplied)
		require.ErrorIs(r, err, context.DeadlineExceeded)
		assert.Empty(r, r.Calls("Commit"))
		a.on(nil)
		require.NoError(r, s.Save(r.Context(), "y", big{N: 2, Text: noise(10 << 10)}))
		r.closed(s)
		assert.Equal(r, "y", r.get().Cursor)
	})
}

func TestABodyWhoseReplyIsLostIsFoundAgain(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		s := r.bigger(a, nil)
		lost := 0
		a.mu.Lock()
		a.fault = func(_ context.Context, call string) error {
			if !strings.HasPrefix(call, "Create body/") || lost > 0 {
				return nil
			}
			lost++
			return fmt.Errorf("%s: %w: %w", call, archive.ErrWriteUnknown, store.ErrUnavailable)
		}
		a.mu.Unlock()
		require.NoError(r, s.Save(r.Context(), "x", big{Text: noise(10 << 10)}))
		assert.Equal(r, 1, lost)
		r.closed(s)
	})
}

func TestAnAmbiguousSaveKeepsItsBodyUntilItIsSettled(t *testing.T) {
	for what, fault := range map[string]faultstore.Fault{"landed": faultstore.LoseReply, "did not land": faultstore.LoseRequest} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				a := newMemory()
				s := r.bigger(a, nil)
				r.On("Commit", 0, fault)
				r.On("Look", 0, faultstore.Hang)
				err := s.Save(r.seconds(3), "x", big{N: 1, Text: noise(10 << 10)})
				require.ErrorIs(r, err, checkpoint.ErrOutcomeUnknown)
				time.Sleep(time.Second) // what is removed is removed in the background
				assert.Len(r, a.keys("body/"), 1)
				r.Clear()
				r.closed(s)
				s = r.bigger(a, nil)
				assert.Equal(r, 1, s.State().N)
				r.closed(s)
			})
		})
	}
}

// The bodies that died with their sessions lie just above the version that the next session begins with.
func TestAClosingSessionLeavesWhatOthersHaveLeftToGC(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.saves(a, 2, nil)
		s := r.bigger(a, nil)
		for _, method := range []string{"Commit", "Renew", "Look"} { // it dies here
			r.On(method, 0, faultstore.Hang)
		}
		require.ErrorIs(r, s.Save(r.seconds(1), "x", big{Text: noise(10 << 10)}), checkpoint.ErrOutcomeUnknown)
		require.Len(r, a.keys("body/"), 1)
		orphan := a.keys("body/")[0]

		next, err := checkpoint.Open[big](r.Context(), both(r.inner, a), name, &checkpoint.Options{Lease: lease.Options{Wait: time.Hour}})
		require.NoError(r, err)
		r.Clear()
		require.NoError(r, next.Save(r.Context(), "y", big{N: 3, Text: noise(10 << 10)}))
		r.closed(next)
		assert.Contains(r, a.keys("body/"), orphan, "it may be another store's")
		assert.Equal(r, []string{orphan}, r.collected(a))
		require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrLost)
		assert.NotContains(r, a.keys("body/"), orphan, "its own session knows that the save failed")
	})
}

func TestAMissingOrDamagedBodyIsAnErrorThatNamesItAndNeverAnOlderState(t *testing.T) {
	for what, spoil := range map[string]func([]byte) []byte{"missing": gone, "damaged": flipped} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				a := newMemory()
				s := r.bigger(a, nil)
				require.NoError(r, s.Save(r.Context(), "1", big{N: 1, Text: noise(10 << 10)}))
				require.NoError(r, s.Save(r.Context(), "2", big{N: 2, Text: noise(10 << 10)}))
				r.closed(s)
				body := r.head().State.Body
				a.change(r, body, spoil)

				names := func(err error) {
					r.Helper()
					require.ErrorIs(r, err, archive.ErrBodyMissing)
					require.NotErrorIs(r, err, store.ErrNotFound)
					var e *archive.BodyError
					require.ErrorAs(r, err, &e)
					assert.Equal(r, key, e.Key)
					assert.Equal(r, int64(3), e.Version)
					assert.Equal(r, body, e.Body)
					assert.Equal(r, what == "damaged", errors.Is(err, store.ErrBadRecord))
				}
				before := r.head()
				looks := len(r.Calls("Look"))
				_, err := checkpoint.Open[big](r.Context(), both(r.Store, a), name, nil)
				names(err)
				assert.Greater(r, len(r.Calls("Look")), looks+1, "HEAD is read again first")
				assert.Equal(r, before.Version, r.head().Version)
				_, err = both(r.Store, a).Get(r.Context(), name, nil)
				names(err)
				_, err = both(r.Store, a).Rollback(r.Context(), name, 3, nil)
				names(err)

				cp, err := both(r.Store, a).Rollback(r.Context(), name, 2, nil)
				require.NoError(r, err, "to an older one by an order")
				assert.Equal(r, "2", cp.After.Cursor)
			})
		})
	}
}

func TestABodyThatAppearsLateIsLoaded(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		s := r.bigger(a, nil)
		require.NoError(r, s.Save(r.Context(), "1", big{N: 1, Text: noise(10 << 10)}))
		r.closed(s)
		tries := 0
		a.on(func(_ context.Context, call string) error {
			if tries++; tries == 1 && strings.HasPrefix(call, "Open body/") {
				return fmt.Errorf("%s: %w", call, store.ErrNotFound)
			}
			return nil
		})
		s = r.bigger(a, nil)
		assert.Equal(r, 1, s.State().N)
		r.closed(s)
	})
}

func TestAReaderWhoseBodyHasGoneWithItsVersionReadsHEADAgain(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		s := r.bigger(a, nil)
		require.NoError(r, s.Save(r.Context(), "1", big{N: 1, Text: noise(10 << 10)}))
		time.Sleep(time.Second) // so that its mirror has looked for it, too
		moved := false
		a.mu.Lock()
		a.fault = func(_ context.Context, call string) error {
			if strings.HasPrefix(call, "Open body/") && !moved {
				moved = true
				assert.NoError(r, s.Save(r.Context(), "2", big{N: 2, Text: noise(11 << 10)}))
				return fmt.Errorf("%s: %w", call, store.ErrNotFound)
			}
			return nil
		}
		a.mu.Unlock()
		cp, err := both(r.inner, a).Get(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Equal(r, "2", cp.Cursor)
		r.closed(s)
	})
}

func TestAStateInAnArchiveIsRefusedWhereNoneIsNamed(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		s := r.bigger(a, nil)
		require.NoError(r, s.Save(r.Context(), "1", big{N: 1, Text: noise(10 << 10)}))
		r.closed(s)
		_, err := checkpoint.Open[big](r.Context(), in(r.Store), name, nil)
		require.ErrorIs(r, err, checkpoint.ErrRefused)
		assert.ErrorContains(r, err, r.head().State.Body)
		_, err = in(r.Store).Rollback(r.Context(), name, 1, nil)
		require.ErrorIs(r, err, checkpoint.ErrRefused)
		cursor := "c"
		_, err = in(r.Store).Set(r.Context(), name, checkpoint.Content{Cursor: &cursor}, nil)
		require.ErrorIs(r, err, checkpoint.ErrRefused)

		cp := r.get() // a reader is told where it lies
		assert.Nil(r, cp.State)
		assert.Equal(r, r.head().State.Body, cp.Body)
		_, err = cp.OpenState(r.Context(), nil)
		require.ErrorIs(r, err, checkpoint.ErrRefused)
		_, err = in(r.Store).Set(r.Context(), name, checkpoint.ContentOf(cp), nil)
		require.ErrorContains(r, err, "not loaded")
	})
}

// Writing a body may take longer than a commit may start after a renewal.
func TestNoCommitStartsAfterASlowBodyUntilTheLeaseIsRenewed(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		s := r.bigger(a, nil)
		r.On("Renew", 0, faultstore.Throttle)
		a.on(func(_ context.Context, call string) error {
			if strings.HasPrefix(call, "Create body/") {
				time.Sleep(9 * time.Second)
			}
			return nil
		})
		begun := time.Now()
		time.Sleep(9 * time.Second) // so that 18 of the lease's 30 have passed with the body there: it is not lost, and no commit may start
		r.On("Commit", 0, func(ctx context.Context, c *faultstore.Call) error {
			assert.Fail(r, "a commit was sent", "after %v", time.Since(begun))
			return c.Deliver(ctx)
		})
		require.ErrorIs(r, s.Save(r.Context(), "x", big{Text: noise(9000)}), lease.ErrLost)
		a.on(nil)
		r.Clear()
		require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrLost)
	})
}

func TestAFailedLeaseBetweenBodyAndHEADCommitsNothing(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		s := r.bigger(a, nil)
		a.on(func(_ context.Context, call string) error {
			if strings.HasPrefix(call, "Create body/") {
				r.breakLease()
				time.Sleep(time.Minute)
			}
			return nil
		})
		err := s.Save(r.Context(), "x", big{Text: noise(10 << 10)})
		require.ErrorIs(r, err, lease.ErrLost)
		a.on(nil)
		assert.Empty(r, r.Calls("Commit"))
		require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrLost)
		assert.Empty(r, a.keys("body/"))
	})
}
