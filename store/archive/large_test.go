package archive_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/archive/dirarchive"
	"github.com/milepost-dev/milepost/store/archive/s3archive"
	"github.com/milepost-dev/milepost/test/s3test"
)

// The work is done by this test, run again as a process of its own, whose peak
// of memory the system knows.
func TestAStateOfOneGiBIsSavedAndLoadedInLessThan200MiB(t *testing.T) {
	if where := os.Getenv("ARCHIVE_LARGE"); where != "" {
		roundTrip(t, where)
		fmt.Printf("peak %d\n", peakMemory(t))
		return
	}
	bucket, prefix := s3test.Place(t)
	for name, where := range map[string]string{"directory": "file:" + t.TempDir(), "S3": "s3://" + bucket + "/" + prefix} {
		t.Run(name, func(t *testing.T) {
			begun := time.Now()
			cmd := exec.Command(os.Args[0], "-test.run=^TestAStateOfOneGiBIsSavedAndLoadedInLessThan200MiB$")
			cmd.Env = append(append(os.Environ(), s3test.Env(t)...), "ARCHIVE_LARGE="+where)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			said := regexp.MustCompile(`peak (\d+)`).FindSubmatch(out)
			require.NotNil(t, said, "%s", out)
			peak, err := strconv.Atoi(string(said[1]))
			require.NoError(t, err)
			t.Logf("1 GiB there and back in %v, peak %d MiB", time.Since(begun).Round(time.Second/10), peak>>20)
			assert.Less(t, peak, mostMemory)
		})
	}
}

func roundTrip(t *testing.T, where string) {
	a := openAt(t, where)
	id := archive.BodyID{Version: 12, CommitID: "large"}
	w, err := archive.CreateBody(t.Context(), a, orders, id)
	require.NoError(t, err)
	defer w.Abort()
	n, err := io.Copy(w, noise())
	require.NoError(t, err)
	require.Equal(t, int64(largeState), n)
	state, body, err := w.Finish()
	require.NoError(t, err)
	require.Equal(t, int64(largeState), state.Size)

	r, err := archive.OpenBody(t.Context(), a, orders, &store.Version{Version: 12, State: &state}, body)
	require.NoError(t, err)
	defer r.Close()
	require.NoError(t, equal(noise(), r))

	_, object, err := a.Open(t.Context(), body)
	require.NoError(t, err)
	require.Greater(t, object.Size, int64(largeState), "it does not compress, so that memory is put to the test")
}

// noise yields the state: what does not compress, the same each time.
func noise() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{7}), largeState) }

func openAt(t *testing.T, where string) archive.Archive {
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
	status, err := os.ReadFile("/proc/self/status")
	if err != nil { // where that is not told: what the Go runtime has asked for, which is more
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
