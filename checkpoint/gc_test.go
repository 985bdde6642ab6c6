package checkpoint_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/faultstore"
)

func (r *rig) large(a archive.Archive, n int, opts *checkpoint.Options) {
	r.Helper()
	s := r.bigger(a, opts)
	for i := range n {
		require.NoError(r, s.Save(r.Context(), fmt.Sprint(i+1), big{N: i + 1, Text: noise(10_000)}))
	}
	r.closed(s)
}

// orphan puts a body there that belongs to no version.
func (r *rig) orphan(a *memory, version int64, commit string) string {
	body := archive.BodyKey(key, archive.BodyID{Home: archive.Home(r.inner), Version: version, CommitID: commit})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.put(body, []byte("orphan"))
	return body
}

func TestGCRemovesBodiesThatNothingPointsAtAndNothingElse(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.large(a, 4, nil)
		dead := []string{r.orphan(a, 1, "DEAD1"), r.orphan(a, 5, "DEAD5")}
		r.orphan(a, 6, "ABOVE") // a slow save's
		foreign := bodiesOf + "notes.txt"
		a.put(foreign, []byte("mine"))
		r.expire(1, 2) // the mirror still points at theirs
		assert.ElementsMatch(r, dead, r.collected(a))
		assert.Len(r, a.keys("body/"), 9, "a plan removes nothing")

		done, err := both(r.inner, a).GC(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Len(r, done.Bodies, 2)
		assert.Equal(r, int64(6), done.Kept)
		assert.Len(r, a.keys("body/"), 7)
		assert.Contains(r, a.keys("body/"), foreign)
		assert.Empty(r, r.collected(a))
	})
}

func TestGCKeepsWhatAnyOfHEADCopyAndMirrorCarries(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.mirroring(checkpoint.MirrorOff).large(a, 3, nil)
		assert.Empty(r, r.collected(a))
		r.expire(4, 4) // the copy behind HEAD was never written
		assert.Empty(r, r.collected(a))
		r.expire(1, 1)
		assert.Len(r, r.collected(a), 1, "nothing else has it")
		time.Sleep(2 * 30 * 24 * time.Hour)
		assert.Len(r, r.collected(a), 1, "a copy that has expired is one, until it is gone")
		r.inner.Damage(key, store.CopyRecord(2), store.ErrBadRecord)
		_, err := both(r.inner, a).GC(r.Context(), name, nil)
		require.ErrorIs(r, err, store.ErrBadRecord, "what it says is not known")
		assert.Len(r, a.keys("body/"), 4)
	})
}

func TestGCRemovesNothingOfALostTable(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.mirroring(checkpoint.MirrorOff).large(a, 3, nil)
		r.lose()
		assert.Empty(r, r.collected(a))
	})
}

// A body that comes to be pointed at while gc runs survives, wherever gc is when HEAD comes to point at it, and wherever when the mirror does and the
// copy expires: this fails for a gc that reads HEAD, copies and mirror in another order.
func TestABodyThatIsBeingPointedAtWhileGCRunsSurvives(t *testing.T) {
	calls := 1
	for at := 1; at <= calls; at++ {
		for then := at; then <= calls; then++ {
			over(t, func(r *rig) { calls = r.meetsGC(at, then) })
			if t.Failed() {
				return
			}
		}
	}
	require.GreaterOrEqual(t, calls, 5)
}

// meetsGC lands a slow save when gc makes one call, and lets its version be mirrored and its copy expire at another. It returns how many calls there were.
func (r *rig) meetsGC(at, then int) (calls int) {
	a := newMemory()
	r.mirroring(checkpoint.MirrorOff).large(a, 2, nil)
	r.orphan(a, 1, "DEAD")
	unmirrored := func(ctx context.Context, call string) error {
		if strings.HasPrefix(call, "Create v/") {
			return down(ctx, call)
		}
		return nil
	}
	a.on(unmirrored)
	s := r.bigger(a, nil)
	land, landed := make(chan struct{}), make(chan error, 1)
	r.On("Commit", 1, faultstore.Before(func() { <-land }))
	go func() { landed <- s.Save(r.Context(), "slow", big{N: 9, Text: noise(20_000)}) }()
	synctest.Wait() // its body is there, and HEAD does not point at it yet
	meeting := func() {
		calls++
		if calls == at {
			close(land)
			require.NoError(r, <-landed)
			require.NoError(r, s.Save(r.Context(), "next", big{N: 10, Text: noise(20_000)}))
		}
		if calls == then {
			a.on(nil)
			time.Sleep(time.Minute) // so that all is mirrored
			r.expire(1, 4)
		}
	}
	collector := &met{memory: a, meeting: meeting}
	gcStore := faultstore.New(r.inner)
	gcStore.On("Look", 0, faultstore.Before(meeting))
	gcStore.On("Version", 0, faultstore.Before(meeting))
	_, err := both(gcStore, collector).GC(r.Context(), name, nil)
	require.NoError(r, err)
	require.GreaterOrEqual(r, calls, then)
	assert.NotContains(r, a.keys("body/"), bodiesOf+archive.Home(r.inner)+"-1-DEAD")
	a.on(nil)
	r.closed(s)
	history := r.history(a)
	require.Len(r, history, int(r.head().Number), "where gc met the save at its call %d and its mirror at %d", at, then)
	for _, cp := range history {
		_, err := both(r.inner, a).Get(r.Context(), name, &checkpoint.ReadOptions{Version: cp.Number})
		require.NoError(r, err, "version %d, where gc met the save at its call %d and its mirror at %d", cp.Number, at, then)
	}
	return calls
}

// met is an archive that somebody is met at, before each request.
type met struct {
	*memory
	meeting func()
}

func (m *met) List(ctx context.Context, prefix string, opts *archive.ListOptions) iter.Seq2[archive.Object, error] {
	m.meeting()
	return m.memory.List(ctx, prefix, opts)
}

func (m *met) Open(ctx context.Context, key string) (io.ReadCloser, archive.Object, error) {
	m.meeting()
	return m.memory.Open(ctx, key)
}

func (m *met) Delete(ctx context.Context, key string) error {
	m.meeting()
	return m.memory.Delete(ctx, key)
}

// A save may take any time between its body and HEAD: this fails for a gc that goes by age.
func TestABodyOfASaveThatTakesDaysSurvivesGC(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.large(a, 2, nil)
		s := r.bigger(a, &checkpoint.Options{Lease: lease.Options{Duration: time.Hour}})
		r.On("Commit", 1, faultstore.Before(func() {
			time.Sleep(40 * 24 * time.Hour)
			require.Empty(r, r.collected(a))
			_, err := both(r.inner, a).GC(r.Context(), name, nil)
			require.NoError(r, err)
		}))
		require.NoError(r, s.Save(r.Context(), "slow", big{N: 7, Text: noise(20_000)}))
		r.closed(s)
		s = r.bigger(a, nil)
		assert.Equal(r, 7, s.State().N)
		r.closed(s)
	})
}

// The bodies of a mirror stay as long as it does: what gc costs must not grow with the product of their number and the mirror's.
func TestGCOfALongMirrorReadsNoCopyOfWhatTheMirrorHolds(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.large(a, 600, nil)
		r.orphan(a, 3, "DEAD")
		calls, since := a.count(), len(r.Calls(""))
		done, err := both(r.Store, a).GC(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Len(r, done.Bodies, 1)
		assert.Equal(r, int64(601), done.Kept)
		assert.LessOrEqual(r, a.count()-calls, 6)
		assert.LessOrEqual(r, len(r.methods(since)), 4)
	})
}

// Checkpoints whose names begin with another's name and a slash lie below its bodies.
func TestGCOfOneCheckpointTouchesNoOthers(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.large(a, 2, nil)
		for _, other := range []string{name + "/body", name + "/1-X", name + "2"} {
			s, err := checkpoint.Open[big](r.Context(), both(r.inner, a), other, nil)
			require.NoError(r, err)
			require.NoError(r, s.Save(r.Context(), "1", big{Text: noise(10_000)}))
			require.NoError(r, s.Close(r.Context(), nil))
		}
		s, err := checkpoint.Open[big](r.Context(), checkpoint.Namespace{Store: r.inner, Archive: a, Name: "other"}, name, nil)
		require.NoError(r, err)
		require.NoError(r, s.Save(r.Context(), "1", big{Text: noise(10_000)}))
		require.NoError(r, s.Close(r.Context(), nil))
		before := len(a.keys("body/")) - 3
		done, err := both(r.inner, a).GC(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Equal(r, int64(3), done.Kept)
		assert.Empty(r, r.findings(a, nil))
		_, err = both(r.inner, a).Delete(r.Context(), name, &checkpoint.EditOptions{Purge: true})
		require.NoError(r, err)
		assert.Len(r, a.keys("body/"), before)
		for _, other := range []string{name + "/body", name + "/1-X", name + "2"} {
			found, err := both(r.inner, a).Verify(r.Context(), other, nil)
			require.NoError(r, err)
			assert.Empty(r, found.Findings)
		}
		found, err := checkpoint.Namespace{Store: r.inner, Archive: a, Name: "other"}.Verify(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Empty(r, found.Findings)
		assert.Equal(r, int64(2), found.Bodies)
	})
}

func TestADeletionRemovesTheBodiesThatTheMirrorDoesNotHold(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.mirroring(checkpoint.MirrorOff).large(a, 2, nil)
		_, err := checkpoint.Namespace{Store: r.inner, Archive: a, Mirror: checkpoint.MirrorOff}.Delete(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Empty(r, a.keys("body/"))
		assert.False(r, r.head().Listed)
	})
}

func TestAPurgeRemovesMirrorAndBodiesAndCountsThemInItsPlan(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.large(a, 2, nil)
		foreign := mirrorOf + "notes.txt"
		a.put(foreign, []byte("mine"))
		opts := &checkpoint.EditOptions{Purge: true, DryRun: true}
		plan, err := both(r.inner, a).Delete(r.Context(), name, opts)
		require.NoError(r, err)
		assert.Equal(r, int64(4), plan.Purged.Objects)
		assert.Equal(r, int64(3), plan.Purged.Bodies)
		assert.Positive(r, plan.Purged.Bytes)
		opts.DryRun = false
		e, err := both(r.inner, a).Delete(r.Context(), name, opts)
		require.NoError(r, err)
		assert.Equal(r, plan.Purged.Objects, e.Purged.Objects)
		assert.Equal(r, plan.Purged.Bodies, e.Purged.Bodies)
		assert.Equal(r, plan.Purged.Bytes, e.Purged.Bytes)
		assert.Equal(r, []string{foreign}, a.keys(""))
		assert.Empty(r, r.findings(a, nil)[1:])
		_, err = in(r.inner).Delete(r.Context(), name, &checkpoint.EditOptions{Purge: true})
		require.ErrorContains(r, err, "no archive")

		r.saves(a, 3, nil) // the next life
		assert.Equal(r, []checkpoint.FindingKind{checkpoint.FindingForeign}, r.findings(a, nil))
	})
}

func TestGCFinishesADeletionThatWasInterrupted(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		off := checkpoint.MirrorOff
		r.mirroring(off).large(a, 3, nil)
		r.On("Remove", 2, faultstore.Fail(store.ErrNoTable))
		_, err := checkpoint.Namespace{Store: r.Store, Archive: a, Mirror: off}.Delete(r.Context(), name, nil)
		require.ErrorIs(r, err, store.ErrNoTable)
		require.True(r, r.head().Listed)
		plan, err := both(r.inner, a).GC(r.Context(), name, &checkpoint.UpkeepOptions{DryRun: true})
		require.NoError(r, err)
		assert.True(r, plan.Deleting)
		assert.True(r, r.head().Listed)
		done, err := both(r.inner, a).GC(r.Context(), name, nil)
		require.NoError(r, err)
		assert.True(r, done.Deleting)
		assert.Equal(r, int64(3), done.Versions)
		assert.Len(r, done.Bodies, 4)
		assert.False(r, r.head().Listed)
		assert.Empty(r, a.keys("body/"))
	})
}
