package protocoltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
)

// checkpointPeerRules are about what other checkpoint stores got wrong. Users complained of each.
var checkpointPeerRules = []rule{
	{"a crash at any point of a save must not leave the newest version without its state", func(t *testing.T, f fixture) {
		f.eachRequest(t, dying(faultstore.LoseReply), func(at fixture, _ *run) {
			at.newest(t) // the state decodes, and belongs to the cursor
		})
	}},
	{"the slower of two runs must not win", func(t *testing.T, f fixture) {
		slow := f.session(t, f.as("a"))
		require.NoError(t, slow.put(t.Context(), 1))
		fast := f.session(t, f.over("a"))
		require.NoError(t, fast.put(t.Context(), 5))
		require.ErrorIs(t, slow.put(t.Context(), 2), lease.ErrLost)
		_ = slow.Close(t.Context(), nil)
		assert.Equal(t, "5", f.newest(t).Cursor)
	}},
	{"a resume right after a save must see it", func(t *testing.T, f fixture) {
		for n := 1; n <= 10; n++ {
			o := f.over("a")
			o.Holder.PID = n
			s := f.session(t, o)
			if n > 1 {
				require.Equal(t, fmt.Sprint(n-1), s.Cursor())
			}
			require.NoError(t, s.put(t.Context(), n))
		}
	}},
	{"a broken state must not fall back in silence to an older checkpoint", func(t *testing.T, f fixture) {
		f.ended(t, 2)
		f.acquire(t, idleLease(20, 3))
		f.raise(t, 21)
		v := bare(4, 21, "c4")
		v.State = &store.State{Data: []byte(`{"Sum":4}`), Size: 9, SHA256: make([]byte, 32)}
		require.NoError(t, f.commit(t, v))
		_, err := checkpoint.Open[tally](t.Context(), f.in(f.Store), f.key.Name, f.options(f.as("b")))
		require.ErrorIs(t, err, store.ErrBadRecord)
		assert.Contains(t, err.Error(), f.key.Name)
		_, err = f.in(f.Store).Get(t.Context(), f.key.Name, f.reading(0))
		require.ErrorIs(t, err, store.ErrBadRecord)
		assert.Equal(t, "c4", f.head(t).CommitID, "and HEAD is not overwritten")
	}},
	{"the newest version must not expire, however long the job is idle", func(t *testing.T, f fixture) {
		f.ended(t, 2)
		f.idle(t)
		s := f.sessionOn(t, faultstore.New(skewed{f.Store, 5 * 365 * 24 * time.Hour}), f.options(f.as("b")))
		require.NotNil(t, s.Resumed())
		assert.Equal(t, "2", s.Cursor())
		assert.Greater(t, s.Epoch(), int64(1), "and the fencing token goes on")
	}},
	{"an error at the load must not be taken for a fresh start", func(t *testing.T, f fixture) {
		f.ended(t, 2)
		for _, method := range []string{"Look", "Raise"} {
			for _, err := range []error{store.ErrUnavailable, store.ErrThrottled, store.ErrCredentials, store.ErrNoTable, store.ErrBadRecord, store.ErrNewerFormat} {
				line := f.line()
				line.On(method, 0, faultstore.Fail(fmt.Errorf("%w: %w", store.ErrNotApplied, err)))
				got := checkpoint.Run(f.soon(t), f.in(line), f.key.Name, func(context.Context, *checkpoint.Session[tally]) error {
					assert.Fail(t, "the job started from nothing", "%s: %v", method, err)
					return nil
				}, f.options(f.as("b")))
				require.Error(t, got, "%s: %v", method, err)
			}
		}
		assert.Equal(t, "2", f.newest(t).Cursor)
	}},
	{"a save on error must hold the values of the last mark, not of the last save or the start", func(t *testing.T, f fixture) {
		broken := errors.New("record 3 is broken")
		o := f.options(f.as("a"))
		o.Every = 1 << 30
		err := checkpoint.Run(t.Context(), f.in(f.Store), f.key.Name, func(ctx context.Context, s *checkpoint.Session[tally]) error {
			s.Mark("1", func(v *tally) { v.Sum = 1 })
			require.NoError(t, s.Flush(ctx))
			s.Mark("2", func(v *tally) { v.Sum = 2 })
			s.MarkFailed("3", func(v *tally) { v.Sum = 3 })
			return broken
		}, o)
		require.ErrorIs(t, err, broken)
		cp := f.newest(t)
		assert.Equal(t, "3", cp.Cursor)
		assert.Equal(t, int64(2), cp.Processed)
		assert.Equal(t, int64(1), cp.Failed)
		assert.Equal(t, broken.Error(), cp.LastError)
		assert.Equal(t, store.EndedError, cp.Ended)
	}},
	{"ids must not be compared as strings: record-1000 comes after record-999", func(t *testing.T, f fixture) {
		o := f.options(f.as("a"))
		s := f.sessionOn(t, f.line(), o)
		for n := 998; n <= 1001; n++ {
			r, ok := s.Start(fmt.Sprintf("record-%d", n))
			require.True(t, ok)
			if n != 999 {
				defer r.Done(nil) // the record is not finished when the session dies
			} else {
				r.Done(nil)
			}
		}
		require.NoError(t, s.Flush(t.Context()))
		cut(s.line)
		next := f.sessionOn(t, f.line(), f.options(f.over("a")))
		var again []string
		for n := 998; n <= 1001; n++ {
			cursor := fmt.Sprintf("record-%d", n)
			if r, ok := next.Start(cursor); ok {
				again = append(again, cursor)
				r.Done(nil)
			}
		}
		assert.Equal(t, []string{"record-998", "record-1000", "record-1001"}, again)
		require.NoError(t, next.Flush(t.Context()))
		assert.Equal(t, "record-1001", f.head(t).Cursor)

		for n := int64(3); n <= 12; n++ { // versions past 9
			require.NoError(t, next.Save(t.Context(), fmt.Sprint(n), tally{n}))
		}
		shown := f.shown(t)
		assert.True(t, slices.IsSortedFunc(shown, func(a, b int64) int { return int(b - a) }), "%v", shown)
		assert.Equal(t, f.head(t).Number, shown[0])
	}},
}

// idle lets years pass if the time is virtual, and removes expired copies if the engine can.
func (f fixture) idle(t *testing.T) {
	t.Helper()
	if f.suite.virtual {
		time.Sleep(5 * 365 * 24 * time.Hour)
	}
	if s, ok := f.Store.(interface{ Sweep() int }); ok {
		s.Sweep()
	}
}
