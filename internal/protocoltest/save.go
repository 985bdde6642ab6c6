package protocoltest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
	"github.com/milepost-dev/milepost/store/storetest"
)

// then applies a call, does f, and loses the reply.
func then(f func()) faultstore.Fault {
	return func(ctx context.Context, c *faultstore.Call) error {
		err := faultstore.LoseReply(ctx, c)
		f()
		return err
	}
}

// instead does f, and does not apply the call, whose error is ambiguous.
func instead(f func()) faultstore.Fault {
	return func(ctx context.Context, c *faultstore.Call) error {
		f()
		return faultstore.LoseRequest(ctx, c)
	}
}

// slowly delays a call, so that what runs at the same time happens first.
var slowly = faultstore.Delay(10 * time.Millisecond)

func saveRules(s suite) []rule {
	rules := []rule{
		{"sends one request, the commit, once the first of a session is behind it", func(t *testing.T, f fixture) {
			s := f.session(t, f.as("a"))
			require.NoError(t, s.put(t.Context(), 1))
			f.until(t, "version 1 is copied", func() bool { return len(s.line.Calls("Copy")) == 1 })
			before := len(s.line.Calls(""))
			require.NoError(t, s.put(t.Context(), 2))
			var saving []string
			for _, c := range s.line.Calls("")[before:] {
				if c.Method != "Renew" && c.Method != "Copy" {
					saving = append(saving, c.Method)
				}
			}
			assert.Equal(t, []string{"Commit"}, saving)
		}},
		{"sends the same bytes until it is answered", func(t *testing.T, f fixture) {
			s := f.session(t, f.as("a"))
			for n := 1; n <= 3; n++ {
				s.line.On("Commit", n, faultstore.LoseRequest)
			}
			require.NoError(t, s.put(t.Context(), 1))
			sent := s.line.Calls("Commit")
			require.Len(t, sent, 4)
			for _, c := range sent {
				assert.Equal(t, sent[0].Arg, c.Arg)
			}
			f.saw(t, "1")
		}},
		{"a throttle after a lost reply proves nothing: the outcome is unknown", func(t *testing.T, f fixture) {
			s := f.session(t, f.as("a"))
			s.line.On("Commit", 1, faultstore.LoseReply)
			s.line.On("Commit", 0, faultstore.Throttle)
			err := s.put(f.soon(t), 1)
			var unknown *checkpoint.OutcomeUnknownError
			require.ErrorAs(t, err, &unknown)
			assert.Equal(t, f.head(t).CommitID, unknown.CommitID)
			assert.Equal(t, int64(1), unknown.Version)

			s.line.Clear()
			require.NoError(t, s.put(t.Context(), 2), "a plain save settles it in silence")
			f.saw(t, "1", "2")
		}},
		{"a cancel after a lost reply proves nothing: the outcome is unknown", func(t *testing.T, f fixture) {
			s := f.session(t, f.as("a"))
			ctx, cancel := context.WithCancel(t.Context())
			s.line.On("Commit", 1, then(cancel))
			require.ErrorIs(t, s.put(ctx, 1), checkpoint.ErrOutcomeUnknown)
			f.saw(t, "1")
		}},
		{"throttled from first to last is a definite failure", func(t *testing.T, f fixture) {
			s := f.session(t, f.as("a"))
			s.line.On("Commit", 0, faultstore.Throttle)
			err := s.put(f.soon(t), 1)
			require.ErrorIs(t, err, store.ErrNotApplied)
			require.NotErrorIs(t, err, checkpoint.ErrOutcomeUnknown)
			s.line.Clear()
			f.saw(t)
			require.NoError(t, s.put(t.Context(), 2))
			f.saw(t, "2")
		}},
		{"what is unknown may still land, and the next save goes on from it", func(t *testing.T, f fixture) {
			s := f.session(t, f.as("a"))
			s.line.On("Commit", 0, faultstore.Hold)
			require.ErrorIs(t, s.put(f.soon(t), 1), checkpoint.ErrOutcomeUnknown)
			s.line.Clear()
			deliverLate(t, s.line)
			require.NoError(t, s.put(t.Context(), 2))
			deliverLate(t, s.line)
			f.saw(t, "1", "2")
		}},
		{"what is unknown is settled before the next save, not skipped", func(t *testing.T, f fixture) {
			s := f.session(t, f.as("a"))
			s.line.On("Commit", 0, faultstore.Hold)
			require.ErrorIs(t, s.put(f.soon(t), 1), checkpoint.ErrOutcomeUnknown)
			s.line.Clear()
			require.NoError(t, s.put(t.Context(), 2))
			deliverLate(t, s.line)
			f.saw(t, "1", "2")
		}},
		{"that landed before another took over is a success", func(t *testing.T, f fixture) {
			s := f.session(t, f.as("a"))
			s.line.On("Commit", 1, then(func() { f.overtake(t, 0) }))
			require.NoError(t, s.put(t.Context(), 1))
			assert.Equal(t, "1", f.history(t)[0].Cursor)
			require.ErrorIs(t, s.put(t.Context(), 2), lease.ErrLost)
		}},
		{"with a higher fence above an unchanged version has failed, and never lands", func(t *testing.T, f fixture) {
			s := f.session(t, f.as("a"))
			require.NoError(t, s.put(t.Context(), 1))
			var b *lease.Lease
			s.line.On("Commit", 1, faultstore.Hold)
			s.line.On("Commit", 2, faultstore.Before(func() { b = f.open(t, f.Store, f.over("a")) }))
			err := s.put(t.Context(), 2)
			require.ErrorIs(t, err, lease.ErrLost)
			require.NotErrorIs(t, err, checkpoint.ErrOutcomeUnknown)
			deliverLate(t, s.line)
			f.saw(t, "1")
			assert.Equal(t, b.Fence(), f.head(t).Fence)
		}},
		{"is settled by the copy of its version when HEAD has gone on", func(t *testing.T, f fixture) {
			s := f.session(t, f.as("a"))
			s.line.On("Version", 0, slowly)
			s.line.On("Commit", 1, then(func() { f.overtake(t, 3) }))
			require.NoError(t, s.put(t.Context(), 1), "V#1 has its id")
			f.saw(t, "1", "overtaker 0", "overtaker 1", "overtaker 2", "overtaker 2")
			require.ErrorIs(t, s.put(t.Context(), 2), lease.ErrLost)
		}},
		{"is settled by a copy that has expired", func(t *testing.T, f fixture) {
			s := f.session(t, f.as("a"))
			s.line.On("Version", 0, slowly)
			s.line.On("Commit", 1, then(func() {
				f.overtake(t, 3)
				past := time.Now().Add(-time.Minute)
				assert.NoError(t, f.Amend(t.Context(), f.key, f.copied(t, 1), store.Amendment{ExpiresAt: &past}))
			}))
			require.NoError(t, s.put(t.Context(), 1))
		}},
		{"whose version another wrote has failed", func(t *testing.T, f fixture) {
			s := f.session(t, f.as("a"))
			s.line.On("Version", 0, slowly)
			s.line.On("Commit", 1, instead(func() { f.overtake(t, 3) }))
			err := s.put(t.Context(), 1)
			require.ErrorIs(t, err, lease.ErrLost)
			require.NotErrorIs(t, err, checkpoint.ErrOutcomeUnknown)
			f.saw(t, "overtaker 0", "overtaker 1", "overtaker 2", "overtaker 2")
		}},
		{"whose version cannot be read any more is unknown forever", func(t *testing.T, f fixture) {
			s := f.session(t, f.as("a"))
			s.line.On("Commit", 1, then(func() {
				f.overtake(t, 3)
				assert.NoError(t, f.Remove(t.Context(), f.key, f.copied(t, 1)))
			}))
			require.ErrorIs(t, s.put(t.Context(), 1), checkpoint.ErrOutcomeUnknown)
		}},
		{"onto a HEAD that is gone ends the session: the store has regressed", func(t *testing.T, f fixture) {
			s := f.session(t, f.as("a"))
			require.NoError(t, s.put(t.Context(), 1))
			_, lost := f.otherWorld()
			s.line.On("Commit", 1, faultstore.Before(func() { s.line.Use(lost) }))
			require.ErrorIs(t, s.put(t.Context(), 2), lease.ErrStoreRegressed)
			<-s.Context().Done()
			require.ErrorIs(t, context.Cause(s.Context()), lease.ErrStoreRegressed)
		}},
		{"onto a HEAD of a lower version or epoch ends the session: the store has regressed", func(t *testing.T, f fixture) {
			for name, older := range map[string]store.Version{"version": bare(1, 99, "c1"), "epoch": bare(2, 1, "c2")} {
				at := f
				at.key.Name += " " + name
				at.open(t, f.Store, f.as("a")) // so that the session has an epoch above 1
				s := at.session(t, f.over("a"))
				require.NoError(t, s.put(t.Context(), 1))
				require.NoError(t, s.put(t.Context(), 2))
				world, lost := at.otherWorld()
				world.raise(t, older.CommitEpoch)
				for n := int64(1); n <= older.Number; n++ {
					v := older
					v.Number = n
					require.NoError(t, world.commit(t, v))
				}
				s.line.On("Commit", 1, faultstore.Before(func() { s.line.Use(lost) }))
				require.ErrorIs(t, s.put(t.Context(), 3), lease.ErrStoreRegressed, name)
			}
		}},
		{"by a session that was paused and overtaken is refused", func(t *testing.T, f fixture) {
			s := f.session(t, f.as("a"))
			require.NoError(t, s.put(t.Context(), 1))
			f.overtake(t, 1)
			require.ErrorIs(t, s.put(t.Context(), 2), lease.ErrLost)
			f.saw(t, "1", "overtaker 0", "overtaker 0")
		}},
		{"carries the reason of a steal in the next version", func(t *testing.T, f fixture) {
			f.session(t, f.as("a"))
			_, err := lease.Break(t.Context(), f.Store, f.key, &lease.BreakOptions{Reason: "stuck", Now: true})
			require.NoError(t, err)
			s := f.session(t, f.as("b"))
			require.NoError(t, s.put(t.Context(), 1))
			assert.Equal(t, "stuck", f.head(t).Reason)
			require.NoError(t, s.put(t.Context(), 2))
			assert.Empty(t, f.head(t).Reason)
		}},
	}
	for _, step := range []string{"Commit", "Copy", "KeepBase"} {
		for what, fault := range faults {
			rules = append(rules, rule{"goes on when at " + step + " " + what, func(t *testing.T, f fixture) {
				first := f.session(t, f.as("a"))
				require.NoError(t, first.put(t.Context(), 1))
				require.NoError(t, first.Close(t.Context(), nil))
				s := f.session(t, f.as("a"))
				s.line.On(step, 1, fault)
				for n := 2; n <= 4; n++ {
					require.NoError(t, s.put(t.Context(), n))
				}
				deliverLate(t, s.line)
				require.NoError(t, s.put(t.Context(), 5))
				deliverLate(t, s.line)
				f.saw(t, "1", "1", "2", "3", "4", "5")
			}})
		}
	}
	return append(rules, writesSaveRules(s.Writes)...)
}

// writesSaveRules are the rules of a save for one with the caller's own writes.
func writesSaveRules(writes func(testing.TB, store.Store) storetest.Writes) []rule {
	if writes == nil {
		return nil
	}
	settled := func(t *testing.T, err error) *checkpoint.SettledError {
		t.Helper()
		var s *checkpoint.SettledError
		require.ErrorAs(t, err, &s)
		require.ErrorAs(t, err, new(*checkpoint.SettledError))
		return s
	}
	return []rule{
		{"with writes lands with them or not at all", func(t *testing.T, f fixture) {
			w := writes(t, f.Store)
			s := f.session(t, f.as("a"))
			s.line.On("Commit", 1, faultstore.LoseReply)
			require.NoError(t, s.SaveStep(t.Context(), at("1", w.Make("one"))))
			assert.True(t, w.Made("one"))
			err := s.SaveStep(t.Context(), at("2", w.Refused))
			var refused *store.WriteError
			require.ErrorAs(t, err, &refused)
			assert.Equal(t, 0, refused.Index)
			f.saw(t, "1")
			assert.Equal(t, "1", s.Cursor(), "nothing of the step is left in the session")
		}},
		{"with writes that is unknown is reported as landed by the next one, which saves nothing", func(t *testing.T, f fixture) {
			w := writes(t, f.Store)
			s := f.session(t, f.as("a"))
			s.line.On("Commit", 1, faultstore.LoseReply)
			s.line.On("Commit", 0, faultstore.Throttle)
			require.ErrorIs(t, s.SaveStep(f.soon(t), at("1", w.Make("one"))), checkpoint.ErrOutcomeUnknown)
			s.line.Clear()
			report := settled(t, s.SaveStep(t.Context(), at("2", w.Make("two"))))
			assert.True(t, report.Landed)
			assert.Equal(t, f.head(t).CommitID, report.CommitID)
			assert.False(t, w.Made("two"))
			require.NoError(t, s.SaveStep(t.Context(), at("2", w.Make("two"))))
			assert.True(t, w.Made("one"))
			assert.True(t, w.Made("two"))
			f.saw(t, "1", "2")
		}},
		{"with writes after an unknown plain save first reports that save", func(t *testing.T, f fixture) {
			w := writes(t, f.Store)
			s := f.session(t, f.as("a"))
			s.line.On("Commit", 1, faultstore.LoseReply)
			s.line.On("Commit", 0, faultstore.Throttle)
			require.ErrorIs(t, s.put(f.soon(t), 1), checkpoint.ErrOutcomeUnknown)
			s.line.Clear()
			assert.True(t, settled(t, s.SaveStep(t.Context(), at("2", w.Make("two")))).Landed)
			assert.False(t, w.Made("two"))
			f.saw(t, "1")
		}},
		{"with writes that is unknown and was overtaken is reported as not landed", func(t *testing.T, f fixture) {
			w := writes(t, f.Store)
			s := f.session(t, f.as("a"))
			s.line.On("Commit", 0, faultstore.Hold)
			require.ErrorIs(t, s.SaveStep(f.soon(t), at("1", w.Make("one"))), checkpoint.ErrOutcomeUnknown)
			s.line.Clear()
			f.open(t, f.Store, f.over("a"))
			err := s.SaveStep(t.Context(), at("2", w.Make("two")))
			assert.False(t, settled(t, err).Landed)
			deliverLate(t, s.line)
			assert.False(t, w.Made("one"))
			assert.False(t, w.Made("two"))
			f.saw(t)
		}},
		{"with writes refused after a lost reply is not a failure if it had landed", func(t *testing.T, f fixture) {
			w := writes(t, f.Store)
			s := f.session(t, f.as("a"))
			s.line.On("Commit", 1, faultstore.LoseReply)
			s.line.On("Commit", 2, faultstore.Fail(fmt.Errorf("again: %w", &store.WriteError{Key: f.key, Err: store.ErrNotApplied})))
			require.NoError(t, s.SaveStep(t.Context(), at("1", w.Make("one"))))
			f.saw(t, "1")
		}},
	}
}
