package checkpoint_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/faultstore"
)

// stepped is an archive that holds up those of its calls that are of interest until they are let go.
type stepped struct {
	*memory
	of    func(key string) bool
	steps chan struct{} // one for each call that may go; closed: all may
	calls atomic.Int64
}

func newStepped(a *memory, of func(key string) bool) *stepped {
	return &stepped{memory: a, of: of, steps: make(chan struct{})}
}

func (s *stepped) gate() {
	s.calls.Add(1)
	<-s.steps
}

func (s *stepped) meet(key string) {
	if s.of(key) {
		s.gate()
	}
}

func (s *stepped) List(ctx context.Context, prefix string, opts *archive.ListOptions) iter.Seq2[archive.Object, error] {
	s.meet(prefix)
	return s.memory.List(ctx, prefix, opts)
}

func (s *stepped) Create(ctx context.Context, key string, body io.Reader) (archive.Object, error) {
	s.meet(key)
	return s.memory.Create(ctx, key, body)
}

func (s *stepped) Open(ctx context.Context, key string) (io.ReadCloser, archive.Object, error) {
	s.meet(key)
	return s.memory.Open(ctx, key)
}

func (s *stepped) Delete(ctx context.Context, key string) error {
	s.meet(key)
	return s.memory.Delete(ctx, key)
}

// let lets so many calls go, or as many as there are, and waits until the next one is held up.
func (s *stepped) let(calls int) {
	for range calls {
		synctest.Wait()
		select {
		case s.steps <- struct{}{}:
		default: // it has ended
		}
	}
	synctest.Wait()
}

// A mirror may be so late that the version's copy has expired meanwhile, and then nothing says that the body is wanted. Whichever of
// mirror and gc comes first, and whatever the other has done by then: no object of the mirror points at a body that is not there, and what was mirrored
// before gc began stays.
func TestAMirrorThatIsLateNeverPointsAtABodyThatGCHasRemoved(t *testing.T) {
	kinds := map[string]func(r *rig, a archive.Archive){
		"a state that was saved inline": func(r *rig, _ archive.Archive) {
			s, err := checkpoint.Open[big](r.Context(), in(r.Store), name, nil) // no archive yet
			require.NoError(r, err)
			require.NoError(r, s.Save(r.Context(), "1", big{N: 1, Text: noise(20_000)}))
			require.NoError(r, s.Save(r.Context(), "2", big{N: 2}))
			r.closed(s)
		},
		"a state that lies in a body": func(r *rig, a archive.Archive) {
			s := r.mirroring(checkpoint.MirrorOff).bigger(a, nil)
			require.NoError(r, s.Save(r.Context(), "1", big{N: 1, Text: noise(20_000)}))
			require.NoError(r, s.Save(r.Context(), "2", big{N: 2}))
			r.closed(s)
		},
	}
	for kind, save := range kinds {
		t.Run(kind, func(t *testing.T) {
			mirrors, collects := 1, 1
			for mirrored := 0; mirrored <= mirrors; mirrored++ {
				for collected := 0; collected <= collects; collected++ {
					for _, mirrorFirst := range []bool{true, false} {
						over(t, func(r *rig) {
							a := newMemory()
							save(r, a)
							m, c := r.meet(a, mirrored, collected, mirrorFirst)
							mirrors, collects = max(mirrors, m), max(collects, c)
						})
						if t.Failed() {
							t.Logf("when the mirror had made %d calls and gc %d, and mirrorFirst was %v", mirrored, collected, mirrorFirst)
							return
						}
					}
				}
			}
			require.GreaterOrEqual(t, mirrors, 3)
			require.GreaterOrEqual(t, collects, 5)
		})
	}
}

// meet runs a sync whose first version expires once it was read, and beside it a gc: one makes so many calls, then the other so many, then the first
// ends, and then the other. It returns how many calls either made.
func (r *rig) meet(a *memory, mirrored, collected int, mirrorFirst bool) (mirrors, collects int) {
	r.Helper()
	mirror := newStepped(a, func(key string) bool {
		return strings.Contains(key, "/"+archive.Home(r.inner)+"-1-") || strings.Contains(key, "/00000000000000000001-")
	})
	collector := newStepped(a, func(string) bool { return true })
	synced, swept := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := both(r.inner, mirror).Sync(r.Context(), name, nil)
		synced <- err
	}()
	synctest.Wait()
	r.expire(1, 1)
	gcStore := faultstore.New(r.inner)
	gcStore.On("Look", 0, faultstore.Before(collector.gate))
	gcStore.On("Version", 0, faultstore.Before(collector.gate))
	go func() {
		_, err := both(gcStore, collector).GC(r.Context(), name, nil)
		swept <- err
	}()
	if mirrorFirst {
		mirror.let(mirrored)
		collector.let(collected)
		close(mirror.steps)
		synctest.Wait()
		close(collector.steps)
	} else {
		collector.let(collected)
		mirror.let(mirrored)
		close(collector.steps)
		synctest.Wait()
		close(mirror.steps)
	}
	require.NoError(r, <-swept)
	err := <-synced

	there := 0
	for listed, listErr := range archive.Versions(r.Context(), a, key) {
		require.NoError(r, listErr)
		if listed.ID.Version != 1 {
			break
		}
		m, readErr := archive.ReadVersion(r.Context(), a, key, listed.ID)
		require.NoError(r, readErr)
		require.NotEmpty(r, m.State.Body)
		assert.Contains(r, a.keys("body/"), m.State.Body, "the mirror points at it")
		there++
	}
	if err != nil {
		require.ErrorContains(r, err, "expired before it was mirrored")
		assert.Zero(r, there)
	}
	if mirrorFirst && mirrored >= int(mirror.calls.Load()) {
		assert.Equal(r, 1, there, "it was mirrored before gc began")
	}
	_, err = both(r.inner, a).Sync(r.Context(), name, nil)
	require.NoError(r, err)
	assert.Empty(r, r.findings(a, nil), "at the worst a gap before the first that was mirrored, which is a note")
	return int(mirror.calls.Load()), int(collector.calls.Load())
}

func TestAVersionWhoseBodyIsGoneIsAGapOfTheMirrorAndNoWedge(t *testing.T) {
	for what, fault := range map[string]func(context.Context, string) error{
		"and its object is taken back": nil,
		"and its object stays, where the mirror's policy lets nobody remove one": func(_ context.Context, call string) error {
			if strings.HasPrefix(call, "Delete v/") {
				return fmt.Errorf("%s: %w", call, store.ErrCredentials)
			}
			return nil
		},
	} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				a := newMemory()
				r.mirroring(checkpoint.MirrorOff).large(a, 3, nil)
				a.change(r, r.copy(2).State.Body, gone)
				a.on(fault)
				s := r.bigger(a, nil)
				time.Sleep(time.Minute)
				assert.Equal(r, checkpoint.Mirroring{Through: 4, Gaps: []archive.Gap{{First: 2, Last: 2}}}, s.Mirror())
				r.closed(s)
				want := []int64{1, 3, 4, 5}
				if fault != nil {
					want = upTo(5)
				}
				assert.Equal(r, want, mirrored(r, a))
				assert.Contains(r, r.findings(a, nil), checkpoint.FindingBodyMissing)
			})
		})
	}
}
