// Package large_test saves and loads a state of 1 GiB through a session, on SQLite with a directory
// and with a bucket, and measures the memory that this takes.
package large_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/archive/dirarchive"
	"github.com/milepost-dev/milepost/store/archive/s3archive"
	"github.com/milepost-dev/milepost/store/sqlitestore"
	"github.com/milepost-dev/milepost/test/s3test"
)

// The test runs itself again as a separate process, whose peak of memory the system reports.
func TestASessionSavesAndLoads1GiBInLessThan200MiB(t *testing.T) {
	if where := os.Getenv("LARGE_ARCHIVE"); where != "" {
		throughASession(t, where)
		fmt.Printf("peak %d\n", peakMemory(t))
		return
	}
	bucket, prefix := s3test.Place(t)
	for what, where := range map[string]string{"directory": "file:" + t.TempDir(), "S3": "s3://" + bucket + "/" + prefix} {
		t.Run(what, func(t *testing.T) {
			begun := time.Now()
			cmd := exec.Command(os.Args[0], "-test.run=^"+strings.Split(t.Name(), "/")[0]+"$", "-test.timeout=20m")
			cmd.Env = append(append(os.Environ(), s3test.Env(t)...), "LARGE_ARCHIVE="+where)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			said := regexp.MustCompile(`peak (\d+)`).FindSubmatch(out)
			require.NotNil(t, said, "%s", out)
			peak, err := strconv.Atoi(string(said[1]))
			require.NoError(t, err)
			t.Logf("%d MiB saved, taken over by a closing version, and loaded in %v, peak %d MiB",
				largeState>>20, time.Since(begun).Round(time.Second/10), peak>>20)
			assert.Less(t, peak, mostMemory)
		})
	}
}

// throughASession saves the state in one session, whose closing version keeps it, and loads the
// state in another session.
func throughASession(t *testing.T, where string) {
	st := openSQLite(t)
	ns := checkpoint.Namespace{Store: st, Archive: openAt(t, where)}
	opts := &checkpoint.Options{Lease: lease.Options{Duration: 5 * time.Minute}}
	s, err := checkpoint.Open[checkpoint.StreamedState](t.Context(), ns, "large", opts)
	require.NoError(t, err)
	require.NoError(t, checkpoint.SaveStream(t.Context(), s, "all of it", func(w io.Writer) error {
		_, err := io.Copy(w, noise())
		return err
	}))
	require.NoError(t, s.Close(t.Context(), nil))

	s, err = checkpoint.Open[checkpoint.StreamedState](t.Context(), ns, "large", opts)
	require.NoError(t, err)
	require.Equal(t, "all of it", s.Cursor())
	require.Equal(t, int64(largeState), s.Resumed().StateSize)
	r, err := s.OpenState(t.Context())
	require.NoError(t, err)
	require.NoError(t, equal(noise(), r))
	require.NoError(t, r.Close())
	require.NoError(t, s.Close(t.Context(), checkpoint.ErrYielded))

	found, err := ns.Verify(t.Context(), "large", nil)
	require.NoError(t, err)
	require.Empty(t, found.Findings)
	require.Equal(t, int64(3), found.Bodies)
}

// A save of a small state does not wait for the archive.
func TestSavesGoOnWithAnArchiveThatNeverAnswers(t *testing.T) {
	const saves = 100
	up, st := openAt(t, "file:"+t.TempDir()), openSQLite(t)
	s, err := checkpoint.Open[int](t.Context(), checkpoint.Namespace{Store: st, Archive: &hole{Archive: up}}, "black-holed", nil)
	require.NoError(t, err)
	for i := range saves {
		require.NoError(t, s.Save(t.Context(), strconv.Itoa(i), i))
	}
	require.NoError(t, s.Close(t.Context(), nil))

	// Once it answers, the next session brings the mirror up to date.
	s, err = checkpoint.Open[int](t.Context(), checkpoint.Namespace{Store: st, Archive: up}, "black-holed", nil)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		ids, err := archive.IDs(t.Context(), up, store.Key{Namespace: store.DefaultNamespace, Name: "black-holed"})
		require.NoError(t, err)
		return int64(len(ids)) == s.Version()
	}, time.Minute, 10*time.Millisecond)
	require.NoError(t, s.Close(t.Context(), nil))
	found, err := checkpoint.Namespace{Store: st, Archive: up}.Verify(t.Context(), "black-holed", nil)
	require.NoError(t, err)
	assert.Empty(t, found.Findings)
	assert.Zero(t, found.Waiting)
	assert.Equal(t, int64(saves+3), found.Objects)
}

// hole is an archive that never answers writes once a session is open.
type hole struct{ archive.Archive }

func (h *hole) Create(ctx context.Context, key string, _ io.Reader) (archive.Object, error) {
	<-ctx.Done()
	return archive.Object{}, fmt.Errorf("create %s: %w: %w", key, store.ErrUnavailable, ctx.Err())
}

func openSQLite(t *testing.T) store.Store {
	t.Helper()
	st, err := sqlitestore.Open(t.Context(), filepath.Join(t.TempDir(), "jobs.db"), nil)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, st.Close()) })
	return st
}

// noise yields the state: bytes that do not compress, the same each time.
func noise() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{7}), largeState) }

func openAt(t *testing.T, where string) archive.Archive {
	t.Helper()
	if dir, ok := strings.CutPrefix(where, "file:"); ok {
		a, err := dirarchive.Open(dir)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, a.Close()) })
		return a
	}
	bucket, prefix, _ := strings.Cut(strings.TrimPrefix(where, "s3://"), "/")
	a, err := s3archive.New(s3test.Client(t), bucket, prefix, nil)
	require.NoError(t, err)
	return a
}

// equal compares two streams to their ends.
func equal(want, got io.Reader) error {
	a, b := make([]byte, 1<<20), make([]byte, 1<<20)
	for at := 0; ; at += len(a) {
		n, wantErr := io.ReadFull(want, a)
		m, gotErr := io.ReadFull(got, b)
		if !bytes.Equal(a[:n], b[:m]) {
			return fmt.Errorf("they differ within the MiB at byte %d", at)
		}
		switch {
		case errors.Is(wantErr, io.EOF) && errors.Is(gotErr, io.EOF):
			return nil
		case wantErr != nil || gotErr != nil:
			return fmt.Errorf("at byte %d: want %w, got %w", at, wantErr, gotErr)
		}
	}
}

// peakMemory is the most memory that this process has had at once, in bytes.
func peakMemory(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil { // the system does not report it: use what the Go runtime has asked for, which is more
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.Sys)
	}
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	require.NotNil(t, found, "%s", status)
	kib, err := strconv.Atoi(string(found[1]))
	require.NoError(t, err)
	return kib << 10
}
