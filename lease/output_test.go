package lease

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
	"github.com/milepost-dev/milepost/store/memstore"
)

// stuck is a log and an observer that never return, as with a full pipe that no one reads.
type stuck struct{ until chan struct{} }

func (s stuck) Enabled(context.Context, slog.Level) bool  { <-s.until; return true }
func (s stuck) Handle(context.Context, slog.Record) error { <-s.until; return nil }
func (s stuck) WithAttrs([]slog.Attr) slog.Handler        { return s }
func (s stuck) WithGroup(string) slog.Handler             { return s }
func (s stuck) observe(store.Key, Event)                  { <-s.until }

// overStuck runs a test of a lease whose logger and observer never return. The goroutines that call
// them end with the test.
func overStuck(t *testing.T, test func(t *testing.T, st *faultstore.Store, l *Lease)) {
	for name, set := range map[string]func(*Options, stuck){
		"logger":   func(o *Options, s stuck) { o.Logger = slog.New(s) },
		"observer": func(o *Options, s stuck) { o.Observer = s.observe },
		"both":     func(o *Options, s stuck) { o.Logger, o.Observer = slog.New(s), s.observe },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := stuck{make(chan struct{})}
				defer close(s.until)
				st := faultstore.New(memstore.New(nil))
				o := as("a")
				set(o, s)
				l, err := Acquire(t.Context(), st, key, o)
				require.NoError(t, err)
				test(t, st, l)
				began := time.Now()
				_ = l.Release(t.Context())
				assert.LessOrEqual(t, time.Since(began), tellWithin, "a release gives the last words a moment")
			})
		})
	}
}

func TestAnExpiryIsNoticedInTimeThoughNoOneTakesTheLog(t *testing.T) {
	overStuck(t, func(t *testing.T, st *faultstore.Store, l *Lease) {
		st.On("Renew", 0, faultstore.Throttle)
		began := time.Now()
		<-l.Context().Done()
		assert.Equal(t, 24*time.Second, time.Since(began))
		assert.Equal(t, Expired, l.Lost().Reason)
		assert.True(t, l.Over())
		assert.ErrorIs(t, l.Ready(t.Context()), ErrLost)
		assert.Greater(t, len(st.Calls("Renew")), 10, "and the renewals were tried all the time")
		st.Clear()
	})
}

func TestALeaseIsRenewedThoughNoOneTakesTheLog(t *testing.T) {
	overStuck(t, func(t *testing.T, st *faultstore.Store, l *Lease) {
		st.On("Renew", 1, faultstore.Throttle)
		time.Sleep(10 * time.Minute)
		assert.NoError(t, l.Context().Err())
	})
}

func TestATheftIsNoticedAtTheNextBeatThoughNoOneTakesTheLog(t *testing.T) {
	overStuck(t, func(t *testing.T, st *faultstore.Store, l *Lease) {
		_, err := Break(t.Context(), st, key, &BreakOptions{Reason: "stuck", Now: true})
		require.NoError(t, err)
		began := time.Now()
		<-l.Context().Done()
		assert.Equal(t, 5*time.Second, time.Since(began))
		assert.Equal(t, Stolen, l.Lost().Reason)
	})
}

func TestALossThatACommitFindsIsKnownAtOnceThoughNoOneTakesTheLog(t *testing.T) {
	overStuck(t, func(t *testing.T, _ *faultstore.Store, l *Lease) {
		assert.False(t, l.Over())
		l.Lose(&LostError{Reason: Regressed})
		assert.True(t, l.Over())
		assert.Equal(t, Regressed, l.Lost().Reason)
		require.Error(t, l.Context().Err())
	})
}
