package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/survey"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/memstore"
	"github.com/milepost-dev/milepost/store/sqlitestore"
)

func TestExpectIsKeptBeforeTheFirstRunAndDeletedWithTheCheckpoint(t *testing.T) {
	onEachEngine(t, func(t *testing.T, env []string) {
		out := must(t, env, "expect", "nightly", "--every", "1d", "--grace", "2h", "-o", "json")
		first := object(t, out)
		assert.Equal(t, "86400000", first["every_ms"].(interface{ String() string }).String())
		assert.Equal(t, out, must(t, env, "expect", "nightly", "--every", "24h", "--grace", "2h", "-o", "json"), "setting the same again does not restart it")
		assert.Equal(t, out, must(t, env, "expect", "nightly", "-o", "json"))

		must(t, env, "set", "nightly", "--cursor", "7", "--execute")
		must(t, env, "delete", "nightly")
		assert.Equal(t, out, must(t, env, "expect", "nightly", "-o", "json"), "a plan changes nothing")
		must(t, env, "delete", "nightly", "--execute")
		assert.Contains(t, must(t, env, "expect", "nightly", "-o", "json"), `"every_ms":null`)
		assert.Empty(t, must(t, env, "list"))
	})
}

func TestAPersonTakesOverAnExpectationThatAJobDeclared(t *testing.T) {
	env := sqliteStore(t)
	declare := func(every time.Duration) {
		st, err := sqlitestore.Open(t.Context(), strings.TrimPrefix(env[0], "MILEPOST_STORE=sqlite:"), nil)
		require.NoError(t, err)
		defer st.Close()
		s, err := checkpoint.Open[int](t.Context(), checkpoint.Namespace{Store: st}, "nightly", &checkpoint.Options{Expect: checkpoint.Expectation{Every: every}})
		require.NoError(t, err)
		require.NoError(t, s.Close(t.Context(), nil))
	}
	told := func(args ...string) map[string]any {
		return object(t, must(t, env, append([]string{"expect", "nightly", "-o", "json"}, args...)...))
	}
	declare(time.Hour)
	first := told()
	assert.Regexp(t, "^job ", first["set_by"])
	said := told("--every", "1h")
	assert.NotContains(t, said["set_by"], "job ")
	assert.Equal(t, first["set_at"], said["set_at"], "its time does not restart")
	declare(24 * time.Hour)
	assert.Equal(t, said, told())
	told("--none")
	declare(24 * time.Hour)
	assert.Regexp(t, "^job ", told()["set_by"])
}

func TestStaleListsWhatIsTooOldAndExitsWith11(t *testing.T) {
	env := sqliteStore(t)
	must(t, env, "set", "orders/eu", "--cursor", "7", "--execute")
	assert.Empty(t, must(t, env, "stale", "--max-age", "1h"))
	assert.Empty(t, must(t, env, "stale"), "nothing is expected")
	must(t, env, "expect", "orders/us", "--every", "1h")
	assert.Empty(t, must(t, env, "stale"))

	r := milepost(t, env, "stale", "--max-age", "1ns", "-o", "json")
	assert.Equal(t, 11, r.exit)
	assert.Equal(t, "stale", r.failure(t).Kind)
	assert.Equal(t, 2, strings.Count(r.stdout, "\n"))
	r = milepost(t, env, "stale", "--max-age", "1ns", "orders/eu")
	assert.Equal(t, 11, r.exit)
	assert.Contains(t, r.stdout, "orders/eu")
	assert.NotContains(t, r.stdout, "orders/us")
	assert.Equal(t, 3, milepost(t, env, "stale", "--max-age", "1h", "nothing/here").exit)
}

func TestTheMonitorPublishesOnceForEachLookAndFinishesDeletions(t *testing.T) {
	env := sqliteStore(t)
	must(t, env, "set", "orders/eu", "--cursor", "7", "--execute")
	out := must(t, env, "monitor", "--once")
	assert.Equal(t, 1, strings.Count(out, "MonitorHeartbeat\":1"))
	assert.Equal(t, 1, strings.Count(out, `"OverdueCheckpoints":0`))
	assert.Empty(t, must(t, env, "monitor", "--once", "--metrics", "none"))

	file := filepath.Join(t.TempDir(), "metrics")
	assert.Empty(t, must(t, env, "monitor", "--once", "--metrics", "emf:"+file, "--metrics-level", "detail"))
	lines, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Contains(t, string(lines), `"Checkpoint":"orders/eu"`)
	for _, args := range [][]string{{"--metrics", "statsd"}, {"--metrics-level", "all"}, {"--max-series", "0"}, {"--every", "1ms"}} {
		assert.Equal(t, 2, milepost(t, env, append([]string{"monitor", "--once"}, args...)...).exit, args)
	}
}

func TestStatusPutsTheWorstFirst(t *testing.T) {
	env := sqliteStore(t)
	must(t, env, "set", "a/quiet", "--cursor", "7", "--execute")
	must(t, env, "expect", "z/late", "--every", "1s")
	require.Eventually(t, func() bool { return milepost(t, env, "stale").exit == 11 }, time.Minute, 50*time.Millisecond)
	lines := strings.Split(strings.TrimSpace(must(t, env, "status", "-o", "json")), "\n")
	require.Len(t, lines, 2)
	assert.Equal(t, "z/late", object(t, lines[0])["name"])
	assert.Equal(t, "overdue", object(t, lines[0])["condition"])
	assert.Equal(t, "quiet", object(t, lines[1])["condition"])
	assert.Contains(t, must(t, env, "status"), "overdue")
}

// The survey in virtual time: what a person on call sees of runs that die, fail, or do not advance.
func TestASurveyDistinguishesDeadRunsFailedRunsAndRunsThatDoNotAdvance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(nil)
		look := func(name string, m *survey.Memory) (survey.Item, survey.Movement) {
			items, err := survey.Look(t.Context(), st, store.DefaultNamespace, name)
			require.NoError(t, err)
			require.Len(t, items, 1)
			moves, err := m.Recall(t.Context(), st, items)
			require.NoError(t, err)
			return items[0], moves[0]
		}
		options := &checkpoint.Options{Lease: lease.Options{Duration: 30 * time.Second}}
		s, err := checkpoint.Open[int](t.Context(), checkpoint.Namespace{Store: st}, "stuck", options)
		require.NoError(t, err)
		require.NoError(t, s.Save(t.Context(), "a", 1))
		time.Sleep(time.Minute)
		require.NoError(t, s.Save(t.Context(), "b", 1))
		advanced := time.Now()
		for range 20 {
			time.Sleep(time.Minute)
			require.NoError(t, s.Save(t.Context(), "b", 1))
		}
		item, move := look("stuck", &survey.Memory{})
		assert.Equal(t, survey.Running, item.Condition())
		assert.Less(t, item.Age(), time.Second)
		assert.WithinDuration(t, advanced, move.Advanced, time.Second, "from older versions")

		var m survey.Memory
		_, _ = look("stuck", &m)
		time.Sleep(10 * time.Second)
		s.MarkBatch("c", 1000, 0, nil)
		require.NoError(t, s.Flush(t.Context()))
		_, move = look("stuck", &m)
		assert.InDelta(t, 100, move.Rate, 1)
		assert.WithinDuration(t, time.Now(), move.Advanced, time.Second)
		require.NoError(t, s.Close(t.Context(), assert.AnError))
		item, _ = look("stuck", &m)
		assert.Equal(t, survey.Failing, item.Condition())
		assert.Equal(t, int64(1), item.Failures())

		held, err := lease.Acquire(t.Context(), st, store.Key{Namespace: store.DefaultNamespace, Name: "stuck"}, &lease.Options{Duration: 30 * time.Second})
		require.NoError(t, err)
		item, _ = look("stuck", &m)
		assert.Equal(t, int64(1), item.Failures(), "the current run may still save")
		require.NoError(t, held.Release(t.Context()))
		item, _ = look("stuck", &m)
		assert.Equal(t, int64(2), item.Failures(), "the run saved nothing")
	})
}
