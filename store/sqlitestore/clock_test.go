package sqlitestore

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
)

func TestTheSystemsClockRunsAndNamesItsBoot(t *testing.T) {
	clock := systemClock()
	a := clock()
	switch runtime.GOOS {
	case "linux", "darwin", "windows":
	default:
		assert.Zero(t, a, "the wall clock can be set, so it is not the store's")
		return
	}
	require.NotEmpty(t, a.Boot)
	assert.Positive(t, a.Uptime)
	b := clock()
	for ; b.Uptime <= a.Uptime; b = clock() { // Windows counts in steps of some milliseconds
		time.Sleep(time.Millisecond)
	}
	assert.WithinDuration(t, time.Now(), b.Wall, time.Minute)
	assert.Equal(t, a.Boot, b.Boot)
	assert.True(t, a.PassedBy(b, 0))
	assert.False(t, a.PassedBy(b, time.Minute))
}

func TestTheWallClockAloneIsNoClockOfTheStore(t *testing.T) {
	// There is no boot id on Lambda. The wall clock of any machine can be set forward by an hour.
	t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "load")
	s := openStore(t, newFile(t), nil)
	l := fullLease()
	l.Until = s.clock().Add(l.Duration)
	_, err := s.Acquire(t.Context(), key, nil, l)
	require.NoError(t, err)
	found, err := s.Look(t.Context(), key)
	require.NoError(t, err)
	assert.Zero(t, found.Clock)
	assert.False(t, found.Lease.RanOutBy(store.Clock{Wall: time.Now().Add(time.Hour)}, 0))
	assert.WithinDuration(t, time.Now(), found.Clock.Time(), time.Minute, "versions get a time all the same")
}

func TestEveryReplyCarriesTheClock(t *testing.T) {
	ctx := t.Context()
	want := store.Clock{Wall: when, Boot: "boot-1", Uptime: time.Hour}
	s := openStore(t, newFile(t), &Options{Clock: func() store.Clock { return want }})
	_, raised, err := s.Raise(ctx, key, fence, holder, true)
	require.NoError(t, err)
	committed, err := s.Commit(ctx, key, commitOf(1))
	require.NoError(t, err)
	acquired, err := s.Acquire(ctx, key, nil, fullLease())
	require.NoError(t, err)
	_, renewed, err := s.Renew(ctx, key, store.Renewal{Fence: fence, Beat: 9})
	require.NoError(t, err)
	looked, err := s.Look(ctx, key)
	require.NoError(t, err)
	peeked, err := s.Peek(ctx, []store.Key{key})
	require.NoError(t, err)
	for _, got := range []store.Clock{raised, committed, acquired, renewed, looked.Clock, peeked[0].Clock} {
		assert.Equal(t, want, got)
	}
}
