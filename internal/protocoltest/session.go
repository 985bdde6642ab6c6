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

// tally is the state of the jobs in these tests.
type tally struct{ Sum int64 }

// session is a session of package checkpoint, and the line that it uses.
type session struct {
	*checkpoint.Session[tally]
	line *faultstore.Store
}

// in is the fixture's namespace on a store.
func (f fixture) in(st store.Store) checkpoint.Namespace {
	n := f.keeping
	n.Store, n.Name = st, f.key.Namespace
	return n
}

// options of a session that saves only when told to.
func (f fixture) options(o *lease.Options) *checkpoint.Options {
	return &checkpoint.Options{Lease: *o, Interval: 1000 * time.Hour}
}

// session opens the fixture's checkpoint on a new line, and closes it when the test ends.
func (f fixture) session(t testing.TB, o *lease.Options) session {
	t.Helper()
	return f.sessionOn(t, f.line(), f.options(o))
}

func (f fixture) sessionOn(t testing.TB, line *faultstore.Store, o *checkpoint.Options) session {
	t.Helper()
	s, err := checkpoint.Open[tally](t.Context(), f.in(line), f.key.Name, o)
	require.NoError(t, err)
	t.Cleanup(func() {
		line.Clear()
		_ = s.Close(context.Background(), nil)
	})
	return session{s, line}
}

// at is a step that changes only the cursor.
func at(cursor string, writes ...store.Write) checkpoint.Step[tally] {
	return checkpoint.Step[tally]{Cursor: cursor, Writes: writes}
}

// put saves cursor n with the state that belongs to it.
func (s session) put(ctx context.Context, n int) error {
	return s.Save(ctx, fmt.Sprint(n), tally{int64(n)})
}

// soon is a context that ends before a lease does.
func (f fixture) soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), f.duration()/4)
	t.Cleanup(cancel)
	return ctx
}

// overtake opens the checkpoint as another process by rule (b), as if the lease of the session's
// holder had run out. It saves that many versions, with other cursors, and closes.
func (f fixture) overtake(t testing.TB, saves int) {
	t.Helper()
	o := f.options(f.over("a"))
	s, err := checkpoint.Open[tally](context.Background(), f.in(f.Store), f.key.Name, o)
	if !assert.NoError(t, err) {
		return
	}
	for n := range saves {
		assert.NoError(t, s.Save(context.Background(), fmt.Sprint("overtaker ", n), tally{}))
	}
	assert.NoError(t, s.Close(context.Background(), nil))
}

// history reads HEAD and the copies below it from the store, oldest first. It requires that there
// is no hole, that epochs never fall, and that the copy of HEAD's version, if there is one, has
// HEAD's commit.
func (f fixture) history(t testing.TB) []store.Version {
	t.Helper()
	h := f.head(t)
	if h.Number == 0 {
		return nil
	}
	all := []store.Version{h.Version}
	for c, err := range f.Versions(t.Context(), f.key, h.Number, h.Born) {
		require.NoError(t, err)
		if c.Number == h.Number {
			assert.Equal(t, h.CommitID, c.CommitID, "the copy of HEAD's version")
			continue
		}
		all = append(all, c.Version)
	}
	slices.Reverse(all)
	for i, v := range all {
		require.Equal(t, h.Born+int64(i), v.Number, "a hole in the history")
		if i > 0 {
			require.LessOrEqual(t, all[i-1].CommitEpoch, v.CommitEpoch, "epochs of the versions")
		}
	}
	return all
}

// saw requires that the versions have these cursors, oldest first.
func (f fixture) saw(t testing.TB, cursors ...string) {
	t.Helper()
	var got []string
	for _, v := range f.history(t) {
		got = append(got, v.Cursor)
	}
	assert.Equal(t, cursors, got, "the cursors of the versions")
}

// ledger keeps what a session's saves returned.
type ledger struct {
	saved, failed []string // commit ids; a save that failed may have none
}

// put saves, and notes what the save returned.
func (l *ledger) put(ctx context.Context, s session, n int) error {
	before := len(s.line.Calls("Commit"))
	err := s.put(ctx, n)
	var id string
	for _, c := range s.line.Calls("Commit")[before:] {
		if next := c.Arg.(store.Commit).Next; next.Cursor == fmt.Sprint(n) {
			id = next.CommitID
		}
	}
	switch {
	case err == nil:
		l.saved = append(l.saved, id)
	case errors.Is(err, checkpoint.ErrOutcomeUnknown): // either may be true
	case id != "":
		l.failed = append(l.failed, id)
	}
	return err
}

// agrees requires that what was reported as saved is there, and what was reported as failed is not.
func (l *ledger) agrees(t testing.TB, f fixture, about string) {
	t.Helper()
	var there []string
	for _, v := range f.history(t) {
		there = append(there, v.CommitID)
	}
	for _, id := range l.saved {
		require.Contains(t, there, id, "%s: a save that was acknowledged is lost", about)
	}
	for _, id := range l.failed {
		require.NotContains(t, there, id, "%s: a save that was reported as failed has landed", about)
	}
}
