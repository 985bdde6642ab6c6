package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestANameThatIsOnlyExpectedStopsNoCommandOnAllCheckpoints(t *testing.T) {
	dir := t.TempDir()
	env := []string{"MILEPOST_STORE=sqlite:" + dir + "/jobs.db", "MILEPOST_ARCHIVE=file:" + dir + "/archive"}
	for _, name := range []string{"a", "z"} {
		must(t, env, "set", name, "--cursor", "1", "--execute")
	}
	must(t, env, "expect", "m", "--every", "1h")
	require.Contains(t, must(t, env, "list"), "m")

	r := milepost(t, env, "export")
	assert.Zero(t, r.exit, r.stderr)
	assert.Contains(t, r.stdout, `"checkpoints":2`)
	for _, args := range [][]string{{"archive", "sync"}, {"archive", "verify"}, {"prune", "--execute"}, {"gc", "--execute"}} {
		r := milepost(t, env, args...)
		assert.Zero(t, r.exit, "%v: %s", args, r.stderr)
		assert.NotContains(t, r.stdout+r.stderr, "not found", args)
	}
	assert.Equal(t, 3, milepost(t, env, "export", "m").exit, "it was asked for by name")
}
