package checkpoint_test

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

func TestEveryVersionIsMirroredAndLatestIsTheNewest(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		s := r.bigger(a, nil)
		for i := range 5 {
			require.NoError(r, s.Save(r.Context(), fmt.Sprint(i+1), big{N: i + 1, Text: noise(i * 2000)}))
			time.Sleep(time.Second)
		}
		assert.Equal(r, checkpoint.Mirroring{Through: 5}, s.Mirror())
		r.closed(s)
		assert.Equal(r, upTo(6), mirrored(r, a))
		assert.Equal(r, int64(6), latest(r, a))
		assert.Equal(r, int64(5), r.head().ArchivedThrough, "piggy-backed on the next commit")

		// An object is the version: what the store has, to the last field, and readable.
		h := r.head()
		m, err := archive.ReadVersion(r.Context(), a, key, archive.IDOf(&h.Version))
		require.NoError(r, err)
		assert.Equal(r, h.State.Body, m.State.Body)
		assert.Equal(r, h.Cursor, m.Cursor)
		assert.Equal(r, h.State.SHA256, m.State.SHA256)
		assert.True(r, h.SavedAt.Equal(m.SavedAt))
	})
}

// A save never waits for its mirror: not for one that never answers.
func TestAnArchiveThatIsBlockedForEverSlowsNoSave(t *testing.T) {
	for what, fault := range map[string]func(context.Context, string) error{"blocked": blocked, "down": down} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				a := newMemory()
				s := r.bigger(a, nil)
				a.on(fault)
				begun := time.Now()
				for i := range 1000 {
					require.NoError(r, s.Save(r.Context(), fmt.Sprint(i+1), big{N: i + 1}))
				}
				assert.Zero(r, time.Since(begun), "of virtual time")
				assert.Equal(r, int64(1000), s.Mirror().Waiting)
				time.Sleep(time.Minute)
				require.ErrorIs(r, s.Mirror().Err, store.ErrUnavailable)

				// Its return is all that the mirror needs.
				a.on(nil)
				time.Sleep(2 * time.Minute)
				assert.Equal(r, checkpoint.Mirroring{Through: 1000}, s.Mirror())
				assert.Equal(r, upTo(1000), mirrored(r, a))
				assert.Equal(r, int64(1000), latest(r, a))
				r.closed(s)
			})
		})
	}
}

func TestCloseWaitsForABlockedMirrorABoundedTimeAndTheNextSessionCatchesUp(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		s := r.bigger(a, nil)
		a.on(blocked)
		for i := range 100 {
			require.NoError(r, s.Save(r.Context(), fmt.Sprint(i+1), big{N: i + 1}))
		}
		begun := time.Now()
		r.closed(s)
		assert.LessOrEqual(r, time.Since(begun), 11*time.Second)
		a.on(nil)
		assert.Empty(r, mirrored(r, a))

		s = r.bigger(a, nil)
		time.Sleep(time.Minute) // it need not save anything
		assert.Equal(r, upTo(101), mirrored(r, a))
		r.closed(s)
		assert.Equal(r, upTo(102), mirrored(r, a))
		assert.Equal(r, int64(102), latest(r, a))
		assert.Equal(r, int64(101), r.head().ArchivedThrough)
	})
}

func TestTheLeaseIsFreeWhileACloseWaitsForItsMirror(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		s := r.bigger(a, nil)
		require.NoError(r, s.Save(r.Context(), "1", big{}))
		a.on(blocked)
		done := make(chan error)
		go func() { done <- s.Close(context.Background(), nil) }()
		time.Sleep(100 * time.Millisecond)
		l, err := lease.Acquire(r.Context(), r.inner, key, nil)
		require.NoError(r, err)
		require.NoError(r, l.Release(r.Context()))
		require.NoError(r, <-done)
	})
}

func TestASessionThatDiesLeavesItsMirrorToTheNextHolder(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		s := r.bigger(a, nil)
		require.NoError(r, s.Save(r.Context(), "1", big{}))
		a.on(blocked)
		require.NoError(r, s.Save(r.Context(), "2", big{}))
		r.breakLease()
		require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrLost)
		a.on(nil)
		r.saves(a, 1, nil)
		assert.Equal(r, upTo(3), mirrored(r, a))
		assert.Empty(r, r.findings(a, nil))
	})
}

func TestWhatExpiredUnmirroredIsANamedGapAndNoWedge(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.saves(a, 3, nil)
		a.on(down)
		r.mirroring(checkpoint.MirrorOff).saves(a, 5, nil) // 4 to 8
		a.on(nil)
		r.expire(5, 6)
		s := r.bigger(a, nil)
		time.Sleep(time.Minute)
		assert.Equal(r, []archive.Gap{{First: 5, Last: 6}}, s.Mirror().Gaps)
		r.closed(s)
		assert.Equal(r, []int64{1, 2, 3, 4, 7, 8, 9}, mirrored(r, a))
		assert.Equal(r, int64(8), r.head().ArchivedThrough)
		s = r.bigger(a, nil)
		time.Sleep(time.Minute)
		assert.Empty(r, s.Mirror().Gaps, "it is told once")
		r.closed(s)
	})
}

func TestOnlyTheLastVersionOfEachSessionIsMirroredWhereThatIsThePolicy(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.mirroring(checkpoint.MirrorSessions).saves(a, 5, nil)
		assert.Equal(r, []int64{5}, mirrored(r, a))
		r.mirroring(checkpoint.MirrorSessions).saves(a, 40, nil)
		assert.Equal(r, []int64{5, 45}, mirrored(r, a))

		// Sessions that died, and whose last version is told by the next one's epoch.
		for range 2 {
			s := r.mirroring(checkpoint.MirrorSessions).bigger(a, nil)
			require.NoError(r, s.Save(r.Context(), "x", big{}))
			require.NoError(r, s.Save(r.Context(), "y", big{}))
			a.on(down)
			r.breakLease()
			require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrLost)
			a.on(nil)
		}
		r.mirroring(checkpoint.MirrorSessions).saves(a, 2, nil)
		assert.Equal(r, []int64{5, 45, 47, 49, 51}, mirrored(r, a))
		assert.Equal(r, int64(51), latest(r, a))
		assert.Empty(r, r.mirroring(checkpoint.MirrorSessions).findings(a, nil))
	})
}

func TestNoVersionIsMirroredWhereThePolicyIsOff(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		s := r.mirroring(checkpoint.MirrorOff).bigger(a, nil)
		require.NoError(r, s.Save(r.Context(), "1", big{Text: noise(10 << 10)}))
		assert.Zero(r, s.Mirror())
		r.closed(s)
		assert.Empty(r, mirrored(r, a))
		assert.Len(r, a.keys("body/"), 2)
	})
}

func TestEditsAreMirroredToo(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.saves(a, 3, nil)
		_, err := both(r.inner, a).Rollback(r.Context(), name, 1, nil)
		require.NoError(r, err)
		_, err = both(r.inner, a).Reset(r.Context(), name, nil)
		require.NoError(r, err)
		_, err = both(r.inner, a).Delete(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Equal(r, upTo(6), mirrored(r, a), "the tombstone among them: a deletion leaves the mirror")
		r.saves(a, 2, nil)
		assert.Equal(r, upTo(8), mirrored(r, a))
		assert.Empty(r, r.findings(a, nil))
	})
}

// A version that no mirror can hold must not keep the others out.
func TestAVersionThatCannotBeMirroredIsAGapAndNoWedge(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		a.on(func(_ context.Context, call string) error {
			if strings.HasPrefix(call, "Create "+mirrorOf+"00000000000000000002-") {
				return fmt.Errorf("%s: %w", call, store.ErrTooLarge)
			}
			return nil
		})
		s := r.bigger(a, nil)
		for i := range 3 {
			require.NoError(r, s.Save(r.Context(), fmt.Sprint(i+1), big{}))
		}
		time.Sleep(time.Second)
		assert.Equal(r, []archive.Gap{{First: 2, Last: 2}}, s.Mirror().Gaps)
		r.closed(s)
		assert.Equal(r, []int64{1, 3, 4}, mirrored(r, a))
	})
}

func TestAStateThatWasSavedInlineIsMirroredAsABodyWhereItIsLarge(t *testing.T) {
	over(t, func(r *rig) {
		s, err := checkpoint.Open[big](r.Context(), in(r.Store), name, nil) // no archive yet
		require.NoError(r, err)
		require.NoError(r, s.Save(r.Context(), "1", big{N: 7, Text: noise(600_000)}))
		r.closed(s)
		a := newMemory()
		r.saves(a, 1, nil)
		assert.Equal(r, upTo(3), mirrored(r, a))
		h := r.copy(1)
		m, err := archive.ReadVersion(r.Context(), a, key, archive.IDOf(&h.Version))
		require.NoError(r, err)
		require.NotEmpty(r, m.State.Body)
		require.Empty(r, r.collected(a))
		require.Empty(r, r.findings(a, nil))
		r.expire(1, 1)
		require.Empty(r, r.collected(a), "the mirror points at it")
		cp, err := both(r.inner, a).Get(r.Context(), name, &checkpoint.ReadOptions{Version: 1})
		require.NoError(r, err)
		state, err := checkpoint.Decode[big](cp)
		require.NoError(r, err)
		assert.Equal(r, 7, state.N)
	})
}

// Replies of the archive are lost at random, and its calls refused: the mirror is whole in the end.
func TestTheMirrorIsWholeThoughItsRequestsFailAtRandom(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		n := 0
		a.on(func(_ context.Context, call string) error {
			a.mu.Lock()
			n++
			turn := n % 7
			a.mu.Unlock()
			switch {
			case strings.HasPrefix(call, "List"): // else no session opens
				return nil
			case turn == 0:
				return fmt.Errorf("%s: %w", call, store.ErrThrottled)
			case turn == 3:
				return fmt.Errorf("%s: %w: %w", call, archive.ErrWriteUnknown, store.ErrUnavailable)
			}
			return nil
		})
		for range 5 {
			s := r.bigger(a, nil)
			for i := range 20 {
				require.NoError(r, s.Save(r.Context(), fmt.Sprint(i), big{N: i, Text: noise(i * 500)}))
			}
			r.closed(s)
		}
		a.on(nil)
		r.saves(a, 1, nil)
		assert.Equal(r, upTo(106), mirrored(r, a))
		assert.Empty(r, r.findings(a, nil))
		assert.Equal(r, int64(106), latest(r, a))
	})
}

func TestAnOpenThatFindsNothingAsksTheArchiveOnce(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		s := r.bigger(a, nil)
		require.Len(r, a.called("List", 0), 1)
		require.NoError(r, s.Save(r.Context(), "1", big{}))
		r.closed(s)
		_, err := in(r.inner).Delete(r.Context(), name, nil)
		require.NoError(r, err)
		s = r.bigger(a, nil) // a deleted HEAD: that begins anew
		r.closed(s)

		// The table is lost.
		r.lose()
		_, err = checkpoint.Open[big](r.Context(), both(r.Store, a), name, nil)
		require.ErrorIs(r, err, checkpoint.ErrRefused)
		require.ErrorContains(r, err, "restore")
		require.ErrorContains(r, err, "reset")
		cursor := "c"
		_, err = both(r.Store, a).Set(r.Context(), name, checkpoint.Content{Cursor: &cursor}, nil)
		require.ErrorIs(r, err, checkpoint.ErrRefused)
		a.on(down)
		_, err = checkpoint.Open[big](r.Context(), both(r.Store, a), name, nil)
		require.ErrorIs(r, err, store.ErrUnavailable, "an archive that cannot be asked fails the open")
		a.on(blocked)
		_, err = checkpoint.Open[big](r.Context(), both(r.Store, a), name, nil)
		require.Error(r, err)
		assert.Zero(r, r.head().Number)
	})
}

// lose loses the table.
func (r *rig) lose() {
	r.Helper()
	r.expire(1, 2000)
	r.inner.Drop(key, "HEAD")
	r.inner.Drop(key, "LEASE")
}

// findings is what verify finds, by kind.
func (r *rig) findings(a archive.Archive, opts *checkpoint.VerifyOptions) (kinds []checkpoint.FindingKind) {
	r.Helper()
	found, err := r.in(r.inner, a).Verify(r.Context(), name, opts)
	require.NoError(r, err)
	for _, f := range found.Findings {
		kinds = append(kinds, f.Kind)
	}
	return kinds
}

// collected is what gc would remove.
func (r *rig) collected(a archive.Archive) (objects []string) {
	r.Helper()
	done, err := both(r.inner, a).GC(r.Context(), name, &checkpoint.UpkeepOptions{DryRun: true})
	require.NoError(r, err)
	for _, b := range done.Bodies {
		objects = append(objects, b.Object)
	}
	return objects
}

func TestAMirrorOfADeadLineDoesNotMoveLatestBack(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		s := r.bigger(a, nil)
		require.NoError(r, s.Save(r.Context(), "1", big{}))
		a.on(blocked) // its mirror hangs
		require.NoError(r, s.Save(r.Context(), "2", big{}))
		r.breakLease()
		time.Sleep(time.Minute)
		a.on(nil)
		r.saves(a, 3, nil) // another goes on to version 5
		require.Equal(r, int64(5), latest(r, a))
		require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrLost) // and the first one's mirror gets through
		assert.Equal(r, int64(5), latest(r, a))
		assert.Equal(r, upTo(5), mirrored(r, a))
	})
}

func TestACopyThatIsDamagedIsNotMirroredAndDoesNotStopTheOthers(t *testing.T) {
	over(t, func(r *rig) {
		r.saves(nil, 6, nil)
		r.inner.Damage(key, store.CopyRecord(3), store.ErrBadRecord)
		a := newMemory()
		r.saves(a, 1, nil)
		assert.Equal(r, []int64{1, 2, 4, 5, 6, 7}, mirrored(r, a))
		r.inner.Damage(key, store.CopyRecord(3), nil)
		done, err := both(r.inner, a).Sync(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Equal(r, int64(1), done.Mirrored)
		assert.Equal(r, upTo(7), mirrored(r, a))
	})
}

func TestMirroringIsNoRequestOfASaves(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		s := r.bigger(a, nil)
		require.NoError(r, s.Save(r.Context(), "1", big{}))
		time.Sleep(time.Second)
		since := len(r.Calls(""))
		require.NoError(r, s.Save(r.Context(), "2", big{}))
		time.Sleep(time.Second)
		assert.Equal(r, []string{"Commit", "Copy"}, r.methods(since))
		r.closed(s)
	})
}

// A job of one save a run has no later save to say what was mirrored: so the closing one looks first.
func TestArchivedThroughKeepsUpWithSessionsOfOneCommit(t *testing.T) {
	for what, policy := range map[string]checkpoint.MirrorPolicy{"every": checkpoint.MirrorEvery, "sessions": checkpoint.MirrorSessions} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				a := newMemory()
				a.on(func(context.Context, string) error { time.Sleep(50 * time.Millisecond); return nil })
				for i := range 5 {
					r.mirroring(policy).saves(a, 1, nil)
					assert.Equal(r, int64(2*i), r.head().ArchivedThrough)
					cursor := fmt.Sprint(i)
					_, err := checkpoint.Namespace{Store: r.Store, Archive: a, Mirror: policy}.Set(r.Context(), name, checkpoint.Content{Cursor: &cursor}, nil)
					require.NoError(r, err)
					assert.Equal(r, int64(2*i+1), r.head().ArchivedThrough)
				}
				assert.Equal(r, upTo(10), mirrored(r, a))

				// An archive that does not answer is waited for a moment, with what it was given before.
				a.on(blocked)
				s := r.mirroring(policy).bigger(a, nil)
				begun := time.Now()
				r.closed(s)
				assert.LessOrEqual(r, time.Since(begun), 7*time.Second)
				assert.Equal(r, int64(9), r.head().ArchivedThrough)
			})
		})
	}
}

func TestOfASessionWhoseLastVersionAloneIsMirroredTheOthersAreNotBehind(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.mirroring(checkpoint.MirrorSessions).saves(a, 5, nil)
		assert.Equal(r, int64(4), r.head().ArchivedThrough)
		s := r.mirroring(checkpoint.MirrorSessions).bigger(a, nil)
		time.Sleep(time.Second)
		require.NoError(r, s.Save(r.Context(), "x", big{}))
		require.NoError(r, s.Save(r.Context(), "y", big{}))
		assert.Equal(r, int64(6), r.head().ArchivedThrough)
		r.breakLease() // it died: the next one mirrors its last version
		require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrLost)
		r.mirroring(checkpoint.MirrorSessions).saves(a, 2, nil)
		assert.Equal(r, []int64{5, 7, 9}, mirrored(r, a))
		assert.Empty(r, r.mirroring(checkpoint.MirrorSessions).findings(a, nil))
	})
}

// A listing may have any number of pages, and takes as long as those do: only one that stands still is given up.
func TestAMirrorWhoseListingTakesLongIsCaughtUpWith(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.saves(nil, 50, nil)
		_, err := both(r.inner, a).Sync(r.Context(), name, nil)
		require.NoError(r, err)
		s := r.bigger(&slowPages{memory: a}, nil)
		time.Sleep(10 * time.Minute)
		assert.Equal(r, int64(50), s.Mirror().Through)
		r.closed(s)

		standing := &slowPages{memory: a, at: 20}
		done := make(chan error, 1)
		go func() {
			_, err := both(r.inner, standing).Sync(r.Context(), name, nil)
			done <- err
		}()
		time.Sleep(10 * time.Minute)
		require.ErrorIs(r, <-done, store.ErrUnavailable)
	})
}

// slowPages lists one object every two seconds, and stands still at one of them, if at is set.
type slowPages struct {
	*memory
	at int
}

func (a *slowPages) List(ctx context.Context, prefix string, opts *archive.ListOptions) iter.Seq2[archive.Object, error] {
	return func(yield func(archive.Object, error) bool) {
		n := 0
		for object, err := range a.memory.List(ctx, prefix, opts) {
			pause := 2 * time.Second
			if n++; n == a.at {
				pause = 24 * time.Hour
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				yield(archive.Object{}, fmt.Errorf("list: %w", ctx.Err()))
				return
			}
			if !yield(object, err) {
				return
			}
		}
	}
}

// The mirror goes upward in chunks: a gap that goes over the end of one is told whole.
func TestAGapThatGoesOverChunksIsNamedWhole(t *testing.T) {
	over(t, func(r *rig) {
		r.saves(nil, 120, nil)
		a := newMemory()
		r.expire(10, 100)
		s := r.bigger(a, nil)
		time.Sleep(time.Minute)
		assert.Equal(r, []archive.Gap{{First: 10, Last: 100}}, s.Mirror().Gaps)
		r.closed(s)
		assert.Len(r, mirrored(r, a), 30)
	})
}

func TestWhatExpiredWithinASessionIsNoGapWhereItsLastVersionAloneIsMirrored(t *testing.T) {
	for first := int64(30); first <= 36; first++ { // the mirror goes upward in chunks, of which one ends here
		over(t, func(r *rig) {
			r.saves(nil, 60, nil)
			r.saves(nil, 5, nil)
			a := newMemory()
			r.expire(first, first+5)
			s := r.mirroring(checkpoint.MirrorSessions).bigger(a, nil)
			time.Sleep(time.Minute)
			assert.Empty(r, s.Mirror().Gaps)
			r.closed(s)
			assert.Subset(r, mirrored(r, a), []int64{60, 65, 66})
		})
	}
}
