package terraform_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBootstrapRunsTheMonitorOnceForEachEvent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bootstrap, err := os.ReadFile(filepath.Join(moduleDir, "lambda", "bootstrap"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bootstrap"), bootstrap, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "milepost"), []byte(`#!/bin/sh
echo "{\"ran\": \"$*\"}"
case "$*" in *broken*) echo "milepost: the table is gone" >&2; exit 8;; esac
`), 0o755))

	api := &runtimeAPI{events: []string{`{"namespace":"billing"}`, `{"namespace": "broken"}`, `{"time": "noon"}`, `{"namespace": "a; rm -rf /"}`}}
	server := httptest.NewServer(api)
	defer server.Close()
	command := exec.CommandContext(t.Context(), filepath.Join(dir, "bootstrap"))
	command.Env = append(os.Environ(), "AWS_LAMBDA_RUNTIME_API="+strings.TrimPrefix(server.URL, "http://"), "MONITOR_EVERY=5m")
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	assert.Error(t, command.Run(), "bootstrap ends when the runtime's API does; it needs curl to reach the API")

	assert.Equal(t, "{\"ran\": \"monitor --once --every 5m --namespace billing\"}\n{\"ran\": \"monitor --once --every 5m --namespace broken\"}\n", stdout.String(),
		"metrics go to standard output, and nothing else")
	assert.Contains(t, stderr.String(), "milepost: the table is gone")
	const usage = `{"errorType": "usage", "errorMessage": "the event is not {\"namespace\": \"NAME\"}"}`
	assert.Equal(t, []string{
		"/2018-06-01/runtime/invocation/1/response {}",
		`/2018-06-01/runtime/invocation/2/error {"errorType": "exit 8", "errorMessage": "milepost monitor: exit 8; its log says why"}`,
		"/2018-06-01/runtime/invocation/3/error " + usage,
		"/2018-06-01/runtime/invocation/4/error " + usage,
	}, api.posted)
}

// runtimeAPI stands in for what Lambda gives a custom runtime.
type runtimeAPI struct {
	events []string
	given  int
	posted []string
}

func (a *runtimeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && r.URL.Path == "/2018-06-01/runtime/invocation/next" {
		if a.given == len(a.events) {
			http.Error(w, "the function is shut down", http.StatusGone)
			return
		}
		a.given++
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", fmt.Sprint(a.given))
		fmt.Fprint(w, a.events[a.given-1])
		return
	}
	body, _ := io.ReadAll(r.Body)
	a.posted = append(a.posted, r.URL.Path+" "+string(body))
	w.WriteHeader(http.StatusAccepted)
}

func TestThePackageHoldsWhatLambdaStarts(t *testing.T) {
	t.Parallel()
	architecture, ok := map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH]
	if !ok {
		architecture = "x86_64"
	}
	file := filepath.Join(t.TempDir(), "monitor.zip")
	out, err := exec.CommandContext(t.Context(), "go", "run", "../../terraform/lambda", file, architecture).CombinedOutput()
	require.NoError(t, err, string(out))

	z, err := zip.OpenReader(file)
	require.NoError(t, err)
	defer z.Close()
	magic := map[string]string{"bootstrap": "#!/bin/sh\n", "milepost": "\x7fELF"}
	for _, f := range z.File {
		assert.Equal(t, os.FileMode(0o755), f.Mode().Perm(), f.Name)
		assert.Equal(t, 2000, f.Modified.UTC().Year(), "the same source must give the same file")
		r, err := f.Open()
		require.NoError(t, err)
		begins := make([]byte, len(magic[f.Name]))
		_, err = io.ReadFull(r, begins)
		require.NoError(t, err)
		assert.Equal(t, magic[f.Name], string(begins), f.Name)
		delete(magic, f.Name)
	}
	assert.Empty(t, magic, "not in the file")
}

func TestThePackageIsRefusedForAnUnknownArchitecture(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "run", "../../terraform/lambda", filepath.Join(t.TempDir(), "x.zip"), "riscv64").CombinedOutput()
	assert.Error(t, err)
	assert.Contains(t, string(out), `"riscv64" is not an architecture of Lambda: use arm64 or x86_64`)
}
