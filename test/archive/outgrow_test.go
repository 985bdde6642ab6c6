//go:build linux

package archive_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAJobMovesFromSQLiteToDynamoDBAndGoesOn(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	j := newJob(t)
	small := append(p.env[:len(p.env):len(p.env)], "MILEPOST_STORE=sqlite:"+filepath.Join(t.TempDir(), "jobs.db"),
		"MILEPOST_ARCHIVE=file:"+filepath.Join(t.TempDir(), "archive"))
	must(t, small, "set", "other/large", "--cursor", "x", "--state", largeState(t), "--content-type", "application/octet-stream", "--execute")

	j.shut(t)
	first := j.start(t, small, 401)
	wait(t, "the fifth batch", func() bool { return len(j.processed(t)) == 500 })
	require.NoError(t, first.cmd.Process.Signal(syscall.SIGTERM))
	j.open(t)
	require.Equal(t, 143, first.exit(), first.stderr())
	must(t, small, "pin", "flights", "--label", "moved from here", "--version", "3", "--execute")
	before := items(t, must(t, small, "history", "flights", "-o", "json"))

	file := filepath.Join(t.TempDir(), "jobs.jsonl")
	must(t, small, "export", "--to", file)
	exported, err := os.Open(file)
	require.NoError(t, err)
	defer exported.Close()
	plan := must(t, p.env, "import", file)
	assert.Contains(t, plan, "Would import 5 versions of flights: the newest is at cursor 500, 500 processed")
	assert.Contains(t, plan, "Would import 1 version of other/large")
	require.Equal(t, 3, milepost(t, p.env, "get", "flights").exit(), "a plan changes nothing")
	must(t, p.env, "import", file, "--execute")

	after := items(t, must(t, p.env, "history", "flights", "-o", "json"))
	require.Len(t, after, len(before))
	for i := range before {
		for _, field := range []string{"version", "cursor", "processed", "failed", "state", "saved_at", "identity", "last_error", "label"} {
			assert.Equal(t, before[i][field], after[i][field], "%s of version %v", field, before[i]["version"])
		}
	}
	for _, env := range [][]string{small, p.env} {
		must(t, env, "get", "other/large", "--state-to", file)
		written, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, noise(large, 7), written)
	}

	second := j.start(t, p.env, 1001)
	require.Zero(t, second.exit(), second.stderr())
	assert.Contains(t, second.stderr(), `"flights" goes on from record 501, version 5`)
	counts := j.processed(t)
	require.Len(t, counts, 1000)
	for record, n := range counts {
		assert.Equal(t, 1, n, record)
	}
	assert.Zero(t, milepost(t, p.env, "archive", "verify").exit())

	again := milepost(t, p.env, "import", file, "--execute")
	assert.NotZero(t, again.exit(), "an import does not overwrite a checkpoint that has gone on")
	assert.Equal(t, "1000", item(t, must(t, p.env, "get", "flights", "-o", "json"))["cursor"])
}

func TestAnExportGoesThroughAPipe(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	must(t, p.env, "set", "a", "--cursor", "1", "--execute")
	must(t, p.env, "set", "a", "--cursor", "2", "--execute")
	out := must(t, p.env, "export", "a")
	require.NotEmpty(t, out)
	file := filepath.Join(t.TempDir(), "a.jsonl")
	require.NoError(t, os.WriteFile(file, []byte(out), 0o600))
	small := append(p.env[:len(p.env):len(p.env)], "MILEPOST_STORE=sqlite:"+filepath.Join(t.TempDir(), "jobs.db"), "MILEPOST_ARCHIVE=none")
	must(t, small, "import", file, "--execute")
	assert.Equal(t, "2", item(t, must(t, small, "get", "a", "-o", "json"))["cursor"])
	must(t, small, "import", file, "--namespace", "elsewhere", "--execute")
	assert.Equal(t, "2", item(t, must(t, small, "get", "a", "--namespace", "elsewhere", "-o", "json"))["cursor"])

	require.NoError(t, os.WriteFile(file, []byte(out[:len(out)-20]), 0o600))
	cut := milepost(t, small, "import", file, "--namespace", "cut", "--execute")
	assert.Equal(t, 1, cut.exit(), cut.stderr())
}

func largeState(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state")
	require.NoError(t, os.WriteFile(path, noise(large, 7), 0o600))
	return path
}
