package agent

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store/memstore"
)

// share opens a session and shares it, as milepost run does.
func share(t *testing.T, st *memstore.Store) (shared *Shared, lose context.CancelCauseFunc) {
	t.Helper()
	return shareKeeping(t, st, false)
}

func shareKeeping(t *testing.T, st *memstore.Store, keepState bool) (shared *Shared, lose context.CancelCauseFunc) {
	t.Helper()
	o := optionsOf(st)
	ctx, cancel := context.WithCancelCause(t.Context())
	t.Cleanup(func() { cancel(nil) })
	opened, err := checkpoint.Open[json.RawMessage](ctx, checkpoint.Namespace{Store: st}, "a", &checkpoint.Options{Codec: Codec{}})
	require.NoError(t, err)
	own, err := o.Open(ctx, Place{})
	require.NoError(t, err)
	dir, err := NewDir()
	require.NoError(t, err)
	shared, err = Share(o, own, dir, opened, time.Second, cancel, keepState)
	require.NoError(t, err)
	return shared, cancel
}

func socketOf(t *testing.T, shared *Shared) string {
	t.Helper()
	for _, variable := range shared.Env() {
		if path, ok := strings.CutPrefix(variable, "MILEPOST_SOCKET="); ok {
			return path
		}
	}
	t.Fatal("no socket in the environment")
	return ""
}

func TestProcessesOfACommandShareItsSession(t *testing.T) {
	st := memstore.New(nil)
	shared, _ := share(t, st)
	cursor, n := "c1", int64(7)
	for range 2 { // two processes
		c, err := Dial(socketOf(t, shared))
		require.NoError(t, err)
		require.NoError(t, c.Mark(Progress{Cursor: &cursor, Processed: &n}))
		_, err = c.Save(Progress{State: []byte(`{"sum":1}`)})
		require.NoError(t, err)
		reply, err := c.State()
		require.NoError(t, err)
		assert.JSONEq(t, `{"cursor":"c1","state":{"sum":1}}`, string(reply))
		c.Close()
	}
	require.NoError(t, shared.Close(nil))
	cp := newest(t, st, "a")
	assert.EqualValues(t, 14, cp.Processed)
	assert.Equal(t, "done", string(cp.Ended))
	_, err := os.Stat(shared.Dir())
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestAMarkAfterTheLeaseIsLostHasTheKindOfTheLoss(t *testing.T) {
	shared, lose := share(t, memstore.New(nil))
	c, err := Dial(socketOf(t, shared))
	require.NoError(t, err)
	lose(&lease.LostError{Reason: lease.Stolen})
	cursor := "late"
	assert.ErrorIs(t, c.Mark(Progress{Cursor: &cursor}), lease.ErrLost)
	c.Close()
	_ = shared.Close(nil) // the lease is still held in the store
}

func TestInASharedSessionNothingIsOpenedOrClosed(t *testing.T) {
	st := memstore.New(nil)
	shared, _ := share(t, st)
	c, err := Dial(socketOf(t, shared))
	require.NoError(t, err)
	for _, request := range []string{`{"id":1,"method":"open","name":"b"}`, `{"id":1,"method":"close","session":1}`} {
		_, err := c.ask([]byte(request))
		assert.ErrorIs(t, err, kinds.ErrUsage)
	}
	_, err = c.ask([]byte(`{"id":1,"method":"get","name":"a"}`))
	assert.Equal(t, "not_found", kinds.Of(err).Name)
	require.NoError(t, c.send([]byte(`{"method":"mark","session":1,"cursor":"x"}`)))
	c.Close()
	require.NoError(t, shared.Close(nil))
	assert.Equal(t, "x", newest(t, st, "a").Cursor)
}
