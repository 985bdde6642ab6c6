package checkpoint_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/faultstore"
	"github.com/milepost-dev/milepost/store/memstore"
)

func TestALostTableIsRestoredAndTheJobResumes(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.minutes(a, 8)
		before := r.history(a)
		r.lose()

		_, err := checkpoint.Open[big](r.Context(), both(r.Store, a), name, nil)
		require.ErrorIs(r, err, checkpoint.ErrRefused, "not started from zero")
		plan, err := both(r.inner, a).Restore(r.Context(), name, &checkpoint.RestoreOptions{DryRun: true})
		require.NoError(r, err)
		assert.Nil(r, plan.Before)
		assert.Equal(r, int64(8), plan.From.Number)
		assert.Equal(r, int64(9), plan.After.Number)
		assert.Equal(r, int64(8), plan.Copies)
		assert.Zero(r, r.head().Number)

		done, err := both(r.inner, a).Restore(r.Context(), name, &checkpoint.RestoreOptions{Reason: "the region burnt"})
		require.NoError(r, err)
		assert.Equal(r, int64(8), done.After.RestoredFrom)
		assert.Equal(r, "the region burnt", done.After.Reason)
		h := r.head()
		assert.GreaterOrEqual(r, h.Fence.Epoch, int64(lease.EpochLeap))
		assert.Equal(r, h.Fence.Epoch, h.CommitEpoch)

		after := r.history(nil) // the store has them again
		require.Equal(r, append([]int64{9}, versions(before)...), versions(after))
		for i, cp := range after[1:] {
			sameCheckpoint(r, before[i], cp)
		}
		for v := int64(1); v <= 9; v++ {
			cp, err := both(r.inner, a).Get(r.Context(), name, &checkpoint.ReadOptions{Version: v})
			require.NoError(r, err)
			state, err := checkpoint.Decode[big](cp)
			require.NoError(r, err)
			assert.Equal(r, int(min(v, 7)), state.N)
		}
		assert.Empty(r, r.findings(a, nil))
		assert.Equal(r, int64(9), latest(r, a))
		assert.Empty(r, r.collected(a))

		s := r.bigger(a, nil)
		assert.Equal(r, before[0].Cursor, s.Cursor())
		assert.Equal(r, 7, s.State().N)
		assert.Greater(r, s.Epoch(), h.Fence.Epoch)
		require.NoError(r, s.Save(r.Context(), "on", big{N: 8}))
		r.closed(s)
		assert.Equal(r, int64(11), r.head().Number)
		assert.Empty(r, r.findings(a, nil))
	})
}

func TestEpochsRiseThroughEveryRestore(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.saves(a, 3, nil)
		var epochs []int64
		for i := range 4 {
			epochs = append(epochs, r.head().Fence.Epoch)
			r.lose()
			_, err := both(r.inner, a).Restore(r.Context(), name, nil)
			require.NoError(r, err)
			assert.Greater(r, r.head().Fence.Epoch, epochs[i]+lease.EpochLeap-1)
		}
		assert.Equal(r, int64(7), r.head().Number)
		assert.Empty(r, r.findings(a, nil))
	})
}

// A session that was alive before the loss: it is fenced, and what it has sent late neither blocks the new line nor
// shows in it.
func TestASessionThatOutlivesTheTableIsFencedAndItsLateWritesMeanNothing(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.minutes(a, 4)
		s := r.bigger(a, nil)
		require.NoError(r, s.Save(r.Context(), "5", big{N: 5}))
		time.Sleep(time.Second)

		// Its next version lands; the copy and the mirror's object are held up on their way.
		r.On("Copy", 0, faultstore.Hold)
		late := map[string][]byte{}
		a.on(func(ctx context.Context, call string) error {
			if strings.HasPrefix(call, "Create v/") {
				return blocked(ctx, call)
			}
			return nil
		})
		require.NoError(r, s.Save(r.Context(), "6, never mirrored", big{N: 6}))
		time.Sleep(time.Second)
		dead := r.head().Version
		data, err := archive.Encode(&archive.Mirrored{Key: key, Version: dead})
		require.NoError(r, err)
		late[archive.VersionKey(key, archive.IDOf(&dead))] = data
		held := r.Held()
		require.NotEmpty(r, held)

		r.lose()
		r.Clear()
		a.on(nil)
		a.mu.Lock()
		delete(a.objects, archive.VersionKey(key, archive.IDOf(&dead)))
		a.mu.Unlock()
		_, err = both(r.inner, a).Restore(r.Context(), name, nil)
		require.NoError(r, err)
		restored := r.head()
		assert.Equal(r, int64(6), restored.Number)
		assert.Equal(r, "5", restored.Cursor)

		// What was held up is delivered.
		for _, call := range held {
			_ = call.Deliver(r.Context())
		}
		for object, data := range late {
			a.mu.Lock()
			a.put(object, data)
			a.mu.Unlock()
		}
		err = s.Save(r.Context(), "7", big{N: 7})
		require.ErrorIs(r, err, lease.ErrLost)
		require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrLost)
		assert.Equal(r, restored.CommitID, r.head().CommitID)

		next := r.bigger(a, nil)
		assert.Equal(r, "5", next.Cursor())
		for i := range 3 {
			require.NoError(r, next.Save(r.Context(), fmt.Sprint("new ", i), big{N: 100 + i}))
		}
		r.closed(next)
		var cursors []string
		for _, cp := range r.history(a) {
			cursors = append(cursors, cp.Cursor)
		}
		assert.NotContains(r, cursors, "6, never mirrored")
		r.expire(1, 9) // so that the mirror alone has them
		var later []string
		for _, cp := range r.history(a) {
			later = append(later, cp.Cursor)
		}
		assert.Equal(r, cursors, later)
		assert.Equal(r, int64(10), r.head().Number)
		assert.Equal(r, int64(10), latest(r, a))
		assert.Empty(r, r.findings(a, nil))

		// And with the table lost once more, the dead line is still no part of it.
		r.lose()
		done, err := both(r.inner, a).Restore(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Equal(r, "new 2", done.From.Cursor)
	})
}

func TestARestoreAsOfATime(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.minutes(a, 8)
		before := r.history(nil)
		r.lose()
		done, err := both(r.inner, a).Restore(r.Context(), name, &checkpoint.RestoreOptions{At: before[4].SavedAt.Add(time.Second)})
		require.NoError(r, err)
		assert.Equal(r, int64(4), done.From.Number)
		assert.Equal(r, int64(9), done.After.Number)
		assert.Equal(r, before[4].Cursor, r.get().Cursor)
		assert.Equal(r, append([]int64{9}, upTo(8)[7:]...), versions(r.history(nil))[:2], "what lies between stays in the history")
		_, err = checkpoint.Namespace{Store: memstore.New(nil), Archive: a}.Restore(r.Context(), name, &checkpoint.RestoreOptions{At: before[7].SavedAt.Add(-time.Second)})
		require.ErrorIs(r, err, store.ErrNotFound)
		_, err = checkpoint.Namespace{Store: memstore.New(nil), Archive: newMemory()}.Restore(r.Context(), name, nil)
		require.ErrorIs(r, err, store.ErrNotFound)
	})
}

func TestARestoreOverWhatIsThereIsRefused(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.minutes(a, 6)
		_, err := both(r.inner, a).Restore(r.Context(), name, &checkpoint.RestoreOptions{Behind: true})
		require.ErrorIs(r, err, checkpoint.ErrRefused)
		require.ErrorContains(r, err, "nothing is lost")

		// A table from a backup, which is behind.
		old := r.copy(4).Version
		r.lose()
		r.put(old)
		_, err = both(r.inner, a).Restore(r.Context(), name, nil)
		require.ErrorIs(r, err, checkpoint.ErrRefused)
		assert.Equal(r, int64(4), r.head().Number)
		done, err := both(r.inner, a).Restore(r.Context(), name, &checkpoint.RestoreOptions{Behind: true})
		require.NoError(r, err)
		assert.Equal(r, int64(4), done.Before.Number)
		assert.Equal(r, int64(7), r.head().Number)
		assert.Equal(r, []int64{7, 6, 5, 4, 3, 2, 1}, versions(r.history(nil)))
		assert.Empty(r, r.findings(a, nil))
	})
}

func TestARestoreWaitsForNobodyWhoHoldsTheLease(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.minutes(a, 4)
		r.lose()
		other, err := lease.Acquire(r.Context(), r.inner, key, nil)
		require.NoError(r, err)
		_, err = both(r.inner, a).Restore(r.Context(), name, nil)
		require.ErrorIs(r, err, lease.ErrHeld)
		require.NoError(r, other.Release(r.Context()))
		_, err = both(r.inner, a).Restore(r.Context(), name, nil)
		require.NoError(r, err)
	})
}

func TestADamagedNewestVersionIsNeverReplacedByAnOlderOne(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.minutes(a, 6)
		before := r.history(nil)
		r.lose()
		a.change(r, objectOf(r, a, 6), flipped)
		_, err := both(r.inner, a).Restore(r.Context(), name, nil)
		require.ErrorIs(r, err, store.ErrBadRecord)
		require.ErrorContains(r, err, "version 6")
		assert.Zero(r, len(r.Calls("Commit"))-6)
		_, err = both(r.inner, a).Restore(r.Context(), name, &checkpoint.RestoreOptions{At: before[0].SavedAt.Add(time.Hour)})
		require.ErrorContains(r, err, "version 6", "it is the newest of then, too")
		for _, v := range []int64{3, 2} {
			a.change(r, objectOf(r, a, v), flipped) // wherever the search looks
		}
		done, err := both(r.inner, a).Restore(r.Context(), name, &checkpoint.RestoreOptions{At: before[2].SavedAt})
		require.NoError(r, err, "by an order")
		assert.Equal(r, int64(4), done.From.Number)
		assert.Equal(r, int64(3), done.Copies, "the damaged ones are not among them")
	})
}

func TestARestoreThatIsInterruptedAnywhereIsRunAgain(t *testing.T) {
	for at := 1; at < 40; at++ {
		done := false
		over(t, func(r *rig) {
			a := newMemory()
			r.minutes(a, 4)
			r.lose()
			calls := 0
			die := func(_ context.Context, call string) error {
				a.mu.Lock()
				calls++
				dead := calls >= at
				a.mu.Unlock()
				if dead {
					return fmt.Errorf("%s: %w: the process is gone", call, store.ErrCredentials)
				}
				return nil
			}
			a.on(die)
			dying := faultstore.New(r.inner)
			dying.On("", 0, func(ctx context.Context, c *faultstore.Call) error {
				if err := die(ctx, c.Method); err != nil {
					return fmt.Errorf("%w: %w", store.ErrNotApplied, err)
				}
				return c.Deliver(ctx)
			})
			_, err := both(dying, a).Restore(r.seconds(30), name, nil)
			done = err == nil
			a.on(nil)
			time.Sleep(time.Minute)
			if !done {
				_, err = checkpoint.Open[big](r.Context(), both(r.inner, a), name, &checkpoint.Options{Lease: lease.Options{Wait: time.Hour}})
				if err == nil {
					require.FailNow(r, "a job began from zero", "interrupted at %d", at)
				}
				require.ErrorIs(r, err, checkpoint.ErrRefused)
				_, err = both(r.inner, a).Restore(r.Context(), name, &checkpoint.RestoreOptions{Lease: lease.Options{Wait: time.Hour}})
				require.NoError(r, err, "interrupted at %d", at)
			}
			s, err := checkpoint.Open[big](r.Context(), both(r.inner, a), name, &checkpoint.Options{Lease: lease.Options{Wait: time.Hour}})
			require.NoError(r, err)
			assert.Equal(r, 3, s.State().N)
			r.closed(s)
			_, err = both(r.inner, a).GC(r.Context(), name, nil)
			require.NoError(r, err)
			assert.Empty(r, r.findings(a, nil), "interrupted at %d", at)
		})
		if done || t.Failed() {
			require.Greater(t, at, 10)
			return
		}
	}
	require.FailNow(t, "it was never whole")
}

func TestARestoreWhoseReplyIsLostIsSettled(t *testing.T) {
	for what, fault := range map[string]faultstore.Fault{"landed": faultstore.LoseReply, "lost": faultstore.LoseRequest} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				a := newMemory()
				r.large(a, 3, nil)
				r.lose()
				for _, method := range []string{"Acquire", "Raise", "Commit", "Copy"} {
					r.On(method, 1, fault)
				}
				done, err := both(r.Store, a).Restore(r.Context(), name, nil)
				require.NoError(r, err)
				assert.Equal(r, r.head().CommitID, done.After.CommitID)
				assert.Equal(r, upTo(5), mirrored(r, a))
				assert.Empty(r, r.findings(a, nil))
				assert.Empty(r, r.collected(a))
			})
		})
	}
}

func TestARestoreThatDefinitelyFailedLeavesNothingInTheArchive(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.large(a, 3, nil)
		r.lose()
		before := a.keys("")
		r.On("Commit", 0, faultstore.Fail(&store.SizeError{Key: key, Size: 2, Limit: 1}))
		_, err := both(r.Store, a).Restore(r.Context(), name, nil)
		require.ErrorIs(r, err, store.ErrTooLarge)
		assert.Equal(r, before, a.keys(""))
		r.Clear()
		_, err = both(r.Store, a).Restore(r.Context(), name, nil)
		require.NoError(r, err)
	})
}

// A person who can write to the archive can give an object any name.
func TestAnObjectWithANumberThatNoJobReachesStopsNeitherRestoreNorReset(t *testing.T) {
	for _, planted := range []string{"09223372036854775807-1-x.json", "00000000000000000009-9223372036854775807-x.json"} {
		over(t, func(r *rig) {
			a := newMemory()
			r.minutes(a, 3)
			a.put(mirrorOf+planted, []byte("{}"))
			r.lose()
			_, err := both(r.inner, a).Reset(r.Context(), name, nil)
			require.NoError(r, err)
			assert.Equal(r, int64(4), r.head().Number)
			r.lose()
			_, err = both(r.inner, a).Restore(r.Context(), name, nil)
			require.NoError(r, err)
			assert.Equal(r, int64(5), r.head().Number)
			assert.Equal(r, []checkpoint.FindingKind{checkpoint.FindingForeign}, r.findings(a, nil))
		})
	}
	for _, planted := range []archive.ID{{Version: store.MaxNumber, Epoch: 9, CommitID: "x"}, {Version: 9, Epoch: store.MaxNumber, CommitID: "x"}} {
		over(t, func(r *rig) {
			a := newMemory()
			r.minutes(a, 3)
			a.put(archive.VersionKey(key, planted), []byte("{}"))
			r.lose()
			_, err := both(r.inner, a).Reset(r.Context(), name, nil)
			require.ErrorIs(r, err, store.ErrBadRecord, "nothing is left above it")
			_, err = both(r.inner, a).Restore(r.Context(), name, nil)
			require.ErrorIs(r, err, store.ErrBadRecord)
			found, err := r.inner.Look(r.Context(), key)
			require.NoError(r, err)
			assert.Nil(r, found.Lease)
		})
	}
}

func TestWhatARestoreThatFailedRemovesNeverPointsAtNothing(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.large(a, 3, nil)
		r.lose()
		r.On("Commit", 0, faultstore.Fail(&store.SizeError{Key: key, Size: 2, Limit: 1}))
		before := a.count()
		a.on(func(_ context.Context, call string) error {
			if strings.HasPrefix(call, "Delete v/") {
				time.Sleep(time.Second) // it could not wait for this one, if the body went on its own
			}
			return nil
		})
		var hanging []string // after each request of the restore
		a.after = func(string) {
			a.mu.Lock()
			defer a.mu.Unlock()
			for object, data := range a.objects {
				m, err := archive.Decode(object, data)
				if err != nil || m.State == nil || m.State.Body == "" {
					continue
				}
				if _, there := a.objects[m.State.Body]; !there {
					hanging = append(hanging, object)
				}
			}
		}
		_, err := both(r.Store, a).Restore(r.Context(), name, nil)
		require.ErrorIs(r, err, store.ErrTooLarge)
		assert.Len(r, a.called("Delete", before), 2, "an object and its body")
		assert.Empty(r, hanging)
	})
}

// Two restores into two tables at once, which no lease keeps apart: each sees the other's object, and they end
// as two lines of which one is the newer.
func TestTwoRestoresAtOnceStartOverAndEndApart(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.minutes(a, 4)
		r.lose()
		others := memstore.New(nil)
		var work sync.WaitGroup
		first := true
		meet := make(chan struct{})
		a.on(func(_ context.Context, call string) error { // they meet at the object that each mirrors first
			if !strings.HasPrefix(call, "Create v/") {
				return nil
			}
			a.mu.Lock()
			waits := first
			first = false
			a.mu.Unlock()
			if waits {
				<-meet
			} else {
				select {
				case <-meet:
				default:
					close(meet)
				}
			}
			return nil
		})
		errs := make([]error, 2)
		for i, st := range []store.Store{r.inner, others} {
			work.Go(func() { _, errs[i] = both(st, a).Restore(r.Context(), name, nil) })
		}
		work.Wait()
		require.NoError(r, errs[0])
		require.NoError(r, errs[1])
		a.on(nil)
		var epochs []int64
		for _, st := range []store.Store{r.inner, others} {
			found, err := st.Look(r.Context(), key)
			require.NoError(r, err)
			epochs = append(epochs, found.Head.CommitEpoch)
		}
		assert.NotEqual(r, epochs[0], epochs[1])
	})
}

func TestAResetLeadsOnWhereTheTableIsLost(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.minutes(a, 4)
		r.lose()
		_, err := in(r.inner).Reset(r.Context(), name, nil)
		require.ErrorIs(r, err, store.ErrNotFound, "without the archive nothing is known of it")
		opts := &checkpoint.EditOptions{DryRun: true, Reason: "again"}
		plan, err := both(r.inner, a).Reset(r.Context(), name, opts)
		require.NoError(r, err)
		assert.Equal(r, int64(5), plan.After.Number)
		found, err := r.inner.Look(r.Context(), key)
		require.NoError(r, err)
		assert.Nil(r, found.Head)
		opts.DryRun = false
		_, err = both(r.inner, a).Reset(r.Context(), name, opts)
		require.NoError(r, err)
		s := r.bigger(a, nil)
		assert.Empty(r, s.Cursor())
		assert.Greater(r, s.Epoch(), int64(lease.EpochLeap))
		r.closed(s)
		assert.Equal(r, []int64{6, 5, 4, 3, 2, 1}, versions(r.history(a)))
		assert.Empty(r, r.findings(a, nil))
	})
}

func TestADeletedCheckpointIsNotRestoredButAsOfBefore(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.minutes(a, 4)
		before := r.history(nil)
		time.Sleep(time.Hour)
		_, err := both(r.inner, a).Delete(r.Context(), name, nil)
		require.NoError(r, err)
		r.lose()
		_, err = both(r.inner, a).Restore(r.Context(), name, nil)
		require.ErrorIs(r, err, checkpoint.ErrRefused)
		require.ErrorContains(r, err, "deleted")
		_, err = both(r.inner, a).Restore(r.Context(), name, &checkpoint.RestoreOptions{At: before[0].SavedAt})
		require.NoError(r, err)
		assert.Equal(r, []int64{6, 4, 3, 2, 1}, versions(r.history(nil)))
		assert.Equal(r, before[0].Cursor, r.get().Cursor)
	})
}

func TestADeletedCheckpointComesBackAsOfATimeBefore(t *testing.T) {
	for what, policy := range map[string]checkpoint.MirrorPolicy{"its tombstone is mirrored": checkpoint.MirrorEvery, "it is not": checkpoint.MirrorOff} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				a := newMemory()
				r.large(a, 3, nil)
				before := r.history(a)
				time.Sleep(time.Minute)
				at := time.Now()
				time.Sleep(time.Minute)
				_, err := r.mirroring(policy).in(r.inner, a).Delete(r.Context(), name, nil)
				require.NoError(r, err)
				deleted := r.head()

				for _, opts := range []*checkpoint.RestoreOptions{nil, {At: at}, {At: at, Behind: true}, {Deleted: true}} {
					_, err = both(r.inner, a).Restore(r.Context(), name, opts)
					require.ErrorIs(r, err, checkpoint.ErrRefused, "it is not lost, and not asked for")
					require.ErrorContains(r, err, "name a time before it")
				}
				done, err := both(r.inner, a).Restore(r.Context(), name, &checkpoint.RestoreOptions{At: at, Deleted: true})
				require.NoError(r, err)
				assert.Equal(r, int64(4), done.From.Number)
				assert.Equal(r, deleted.Number+1, done.After.Number)
				assert.Greater(r, done.After.CommitEpoch, deleted.CommitEpoch)

				assert.Equal(r, append([]int64{6}, versions(before)...), versions(r.history(a)))
				_, err = both(r.inner, a).GC(r.Context(), name, nil)
				require.NoError(r, err)
				for _, v := range []int64{1, 2, 3, 4, 6} {
					cp, err := both(r.inner, a).Get(r.Context(), name, &checkpoint.ReadOptions{Version: v})
					require.NoError(r, err)
					state, err := checkpoint.Decode[big](cp)
					require.NoError(r, err)
					assert.Equal(r, int(min(v, 3)), state.N)
				}
				_, err = both(r.inner, a).Sync(r.Context(), name, nil) // the tombstone
				require.NoError(r, err)
				assert.Empty(r, r.findings(a, nil))
				s := r.bigger(a, nil)
				assert.Equal(r, "3", s.Cursor())
				r.closed(s)
				assert.True(r, r.head().Listed)
			})
		})
	}
}
