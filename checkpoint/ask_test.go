package checkpoint_test

import (
	"context"
	"fmt"
	"log/slog"
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

// backup returns what puts the store back to what it holds now, as a copied file or a backup does.
func (r *rig) backup() (putBack func()) {
	r.Helper()
	found, err := r.inner.Look(r.Context(), key)
	require.NoError(r, err)
	var copies []store.Copy
	for c, err := range r.inner.Versions(r.Context(), key, found.Head.Number, 1) {
		require.NoError(r, err)
		copies = append(copies, c)
	}
	return func() {
		r.lose()
		r.fill(r.inner, found, copies)
	}
}

// fill makes an empty store hold these records.
func (r *rig) fill(st store.Store, found store.Records, copies []store.Copy) {
	h := found.Head
	_, _, err := st.Raise(r.Context(), key, h.Fence, h.Holder, true)
	require.NoError(r, err)
	_, err = st.Commit(r.Context(), key, store.Commit{Fence: h.Fence, Next: h.Version})
	require.NoError(r, err)
	_, err = st.Acquire(r.Context(), key, nil, *found.Lease)
	require.NoError(r, err)
	for _, c := range copies {
		require.NoError(r, st.Copy(r.Context(), key, c))
	}
}

// fourOfSeven is a store that was put back from version 7 to version 4.
func (r *rig) fourOfSeven(a archive.Archive) {
	r.Helper()
	r.minutes(a, 4)
	putBack := r.backup()
	r.saves(a, 3, nil)
	require.Greater(r, r.head().Number, int64(6))
	putBack()
}

func TestAStoreThatWentBackIsRefusedAndSaysWhatGoesOn(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.fourOfSeven(a)
		was, archived := r.head(), a.keys("")
		calls := len(r.Calls(""))
		_, err := checkpoint.Open[big](r.Context(), both(r.Store, a), name, nil)
		require.ErrorIs(r, err, lease.ErrStoreRegressed)
		var behind *checkpoint.BehindError
		require.ErrorAs(r, err, &behind)
		assert.Equal(r, archive.IDOf(&was.Version), behind.Have)
		assert.Equal(r, latest(r, a), behind.Announced.Version)
		for _, command := range []string{"milepost archive restore orders/eu --behind", "milepost archive restore orders/eu --keep-store"} {
			require.ErrorContains(r, err, command)
		}
		for _, method := range r.methods(calls) {
			assert.Contains(r, []string{"Look", "Version"}, method, "nothing is written")
		}
		cursor := "9"
		_, err = both(r.inner, a).Set(r.Context(), name, checkpoint.Content{Cursor: &cursor}, nil)
		require.ErrorIs(r, err, lease.ErrStoreRegressed)
		_, err = both(r.inner, a).Rollback(r.Context(), name, 2, nil)
		require.ErrorIs(r, err, lease.ErrStoreRegressed)
		assert.Equal(r, was, r.head())
		assert.Equal(r, archived, a.keys(""))
	})
}

func TestAStoreThatWentBackGoesOnFromTheMirrorOrOnPurposeFromItself(t *testing.T) {
	for what, opts := range map[string]*checkpoint.RestoreOptions{"mirror": {Behind: true}, "store": {KeepStore: true}} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				a := newMemory()
				r.fourOfSeven(a)
				was, newest := r.head(), latest(r, a)
				plan := *opts
				plan.DryRun = true
				planned, err := both(r.inner, a).Restore(r.Context(), name, &plan)
				require.NoError(r, err)
				done, err := both(r.inner, a).Restore(r.Context(), name, opts)
				require.NoError(r, err)
				assert.Equal(r, planned.After.Number, done.After.Number)
				assert.Equal(r, newest+1, done.After.Number)
				want := newest
				if opts.KeepStore {
					want = was.Number
				}
				assert.Equal(r, want, done.From.Number)
				assert.Equal(r, opts.Behind, done.From.Archived)
				assert.Equal(r, want, done.After.RestoredFrom)
				assert.Greater(r, done.After.CommitEpoch, int64(lease.EpochLeap))

				s := r.bigger(a, nil)
				assert.Equal(r, done.From.Cursor, s.Cursor())
				require.NoError(r, s.Save(r.Context(), "on", big{N: 100}))
				r.closed(s)
				assert.Equal(r, newest+3, latest(r, a))
				s = r.bigger(a, nil)
				assert.Equal(r, 100, s.State().N)
				r.closed(s)
				assert.Empty(r, r.findings(a, nil))
			})
		})
	}
}

func TestAnotherStoreOfTheSameNameIsRefused(t *testing.T) {
	for _, versions := range []int{2, 4, 9} {
		t.Run(fmt.Sprint(versions), func(t *testing.T) {
			over(t, func(r *rig) {
				a := newMemory()
				r.saves(a, 4, nil)
				r.lose()
				r.saves(nil, versions, nil) // another store, without the archive
				before := a.keys("")
				_, err := checkpoint.Open[big](r.Context(), both(r.inner, a), name, nil)
				require.ErrorIs(r, err, lease.ErrStoreRegressed)
				require.ErrorContains(r, err, "another store's")
				assert.Equal(r, before, a.keys(""))
			})
		})
	}
}

func TestTwoHistoriesAreBothNamedAndOneIsChosen(t *testing.T) {
	for what, opts := range map[string]checkpoint.RestoreOptions{"mirror": {Behind: true}, "store": {KeepStore: true}} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				a := newMemory()
				r.fourOfSeven(a)
				r.saves(nil, 4, nil) // goes on without the archive: a second history
				mine, theirs := r.head(), latest(r, a)
				for _, refused := range []*checkpoint.RestoreOptions{nil, {Behind: true}} {
					_, err := both(r.inner, a).Restore(r.Context(), name, refused)
					require.ErrorIs(r, err, checkpoint.ErrRefused)
					require.ErrorContains(r, err, "two histories")
					require.ErrorContains(r, err, mine.CommitID)
					require.ErrorContains(r, err, fmt.Sprintf("--behind --if-version %d", mine.Number))
					require.ErrorContains(r, err, "--keep-store")
				}
				_, err := both(r.inner, a).Restore(r.Context(), name, &checkpoint.RestoreOptions{Behind: true, IfVersion: mine.Number - 1})
				require.ErrorIs(r, err, checkpoint.ErrVersionConflict)
				opts.IfVersion = mine.Number
				done, err := both(r.inner, a).Restore(r.Context(), name, &opts)
				require.NoError(r, err)
				assert.Equal(r, max(mine.Number, theirs)+1, done.After.Number)
				want := theirs
				if opts.KeepStore {
					want = mine.Number
				}
				assert.Equal(r, want, done.From.Number)
				s := r.bigger(a, nil)
				assert.Equal(r, done.From.Cursor, s.Cursor())
				r.closed(s)
			})
		})
	}
}

func TestABackupFromWithinASessionIsBehindWhereOnlyTheLastVersionOfEachIsMirrored(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r = r.mirroring(checkpoint.MirrorSessions)
		r.saves(a, 3, nil)
		s := r.bigger(a, nil)
		require.NoError(r, s.Save(r.Context(), "4", big{N: 4}))
		time.Sleep(time.Second) // its copy
		putBack := r.backup()
		require.NoError(r, s.Save(r.Context(), "5", big{N: 5}))
		r.closed(s)
		putBack()
		require.NotContains(r, mirrored(r, a), r.head().Number)
		done, err := both(r.inner, a).Restore(r.Context(), name, &checkpoint.RestoreOptions{
			Behind: true, Lease: lease.Options{Wait: time.Hour},
		})
		require.NoError(r, err)
		assert.Equal(r, "5", done.From.Cursor)
	})
}

func TestKeepStoreGoesWithNothingElse(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.saves(a, 3, nil)
		for _, opts := range []*checkpoint.RestoreOptions{{KeepStore: true, Behind: true}, {KeepStore: true, Deleted: true}} {
			_, err := both(r.inner, a).Restore(r.Context(), name, opts)
			require.ErrorContains(r, err, "KeepStore")
		}
		r.lose()
		_, err := both(r.inner, a).Restore(r.Context(), name, &checkpoint.RestoreOptions{KeepStore: true})
		require.ErrorIs(r, err, store.ErrNotFound, "the store has nothing to keep")
	})
}

// Between the look and the answer of the archive another run saves, is mirrored and ends.
func TestAJobThatSavesWhileAnotherOpensIsNoStoreThatWentBack(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.saves(a, 2, nil)
		looked := make(chan struct{})
		r.On("Look", 1, func(ctx context.Context, c *faultstore.Call) error {
			defer close(looked)
			return c.Deliver(ctx)
		})
		asked := false
		a.on(func(_ context.Context, call string) error {
			a.mu.Lock()
			first := !asked && call == "Open "+archive.LatestKey(key)
			asked = asked || first
			a.mu.Unlock()
			if first {
				<-looked
				other, err := checkpoint.Open[big](r.Context(), both(r.inner, a), name, nil)
				if err == nil {
					err = other.Save(r.Context(), "meanwhile", big{N: 7})
				}
				if err == nil {
					err = other.Close(r.Context(), nil)
				}
				return err
			}
			return nil
		})
		s := r.bigger(a, nil)
		assert.Equal(r, "meanwhile", s.Cursor())
		assert.Equal(r, 7, s.State().N)
		r.closed(s)
	})
}

func TestAStoreThatIsPutBackBetweenLookAndRaiseIsRefused(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.minutes(a, 4)
		old := r.head()
		r.lose()
		r.saves(nil, int(old.Number), nil) // a line of the same length
		other := r.head().Version
		r.lose()
		r.put(old.Version)
		r.On("Raise", 1, faultstore.Before(func() {
			r.expire(1, 20)
			r.inner.Drop(key, "HEAD")
			r.put(other)
		}))
		_, err := checkpoint.Open[big](r.Context(), both(r.Store, a), name, nil)
		require.ErrorIs(r, err, lease.ErrStoreRegressed)
		found, err := r.inner.Look(r.Context(), key)
		require.NoError(r, err)
		assert.Equal(r, store.Free, found.Lease.Status)
	})
}

func TestAnArchiveOutOfReachStopsNoOpenOfACheckpointThatTheStoreHas(t *testing.T) {
	for what, fault := range map[string]func(context.Context, string) error{"down": down, "blocked": blocked} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				a := newMemory()
				r.saves(a, 3, nil)
				a.on(fault)
				var logged strings.Builder
				s := r.bigger(a, &checkpoint.Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
				require.NoError(r, s.Save(r.Context(), "on", big{N: 5}))
				require.NoError(r, s.Close(r.Context(), nil))
				assert.Contains(r, logged.String(), "the archive was not asked whether the store has gone backward")
			})
		})
	}
}

func TestAnOpenAsksTheArchiveOnceAndASaveDoesNot(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.saves(a, 3, nil)
		r = r.mirroring(checkpoint.MirrorOff)
		before, calls := a.count(), len(r.Calls(""))
		s := r.bigger(a, nil)
		assert.Equal(r, []string{"Look", "Acquire", "Raise"}, r.methods(calls))
		assert.Equal(r, []string{archive.LatestKey(key)}, a.called("Open", before))
		assert.Equal(r, before+1, a.count())
		require.NoError(r, s.Save(r.Context(), "on", big{N: 5}))
		assert.Equal(r, before+1, a.count())
		r.closed(s)
	})
}

// However a session of a lone store ends, the next one is not refused.
func TestNoLoneStoreIsEverRefused(t *testing.T) {
	for at := 1; ; at++ {
		over(t, func(r *rig) {
			a := newMemory()
			r.large(a, 3, nil)
			calls := 0
			dead := false
			die := func(_ context.Context, call string) error {
				a.mu.Lock()
				defer a.mu.Unlock()
				calls++
				if dead = calls >= at; dead {
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
			s, err := checkpoint.Open[big](r.seconds(30), both(dying, a), name, nil)
			if err == nil {
				for i := range 3 {
					_ = s.Save(r.seconds(30), fmt.Sprint("more", i), big{N: i, Text: noise(10 << 10)})
				}
				_ = s.Close(r.seconds(30), nil)
			}
			a.on(nil)
			s, err = checkpoint.Open[big](r.Context(), both(r.inner, a), name, &checkpoint.Options{Lease: lease.Options{Wait: time.Hour}})
			require.NoError(r, err, "it died at call %d", at)
			r.closed(s)
			if !dead {
				at = 0
			}
		})
		if at == 0 || t.Failed() {
			return
		}
	}
}
