package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/test/dynamotest"
)

// asCommand makes the test's binary run the command, for tests that need a process to kill.
const asCommand = "TEST_AS_MILEPOST"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	if program := programs[strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe")]; program != nil {
		os.Exit(program())
	}
	remove, err := provideCat()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// The SDK's idle connections end with the command's process.
	goleak.VerifyTestMain(m, goleak.Cleanup(func(exit int) {
		remove()
		os.Exit(exit)
	}),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// result is the outcome of one call of the command.
type result struct {
	exit           int
	stdout, stderr string
}

// failure is the error that a command with -o json reported.
func (r result) failure(t *testing.T) kinds.ErrorJSON {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
	var f kinds.ErrorJSON
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &f), r.stderr)
	require.Equal(t, r.exit, f.Exit)
	return f
}

// milepost runs the command in this process. env is added to the environment of the test.
func milepost(t *testing.T, env []string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	exit := run(t.Context(), args, strings.NewReader(""), &stdout, &stderr, append(os.Environ(), env...))
	return result{exit, stdout.String(), stderr.String()}
}

// must is milepost for a call that must succeed. It returns standard output.
func must(t *testing.T, env []string, args ...string) string {
	t.Helper()
	r := milepost(t, env, args...)
	require.Zero(t, r.exit, "milepost %s: %s", strings.Join(args, " "), r.stderr)
	return r.stdout
}

// sqliteStore returns the environment of a store that only this test uses.
func sqliteStore(t *testing.T) []string {
	t.Helper()
	return []string{"MILEPOST_STORE=sqlite:" + filepath.Join(t.TempDir(), "jobs.db")}
}

// onEachEngine runs a test over each engine that the command knows.
func onEachEngine(t *testing.T, test func(t *testing.T, env []string)) {
	t.Run("SQLite", func(t *testing.T) { test(t, sqliteStore(t)) })
	t.Run("DynamoDB", func(t *testing.T) {
		for _, variable := range dynamotest.Env(t) {
			name, value, _ := strings.Cut(variable, "=")
			t.Setenv(name, value)
		}
		url := "dynamodb://" + dynamotest.Table(t)
		if endpoint := dynamotest.Endpoint(t); endpoint != "" {
			url += "?endpoint=" + endpoint
		}
		env := []string{"MILEPOST_STORE=" + url}
		must(t, env, "table", "create", "--no-deletion-protection")
		test(t, env)
	})
}

// object is one line of JSON.
func object(t *testing.T, line string) map[string]any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(line))
	d.UseNumber()
	var o map[string]any
	require.NoError(t, d.Decode(&o), line)
	return o
}

func writeFile(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

// numbered returns an input of so many records.
func numbered(n int) []byte {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "record %d\n", i+1)
	}
	return []byte(b.String())
}

func gzipped(t testing.TB, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func zstded(t testing.TB, content []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	return w.EncodeAll(content, nil)
}
