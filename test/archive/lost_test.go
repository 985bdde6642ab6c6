//go:build linux

package archive_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/test/faulthttp"
)

// worker is a batch's CMD. It appends its input to the ledger. While the gate is shut, it waits in
// the gate's batch and in later batches.
const worker = `cat >> "$LEDGER"; while [ "$MILEPOST_FIRST" -ge "$GATE_FROM" ] && [ -e "$GATE" ]; do sleep 0.02; done`

// job is a batch job of 1,000 records in batches of 100.
type job struct {
	input, ledger, gate string
}

func newJob(t *testing.T) *job {
	t.Helper()
	dir := t.TempDir()
	j := &job{filepath.Join(dir, "input"), filepath.Join(dir, "ledger"), filepath.Join(dir, "gate")}
	var records strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&records, "record-%d\n", i+1)
	}
	require.NoError(t, os.WriteFile(j.input, []byte(records.String()), 0o600))
	require.NoError(t, os.WriteFile(j.ledger, nil, 0o600))
	return j
}

// start starts a run. While the gate is shut, the run waits in the batch that begins with record
// gateFrom.
func (j *job) start(t *testing.T, env []string, gateFrom int, flags ...string) *process {
	t.Helper()
	env = append(env[:len(env):len(env)], "LEDGER="+j.ledger, "GATE="+j.gate, fmt.Sprintf("GATE_FROM=%d", gateFrom))
	args := append([]string{"batch", "flights", j.input, "--every", "100"}, flags...)
	return start(t, env, append(args, "--", "sh", "-c", worker)...)
}

func (j *job) shut(t *testing.T) {
	t.Helper()
	require.NoError(t, os.WriteFile(j.gate, nil, 0o600))
}

func (j *job) open(t *testing.T) {
	t.Helper()
	require.NoError(t, os.Remove(j.gate))
}

// processed returns how often each record was processed.
func (j *job) processed(t *testing.T) map[string]int {
	t.Helper()
	data, err := os.ReadFile(j.ledger)
	require.NoError(t, err)
	counts := map[string]int{}
	for record := range strings.Lines(string(data)) {
		counts[strings.TrimSpace(record)]++
	}
	return counts
}

// content returns a version's fields, except where it is kept and when it expires.
func content(versions []map[string]any) []map[string]any {
	var all []map[string]any
	for _, v := range versions {
		v = maps.Clone(v)
		for _, field := range []string{"archived", "expires_at", "epoch", "stored_size"} {
			delete(v, field)
		}
		all = append(all, v)
	}
	return all
}

func TestALostTableIsRestoredAndAJobFromBeforeIsFenced(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	j := newJob(t)
	j.shut(t)

	// The network records all commits of the living job, and delays its third version's copy and
	// mirror object for a long time.
	var late, lost faulthttp.Late
	p.tableFaults.When(func(r faulthttp.Request) bool {
		return r.Op == "PutItem" && strings.Contains(string(r.Body), `{"S":"HEAD"}`)
	}, late.Copy())
	p.tableFaults.When(func(r faulthttp.Request) bool {
		return r.Op == "PutItem" && strings.Contains(string(r.Body), fmt.Sprintf(`{"S":"V#%020d"}`, 3))
	}, lost.Hold())
	p.bucketFaults.When(func(r faulthttp.Request) bool {
		return r.Method == "PUT" && strings.Contains(r.Path, fmt.Sprintf("/v/default/flights/%020d-", 3))
	}, lost.Hold())
	alive := j.start(t, p.slowly, 301, "--lease-duration", "1m")
	wait(t, "the fourth batch: "+alive.stderr(), func() bool { return len(j.processed(t)) == 400 })
	wait(t, "the copy and the mirror object of version 3", func() bool { return lost.Kept() >= 2 })
	wait(t, "the mirror of two versions", func() bool { return len(keys(t, p.archive, "v/default/flights/")) == 3 })
	before := items(t, must(t, p.env, "history", "flights", "-o", "json"))[1:] // version 3 is lost
	require.Len(t, before, 2)
	epoch := number(t, before[0]["commit_epoch"])

	p.lose()
	refused := j.start(t, p.env, 1001)
	assert.Equal(t, 6, refused.exit(), refused.stderr())
	assert.Contains(t, refused.stderr(), "restore")
	require.Len(t, j.processed(t), 400, "the job did not start from zero")
	plan := must(t, p.env, "archive", "restore")
	assert.Regexp(t, `^Would write version 3 of flights with the content of version 2 of epoch 1 `, plan)
	assert.Contains(t, plan, "Nothing was changed. Add --execute to do it.")
	require.Equal(t, 3, milepost(t, p.env, "get", "flights").exit(), "a plan changes nothing")
	done := item(t, must(t, p.env, "archive", "restore", "--execute", "--reason", "INC-1", "-o", "json"))
	assert.Equal(t, true, done["executed"])

	restored := items(t, must(t, p.env, "history", "flights", "-o", "json"))
	require.Len(t, restored, 3)
	assert.Equal(t, content(before), content(restored[1:]), "every mirrored version is unchanged")
	newest := restored[0]
	for _, field := range []string{"cursor", "processed", "failed", "state", "identity"} {
		assert.Equal(t, before[0][field], newest[field], field)
	}
	assert.EqualValues(t, "2", newest["restored_from"])
	assert.Equal(t, "INC-1", newest["reason"])
	assert.GreaterOrEqual(t, number(t, newest["commit_epoch"]), epoch+1_000_000)

	// The delayed writes of the dead line arrive now.
	for _, writes := range []*faulthttp.Late{&late, &lost} {
		_, err := writes.Deliver(t.Context())
		require.NoError(t, err)
	}
	j.open(t)
	code := alive.exit()
	assert.Contains(t, []int{1, 7}, code, alive.stderr())
	assert.NotContains(t, alive.stderr(), "done")
	t.Logf("the job that lived through it exits with %d: %s", code, alive.stderr())
	assert.Equal(t, content(restored), content(items(t, must(t, p.env, "history", "flights", "-o", "json"))), "no write of the dead line is visible")

	// Nothing blocks the new line, which goes on where the mirror ended.
	again := j.start(t, p.env, 1001, "--wait", "30s")
	require.Zero(t, again.exit(), again.stderr())
	assert.Contains(t, again.stderr(), `"flights" goes on from record 201`)
	counts := j.processed(t)
	require.Len(t, counts, 1000)
	for record, n := range counts {
		assert.LessOrEqual(t, n, 2, record)
	}
	history := items(t, must(t, p.env, "history", "flights", "-o", "json"))
	for i, v := range history {
		assert.EqualValues(t, len(history)-i, number(t, v["version"]), "each version exactly once")
		if number(t, v["version"]) > 2 {
			assert.Greater(t, number(t, v["commit_epoch"]), epoch+1_000_000-1)
		}
	}
	verified := milepost(t, p.env, "archive", "verify", "flights")
	assert.Zero(t, verified.exit(), "leftovers of the dead line are not a finding: %s", verified.stdout())
	first := number(t, history[0]["epoch"])

	// The table is lost and restored again: epochs still rise.
	p.lose()
	must(t, p.env, "archive", "restore", "flights", "--execute")
	second := item(t, must(t, p.env, "get", "flights", "-o", "json"))
	assert.GreaterOrEqual(t, number(t, second["epoch"]), first+1_000_000)
	assert.Equal(t, "1000", second["cursor"])
	twice := milepost(t, p.env, "archive", "restore", "flights", "--execute")
	assert.Equal(t, 6, twice.exit(), "nothing is left to restore: %s", twice.stderr())
}

func TestATableBehindItsMirrorIsLedOnFromTheMirror(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for i := range 3 {
		must(t, p.env, "set", "flights", "--cursor", fmt.Sprint(i+1), "--execute")
	}
	p.lose() // and what is there instead is not of the mirror's history
	old := append(p.env[:len(p.env):len(p.env)], "MILEPOST_ARCHIVE=none")
	must(t, old, "set", "flights", "--cursor", "1", "--execute")

	verified := milepost(t, p.env, "archive", "verify", "flights", "-o", "json")
	assert.Equal(t, 1, verified.exit())
	assert.Contains(t, verified.stdout(), `"kind":"ahead"`)
	assert.Equal(t, 6, milepost(t, p.env, "archive", "restore", "flights", "--execute").exit())
	job := milepost(t, p.env, "set", "flights", "--cursor", "2", "--execute")
	assert.Equal(t, 1, job.exit())
	assert.Contains(t, job.stderr(), "the store has gone backward, or the archive is another store's")
	assert.Equal(t, 6, milepost(t, p.env, "archive", "restore", "flights", "--behind", "--execute").exit(), "two histories")
	must(t, p.env, "archive", "restore", "flights", "--behind", "--if-version", "1", "--execute")
	assert.Equal(t, "3", item(t, must(t, p.env, "get", "flights", "-o", "json"))["cursor"])
}

func TestARestoreGoesBackToATime(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	saved := func(v map[string]any) time.Time {
		at, err := time.Parse(time.RFC3339Nano, v["saved_at"].(string))
		require.NoError(t, err)
		return at
	}
	// The service's clock has whole seconds, so times are only ordered to the second.
	var history []map[string]any
	var at time.Time
	wait(t, "a save in a later second than the one before", func() bool {
		must(t, p.env, "set", "flights", "--cursor", fmt.Sprint(len(history)+1), "--execute")
		history = items(t, must(t, p.env, "history", "flights", "-o", "json"))
		at = saved(history[0]).Truncate(time.Second).Add(-time.Millisecond)
		return len(history) > 2 && saved(history[1]).Before(at)
	})
	p.lose()
	must(t, p.env, "archive", "restore", "flights", "--at", at.Format(time.RFC3339Nano), "--execute")
	cp := item(t, must(t, p.env, "get", "flights", "-o", "json"))
	assert.Equal(t, history[1]["cursor"], cp["cursor"])
	assert.EqualValues(t, len(history)+1, number(t, cp["version"]))
	assert.Equal(t, 3, milepost(t, p.env, "archive", "restore", "never", "--execute").exit())
}
