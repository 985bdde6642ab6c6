package checkpoint_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
)

// stuck is a log and an observer that never return, as with a full pipe that no one reads.
type stuck struct{ until chan struct{} }

func (s stuck) Enabled(context.Context, slog.Level) bool  { <-s.until; return true }
func (s stuck) Handle(context.Context, slog.Record) error { <-s.until; return nil }
func (s stuck) WithAttrs([]slog.Attr) slog.Handler        { return s }
func (s stuck) WithGroup(string) slog.Handler             { return s }
func (s stuck) observe(store.Key, lease.Event)            { <-s.until }

// overStuck runs a test of sessions whose logger and observer never return. The goroutines that
// call them end with the test.
func overStuck(t *testing.T, test func(r *rig, o *checkpoint.Options)) {
	over(t, func(r *rig) {
		s := stuck{make(chan struct{})}
		defer close(s.until)
		test(r, &checkpoint.Options{Every: 1, MaxUnsaved: 1, Logger: slog.New(s), Lease: lease.Options{Observer: s.observe}})
	})
}

func TestASessionNoticesItsLossInTimeThoughNoOneTakesTheLog(t *testing.T) {
	overStuck(t, func(r *rig, o *checkpoint.Options) {
		s := r.open(o)
		r.On("Renew", 0, faultstore.Throttle)
		r.On("Commit", 0, faultstore.Throttle) // a save in the background logs that it was not saved
		s.Mark("a", add(1))
		began := time.Now()
		s.Mark("b", add(1)) // waits for the save
		assert.Equal(r, 24*time.Second, time.Since(began))
		<-s.Context().Done()
		require.ErrorIs(r, context.Cause(s.Context()), lease.ErrLost)
		require.ErrorIs(r, s.Save(r.Context(), "c", sum{}), lease.ErrLost)
		require.ErrorIs(r, s.Flush(r.Context()), lease.ErrLost)
		r.Clear()
		require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrLost)
	})
}

func TestASaveThatWaitsForItsTurnNoticesTheLossThoughNoOneTakesTheLog(t *testing.T) {
	overStuck(t, func(r *rig, o *checkpoint.Options) {
		s := r.open(o)
		r.On("Renew", 0, faultstore.Throttle)
		r.On("Commit", 0, faultstore.Hang)
		r.On("Look", 0, faultstore.Hang)
		go func() { _ = s.Save(r.Context(), "a", sum{}) }()
		time.Sleep(time.Second)
		require.ErrorIs(r, s.Save(r.Context(), "b", sum{}), lease.ErrLost)
		<-s.Context().Done()
		r.Clear()
		require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrLost)
		time.Sleep(time.Minute) // the save that had the turn gives up
	})
}

func TestWhatIsSavedInTheBackgroundGoesOnThoughNoOneTakesTheLog(t *testing.T) {
	overStuck(t, func(r *rig, o *checkpoint.Options) {
		s := r.open(o)
		refused := faultstore.Fail(fmt.Errorf("%w: denied", store.ErrNotApplied))
		r.On("Commit", 1, refused)
		r.On("Commit", 2, refused) // twice is the end of a save, which is logged and tried again
		s.Mark("a", add(1))
		time.Sleep(time.Minute)
		assert.Equal(r, "a", r.get().Cursor)
		r.done(s)
	})
}

// The end of a session frees the lease though all that it has to say waits forever.
func TestAnEndFreesTheLeaseThoughNoOneTakesTheLog(t *testing.T) {
	for what, breaks := range map[string]func(r *rig, a *memory){
		"nothing":           func(*rig, *memory) {},
		"the mirror":        func(_ *rig, a *memory) { a.on(down) },
		"starts to retire":  func(r *rig, _ *memory) { r.On("Amend", 0, faultstore.Fail(store.ErrBadRecord)) },
		"the lease's beats": func(r *rig, _ *memory) { r.On("Renew", 0, faultstore.Throttle) },
	} {
		t.Run(what, func(t *testing.T) {
			overStuck(t, func(r *rig, o *checkpoint.Options) {
				for range 2 {
					r.done(r.retaining(1).open(nil))
				}
				a := newMemory()
				breaks(r, a)
				s, err := checkpoint.Open[sum](r.Context(), r.retaining(1).in(r.Store, a), name, o)
				require.NoError(r, err)
				s.Mark("a", add(1))
				time.Sleep(10 * time.Second)
				_ = s.Close(r.Context(), nil)
				found, err := r.inner.Look(r.Context(), key)
				require.NoError(r, err)
				assert.Equal(r, store.Free, found.Lease.Status)
				assert.Equal(r, "a", r.get().Cursor)
			})
		})
	}
}
