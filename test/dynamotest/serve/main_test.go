package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// nameEndpoint lets serve find a running endpoint, and returns its URL.
func nameEndpoint(t *testing.T) string {
	t.Helper()
	endpoint := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(endpoint.Close)
	t.Setenv("MILEPOST_TEST_DYNAMODB", endpoint.URL+"/")
	return endpoint.URL
}

func TestACommandGetsTheEndpointAndItsExitStatusIsKept(t *testing.T) {
	url := nameEndpoint(t)
	seen := filepath.Join(t.TempDir(), "seen")
	err := serve(t.Context(), []string{"sh", "-c", `echo "$MILEPOST_TEST_DYNAMODB" > "$0"; exit 7`, seen})
	var status *exec.ExitError
	require.ErrorAs(t, err, &status)
	assert.Equal(t, 7, status.ExitCode())
	got, err := os.ReadFile(seen)
	require.NoError(t, err)
	assert.Equal(t, url+"\n", string(got))
}

func TestACommandGetsTheSignalThatEndsServe(t *testing.T) {
	nameEndpoint(t)
	started := filepath.Join(t.TempDir(), "started")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for _, err := os.Stat(started); err != nil; _, err = os.Stat(started) {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	var status *exec.ExitError
	require.ErrorAs(t, serve(ctx, []string{"sh", "-c", `: >"$0"; exec sleep 600`, started}), &status)
	assert.Contains(t, status.String(), "terminated")
}
