//go:build unix

package batch

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/child"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/internal/records"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/memstore"
)

// jobs runs jobs of one checkpoint over one file.
type jobs struct {
	t      *testing.T
	st     *memstore.Store
	path   string
	stdout bytes.Buffer
	saved  func() // called after each save
}

func newJobs(t *testing.T, content string) *jobs {
	t.Helper()
	j := &jobs{t: t, st: memstore.New(nil), path: filepath.Join(t.TempDir(), "in"), saved: func() {}}
	require.NoError(t, os.WriteFile(j.path, []byte(content), 0o600))
	return j
}

// run runs a script on batches of two records each.
func (j *jobs) run(stop context.Context, script string, retries int) error {
	j.t.Helper()
	ctx, end := context.WithCancelCause(j.t.Context())
	defer end(nil)
	job, err := Open(Options{
		Key: store.Key{Namespace: store.DefaultNamespace, Name: "a"}, Identity: "test", Path: j.path, Format: records.Lines, Every: 2, Retries: retries,
		Command: &child.Command{Argv: []string{"sh", "-c", script}, Env: os.Environ(), Stdout: &j.stdout, Stderr: os.Stderr, Grace: time.Minute, KillAfter: time.Minute},
		Say:     func(string, ...any) {}, Began: func(int64, float64) {}, Saved: func(int64, float64, int64) { j.saved() },
	})
	require.NoError(j.t, err)
	defer job.Close()
	if err := job.Prepare(j.t.Context(), checkpoint.Namespace{Store: j.st}); err != nil {
		return err
	}
	return checkpoint.Run(ctx, checkpoint.Namespace{Store: j.st}, "a", func(ctx context.Context, s *checkpoint.Session[records.Position]) error {
		return job.Run(ctx, stop, end, s)
	}, &checkpoint.Options{Identity: "test", Every: math.MaxInt32, MaxUnsaved: math.MaxInt32, Interval: math.MaxInt64})
}

func TestAJobGoesOnAfterItsLastSavedBatch(t *testing.T) {
	j := newJobs(t, "1\n2\n3\n4\n5\n")
	stopped := errors.New("told to stop")
	stop, end := context.WithCancelCause(t.Context())
	j.saved = func() { end(stopped) }
	require.ErrorIs(t, j.run(stop, "cat", 0), stopped)
	assert.Equal(t, "1\n2\n", j.stdout.String())
	require.NoError(t, j.run(t.Context(), "cat", 0))
	assert.Equal(t, "1\n2\n3\n4\n5\n", j.stdout.String())
}

func TestABatchThatFailedRunsAgainAndThenFailsTheJob(t *testing.T) {
	j := newJobs(t, "1\n2\n3\n")
	err := j.run(t.Context(), `echo "$MILEPOST_FIRST-$MILEPOST_LAST"; exit 3`, 1)
	require.ErrorIs(t, err, kinds.ErrJobFailed)
	failed, ok := errors.AsType[*CommandError](err)
	require.True(t, ok)
	assert.Equal(t, 2, failed.Attempts)
	assert.Equal(t, "1-2\n1-2\n", j.stdout.String())
}

func TestAnotherInputIsRefusedBeforeTheLeaseIsTaken(t *testing.T) {
	j := newJobs(t, "1\n2\n3\n")
	require.NoError(t, j.run(t.Context(), "cat", 0))
	require.NoError(t, os.WriteFile(j.path, []byte("x\n2\n3\n4\n"), 0o600))
	assert.ErrorIs(t, j.run(t.Context(), "cat", 0), checkpoint.ErrRefused)
	cp, err := checkpoint.Namespace{Store: j.st}.Get(t.Context(), "a", nil)
	require.NoError(t, err)
	assert.EqualValues(t, 1, cp.Epoch)
}
