package page_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/test/page"
)

// browser is the one browser of the tests.
var (
	browser     = sync.OnceValues(startBrowser)
	stopBrowser = func() {}
	removeBuilt = func() {}
)

func startBrowser() (context.Context, error) {
	tabs, stop, err := page.Browser(context.Background())
	if err == nil {
		stopBrowser = stop
	}
	return tabs, err
}

// built is the command, built once for all tests.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "milepost-page-")
	if err != nil {
		return "", err
	}
	removeBuilt = func() { _ = os.RemoveAll(dir) }
	path := filepath.Join(dir, "milepost")
	if out, err := exec.Command("go", "build", "-o", path, "../../cmd/milepost").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build milepost: %w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	stopBrowser()
	removeBuilt()
	os.Exit(code)
}

// command starts milepost serve, and returns the URL that it prints. At the end of the test it gets
// SIGTERM, and must end properly.
func command(t *testing.T, args ...string) string {
	t.Helper()
	path, err := built()
	require.NoError(t, err)
	cmd := exec.Command(path, args...)
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		_ = cmd.Wait()
		require.Equal(t, 143, cmd.ProcessState.ExitCode(), "as a command does that SIGTERM ends")
	})
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if _, url, ok := strings.Cut(lines.Text(), "status page at "); ok {
			go func() { _, _ = io.Copy(io.Discard, stderr) }()
			return strings.TrimSuffix(url, "/")
		}
	}
	t.Fatalf("milepost serve did not start: %v", lines.Err())
	return ""
}

// commit makes version 1 of a checkpoint, with what no session would save.
func commit(t *testing.T, st store.Store, name string, v store.Version) {
	t.Helper()
	key, fence := store.Key{Namespace: store.DefaultNamespace, Name: name}, store.Fence{Epoch: 1, LeaseID: "l"}
	_, _, err := st.Raise(t.Context(), key, fence, store.Holder{ID: "loader"}, true)
	require.NoError(t, err)
	v.Number, v.CommitID, v.CommitEpoch, v.Born, v.SavedAt = 1, "c", 1, 1, time.Now()
	_, err = st.Commit(t.Context(), key, store.Commit{Fence: fence, Next: v})
	require.NoError(t, err)
}

func raw(content string) *store.State {
	sum := sha256.Sum256([]byte(content))
	return &store.State{Data: []byte(content), Size: int64(len(content)), SHA256: sum[:]}
}
