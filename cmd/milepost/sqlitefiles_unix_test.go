//go:build unix

package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/internal/kinds"
)

// The log is removed while the second batch is at work, so its save is refused.
func TestABatchEndsOnceTheLogOfItsStoreIsRemovedAndSaysWhatIsLost(t *testing.T) {
	env := sqliteStore(t)
	path := strings.TrimPrefix(env[0], "MILEPOST_STORE=sqlite:")
	must(t, env, "table", "create")
	const job = `cat >>"$OUT"; if [ "$MILEPOST_FIRST" = 11 ]; then rm "$DB-wal" "$DB-shm"; fi`
	out := t.TempDir() + "/out"
	env = append(env, "DB="+path, "OUT="+out)
	input := writeFile(t, "in", numbered(50))
	r := milepost(t, env, "batch", "a", input, "--every", "10", "-o", "json", "--", "sh", "-c", job)
	assert.Equal(t, 1, r.exit, r.stderr)
	f := r.failure(t)
	assert.Equal(t, kinds.Named("error").Name, f.Kind)
	assert.Contains(t, f.Error, fmt.Sprintf("%s-wal was removed or renamed", path))
	assert.Contains(t, f.Error, "only this log had a version 1")

	require.Zero(t, milepost(t, env, "batch", "a", input, "--every", "10", "--", "sh", "-c", "cat >>\"$OUT\"").exit, "the file is as it was")
	assert.Contains(t, must(t, env, "get", "a"), "50")
}
