// Package quiet_test makes sessions log everything that they can log, and requires that no log has
// a state or a cursor.
package quiet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/archive/dirarchive"
	"github.com/milepost-dev/milepost/store/faultstore"
	"github.com/milepost-dev/milepost/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	secretCursor = "CURSOR-4711-"
	secretState  = "STATE-0815"
)

type state struct{ Patient string }

func TestNoStateAndNoCursorIsLogged(t *testing.T) {
	j := newJob(t)

	j.run("mirrored", func(n *checkpoint.Namespace, _ *checkpoint.Options) { n.Archive, n.InlineLimit = j.archive, 1 }, func(s *checkpoint.Session[state]) error {
		j.mark(s, 1)
		return nil
	})
	j.faults.On("Renew", 1, faultstore.LoseRequest)
	j.run("renewal", func(_ *checkpoint.Namespace, o *checkpoint.Options) { o.Lease.Beat = 20 * time.Millisecond }, func(s *checkpoint.Session[state]) error {
		j.mark(s, 1)
		j.awaits("lease not renewed")
		return nil
	})
	j.run("stolen", func(_ *checkpoint.Namespace, o *checkpoint.Options) { o.Lease.Beat = 20 * time.Millisecond }, func(s *checkpoint.Session[state]) error {
		j.mark(s, 1)
		_, err := lease.Break(t.Context(), j.faults, j.key("stolen"), &lease.BreakOptions{Reason: "it hangs", Now: true})
		require.NoError(t, err)
		<-s.Context().Done()
		j.awaits("lease lost")
		return nil
	})
	j.archive.down.Store(true)
	j.run("mirrored", func(n *checkpoint.Namespace, _ *checkpoint.Options) { n.Archive = j.archive }, func(s *checkpoint.Session[state]) error {
		j.mark(s, 2)
		require.NoError(t, s.Flush(t.Context()))
		j.awaits("not mirrored")
		return nil
	})
	j.awaits("not all is mirrored")
	j.archive.down.Store(false)

	for policy, said := range map[checkpoint.IdentityPolicy]string{
		checkpoint.IdentityWarn: "of another identity", checkpoint.IdentityRestart: "starting from the beginning", checkpoint.IdentityFork: "under a name of its own",
	} {
		name := fmt.Sprint("identity", policy)
		for _, identity := range []string{"input A", "input B"} {
			j.run(name, func(_ *checkpoint.Namespace, o *checkpoint.Options) { o.Identity, o.OnIdentity = identity, policy }, func(s *checkpoint.Session[state]) error {
				j.mark(s, 1)
				return nil
			})
		}
		j.awaits(said)
	}
	j.run("mirrored", func(_ *checkpoint.Namespace, o *checkpoint.Options) { o.MaxAge = 1 }, func(*checkpoint.Session[state]) error { return nil })
	j.awaits("resuming from an old checkpoint")

	assert.Panics(t, func() { // and what it marked last cannot be saved: it goes backward
		j.run("panics", func(_ *checkpoint.Namespace, o *checkpoint.Options) { o.Order = strings.Compare }, func(s *checkpoint.Session[state]) error {
			j.mark(s, 2)
			require.NoError(t, s.Flush(t.Context()))
			j.mark(s, 1)
			panic(state{secretState})
		})
	})
	j.awaits("not saved after a panic")
}

// job is a store, an archive, and all that their sessions log.
type job struct {
	t       *testing.T
	faults  *faultstore.Store
	archive *flaky
	log     log
}

func newJob(t *testing.T) *job {
	t.Helper()
	dir, err := dirarchive.Open(t.TempDir())
	require.NoError(t, err)
	j := &job{t: t, faults: faultstore.New(memstore.New(nil)), archive: &flaky{Archive: dir}}
	t.Cleanup(func() {
		said := j.log.String()
		assert.NotContains(t, said, secretCursor)
		assert.NotContains(t, said, secretState)
	})
	return j
}

func (j *job) key(name string) store.Key {
	return store.Key{Namespace: store.DefaultNamespace, Name: name}
}

func (j *job) run(name string, with func(*checkpoint.Namespace, *checkpoint.Options), fn func(*checkpoint.Session[state]) error) {
	j.t.Helper()
	opts := &checkpoint.Options{Every: 1, Logger: slog.New(slog.NewTextHandler(&j.log, &slog.HandlerOptions{Level: slog.LevelDebug - 100}))}
	ns := checkpoint.Namespace{Store: j.faults}
	if with != nil {
		with(&ns, opts)
	}
	err := checkpoint.Run(j.t.Context(), ns, name, func(_ context.Context, s *checkpoint.Session[state]) error { return fn(s) }, opts)
	if !errors.Is(err, lease.ErrLost) {
		require.NoError(j.t, err)
	}
}

func (j *job) mark(s *checkpoint.Session[state], n int) {
	s.Mark(fmt.Sprint(secretCursor, n), func(st *state) { st.Patient = secretState })
}

// awaits waits until something is logged, so that it is known to have been looked at.
func (j *job) awaits(text string) {
	j.t.Helper()
	require.Eventually(j.t, func() bool { return strings.Contains(j.log.String(), text) }, time.Minute, time.Millisecond, text)
}

type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// flaky is an archive that the test can take down.
type flaky struct {
	archive.Archive
	down atomic.Bool
}

var errDown = fmt.Errorf("%w: the archive is down", store.ErrUnavailable)

func (f *flaky) Create(ctx context.Context, key string, body io.Reader) (archive.Object, error) {
	if f.down.Load() {
		return archive.Object{}, errDown
	}
	return f.Archive.Create(ctx, key, body)
}

func (f *flaky) List(ctx context.Context, prefix string, opts *archive.ListOptions) iter.Seq2[archive.Object, error] {
	if f.down.Load() {
		return func(yield func(archive.Object, error) bool) { yield(archive.Object{}, errDown) }
	}
	return f.Archive.List(ctx, prefix, opts)
}
