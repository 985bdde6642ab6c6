package protocoltest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
)

// run is one whole session: it opens, saves cursors from first to last, and closes.
type run struct {
	line *faultstore.Store
	said ledger // what its saves returned
	err  error  // of the first save that failed, or of opening or closing

	life context.Context
	end  context.CancelFunc
}

func (f fixture) newRun(t *testing.T) *run {
	r := &run{line: f.line()}
	r.life, r.end = context.WithTimeout(t.Context(), f.real(f.duration()))
	t.Cleanup(r.end)
	return r
}

// kill ends the run as a kill of its process does: nothing that it sends arrives any more, and
// nothing is closed.
func (r *run) kill() {
	cut(r.line)
	r.end()
}

func (r *run) goOn(t *testing.T, f fixture, first, last int) {
	t.Helper()
	opened, err := checkpoint.Open[tally](r.life, f.in(r.line), f.key.Name, f.options(f.as("a")))
	if err != nil {
		r.err = err
		return
	}
	s := session{opened, r.line}
	for n := first; n <= last && r.err == nil; n++ {
		r.err = r.said.put(r.life, s, n)
	}
	var closeErr error
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		closeErr = s.Close(context.Background(), r.err)
	}()
	select {
	case <-closed:
		r.err = errors.Join(r.err, closeErr)
	case <-r.life.Done():
		t.Cleanup(func() { // a dead process closes nothing, but the run's goroutines must end
			r.line.Clear()
			<-closed
		})
	}
}

// eachRequest repeats a run, each time on another checkpoint. The first request fails in the first
// run, the second request in the second run, and so on, until a run has fewer requests. Before each
// run, another one has saved cursors 1 and 2.
func (f fixture) eachRequest(t *testing.T, fault func(at fixture, r *run) faultstore.Fault, check func(at fixture, r *run)) {
	t.Helper()
	for n := 1; ; n++ {
		at := f
		at.key.Name += fmt.Sprintf(" request %d", n)
		before := at.newRun(t)
		before.goOn(t, at, 1, 2)
		require.NoError(t, before.err)
		r := at.newRun(t)
		var struck atomic.Value
		fails := fault(at, r)
		r.line.On("", n, func(ctx context.Context, c *faultstore.Call) error {
			struck.Store(c.Method)
			return fails(ctx, c)
		})
		r.goOn(t, at, 3, 5)
		if struck.Load() == nil {
			require.Greater(t, n, 8, "a session has more requests than that")
			return
		}
		t.Logf("request %d, %v: %v", n, struck.Load(), r.err)
		check(at, r)
		r.said.agrees(t, at, fmt.Sprintf("request %d, %v", n, struck.Load()))
	}
}

// goesOn requires that the next run resumes from the newest version and can save. A request of the
// dead run may still be in the engine and land until the next run's fence is up, so the newest
// version is read behind the fence.
func (f fixture) goesOn(t *testing.T, line *faultstore.Store) {
	t.Helper()
	deliverLate(t, line)
	known := f.newest(t)
	s := f.session(t, f.over("a"))
	before := f.newest(t)
	assert.GreaterOrEqual(t, before.Number, known.Number)
	require.NotNil(t, s.Resumed())
	assert.Equal(t, before.Number, s.Resumed().Number)
	assert.Equal(t, before.Cursor, s.Cursor())
	require.NoError(t, s.put(t.Context(), 9))
	deliverLate(t, line)
	require.NoError(t, s.Close(t.Context(), nil))
	deliverLate(t, line)
	assert.Equal(t, "9", f.newest(t).Cursor)
	f.history(t)
}

// dying is a fault that kills the run, after the request has met another one.
func dying(fault faultstore.Fault) func(fixture, *run) faultstore.Fault {
	return func(_ fixture, r *run) faultstore.Fault {
		return func(ctx context.Context, c *faultstore.Call) error {
			err := fault(ctx, c)
			r.kill()
			return err
		}
	}
}

func wholeSessionRules(s suite) []rule {
	var rules []rule
	for what, fault := range faults {
		if takesTime[what] && !s.virtual {
			continue // takes a second for each of many requests; Acquire and A save test each kind of request
		}
		rules = append(rules, rule{"succeeds whichever one request: " + what, func(t *testing.T, f fixture) {
			f.eachRequest(t, func(fixture, *run) faultstore.Fault { return fault }, func(at fixture, r *run) {
				require.NoError(t, r.err)
				require.Len(t, r.said.saved, 3)
				assert.Equal(t, "5", at.newest(t).Cursor)
				at.goesOn(t, r.line)
			})
		}})
	}
	return append(rules, []rule{
		{"may die at any request, and the next one goes on from what was acknowledged", func(t *testing.T, f fixture) {
			f.eachRequest(t, dying(faultstore.LoseRequest), func(at fixture, r *run) { at.goesOn(t, r.line) })
		}},
		{"may die when any request was applied, and the next one goes on from there", func(t *testing.T, f fixture) {
			f.eachRequest(t, dying(faultstore.LoseReply), func(at fixture, r *run) { at.goesOn(t, r.line) })
		}},
		{"may die with any request still on its way, which then does no harm", func(t *testing.T, f fixture) {
			f.eachRequest(t, dying(faultstore.Hold), func(at fixture, r *run) {
				s := at.session(t, f.over("a"))
				require.NoError(t, s.put(t.Context(), 8))
				deliverLate(t, r.line)
				require.NoError(t, s.put(t.Context(), 9))
				require.NoError(t, s.Close(t.Context(), nil))
				at.goesOn(t, r.line)
			})
		}},
		{"may be overtaken before any request", func(t *testing.T, f fixture) {
			f.eachRequest(t, func(at fixture, _ *run) faultstore.Fault {
				return faultstore.Before(func() { at.overtakeOnce(t) })
			}, func(at fixture, r *run) { at.goesOn(t, r.line) })
		}},
		{"may be overtaken after any request, the reply lost", func(t *testing.T, f fixture) {
			f.eachRequest(t, func(at fixture, _ *run) faultstore.Fault {
				return then(func() { at.overtakeOnce(t) })
			}, func(at fixture, r *run) { at.goesOn(t, r.line) })
		}},
		{"may be overtaken before any request, which comes late", func(t *testing.T, f fixture) {
			f.eachRequest(t, func(at fixture, _ *run) faultstore.Fault {
				return func(ctx context.Context, c *faultstore.Call) error {
					at.overtakeOnce(t)
					return faultstore.Hold(ctx, c)
				}
			}, func(at fixture, r *run) { at.goesOn(t, r.line) })
		}},
		{"releases only when its last version is durable in full", func(t *testing.T, f fixture) {
			s := f.session(t, f.as("a"))
			require.NoError(t, s.put(t.Context(), 1))
			f.until(t, "version 1 is copied", func() bool { return len(s.line.Calls("Copy")) == 1 })
			s.line.On("Copy", 1, slowly)
			s.line.On("Release", 1, faultstore.Before(func() { f.copied(t, 2) }))
			require.NoError(t, s.Close(t.Context(), nil))
			assert.Equal(t, store.Free, f.look(t).Lease.Status)
			assert.Equal(t, int64(2), f.look(t).Lease.Version)
		}},
		{"that was lost says so, and still leaves its lease free if no run holds it", func(t *testing.T, f fixture) {
			s := f.session(t, f.as("a"))
			s.line.On("Renew", 0, faultstore.LoseRequest)
			<-s.Context().Done()
			require.ErrorIs(t, context.Cause(s.Context()), lease.ErrLost)
			require.ErrorIs(t, s.put(t.Context(), 1), lease.ErrLost)
			require.ErrorIs(t, s.Close(t.Context(), nil), lease.ErrLost)
			assert.Equal(t, store.Free, f.look(t).Lease.Status)
			f.saw(t)
		}},
	}...)
}

// overtakeOnce overtakes the session. It saves no cursor that is not a number, because that would
// not belong to its state.
func (f fixture) overtakeOnce(t *testing.T) {
	o := f.options(f.over("a"))
	s, err := checkpoint.Open[tally](context.Background(), f.in(f.Store), f.key.Name, o)
	if !assert.NoError(t, err) {
		return
	}
	assert.NoError(t, s.Save(context.Background(), "7", tally{7}))
	assert.NoError(t, s.Save(context.Background(), "8", tally{8}))
	assert.NoError(t, s.Close(context.Background(), nil))
}

var markRules = []rule{
	{"what is saved is always a state that belongs to its cursor", func(t *testing.T, f fixture) {
		o := f.options(f.as("a"))
		o.Every = 7
		s := f.sessionOn(t, f.line(), o)
		for n := int64(1); n <= 500; n++ {
			s.Mark(fmt.Sprint(n), func(v *tally) { v.Sum = n })
			if n%50 == 0 {
				require.NoError(t, s.Flush(t.Context()))
			}
		}
		require.NoError(t, s.Close(t.Context(), nil))
		assert.Equal(t, "500", f.newest(t).Cursor)
		versions := f.history(t)
		require.Greater(t, len(versions), 10)
		for _, v := range versions {
			cp, err := f.in(f.Store).Get(t.Context(), f.key.Name, f.reading(v.Number))
			require.NoError(t, err)
			got, err := checkpoint.Decode[tally](cp)
			require.NoError(t, err)
			require.Equal(t, cp.Cursor, fmt.Sprint(got.Sum))
			require.Equal(t, cp.Cursor, fmt.Sprint(cp.Processed))
		}
	}},
	{"records that finish out of order are saved with the low-water mark, and skipped by the next session", func(t *testing.T, f fixture) {
		s := f.session(t, f.as("a"))
		records := map[string]*checkpoint.Record[tally]{}
		for n := 1; n <= 5; n++ {
			r, ok := s.Start(fmt.Sprint(n))
			require.True(t, ok)
			records[fmt.Sprint(n)] = r
		}
		for _, cursor := range []string{"1", "3", "5"} {
			records[cursor].Done(func(v *tally) { v.Sum++ })
		}
		require.NoError(t, s.Flush(t.Context()))
		cut(s.line)
		assert.Equal(t, "1", f.head(t).Cursor)
		assert.Equal(t, int64(3), f.head(t).Processed)

		next := f.session(t, f.over("a"))
		var again []string
		for n := 2; n <= 5; n++ {
			if r, ok := next.Start(fmt.Sprint(n)); ok {
				again = append(again, fmt.Sprint(n))
				r.Done(func(v *tally) { v.Sum++ })
			}
		}
		assert.Equal(t, []string{"2", "4"}, again)
		require.NoError(t, next.Close(t.Context(), nil))
		assert.Equal(t, "5", f.head(t).Cursor)
		assert.Equal(t, int64(5), f.head(t).Processed)
	}},
	{"after a loss a mark does nothing, and Run returns the cause", func(t *testing.T, f fixture) {
		line := f.line()
		err := checkpoint.Run(t.Context(), f.in(line), f.key.Name, func(ctx context.Context, s *checkpoint.Session[tally]) error {
			s.Mark("1", func(v *tally) { v.Sum = 1 })
			require.NoError(t, s.Flush(ctx))
			cut(line)
			<-ctx.Done()
			s.Mark("2", func(v *tally) { v.Sum = 2 })
			assert.Equal(t, "1", s.Cursor())
			return nil
		}, f.options(f.as("a")))
		require.ErrorIs(t, err, lease.ErrLost)
		f.saw(t, "1")
	}},
	{"a handover saves what is done and yields to the waiter", func(t *testing.T, f fixture) {
		o := f.options(f.as("a"))
		o.Lease.Yield = true
		o.Every = 1 << 30
		started := make(chan struct{})
		ended := make(chan error, 1)
		go func() {
			ended <- checkpoint.Run(context.Background(), f.in(f.Store), f.key.Name, func(_ context.Context, s *checkpoint.Session[tally]) error {
				s.Mark("1", func(v *tally) { v.Sum = 1 })
				close(started)
				<-s.HandoffWanted()
				return checkpoint.ErrYielded
			}, o)
		}()
		<-started
		next := f.as("b")
		next.TakeOver, next.Wait = true, 10*f.duration()
		s := f.session(t, next)
		require.ErrorIs(t, <-ended, checkpoint.ErrYielded)
		assert.Equal(t, "1", s.Cursor())
		assert.Equal(t, store.EndedYielded, s.Resumed().Ended)
	}},
}
