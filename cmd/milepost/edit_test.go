package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// threeVersions makes a checkpoint by hand, at versions 1, 2 and 3.
func threeVersions(t *testing.T, env []string, name string) {
	t.Helper()
	state := writeFile(t, "state.json", []byte(`{"sum": 9223372036854775807, "rate": 0.1, "huge": 1e400, "none": null}`))
	must(t, env, "set", name, "--cursor", "one", "--processed", "10", "--state", state, "--execute")
	must(t, env, "set", name, "--cursor", "two", "--processed", "20", "--failed", "1", "--execute")
	must(t, env, "set", name, "--cursor", "three", "--processed", "30", "--reason", "INC-1", "--execute")
}

func TestSetKeepsWhatIsNotGivenAndTheExactBytesOfAState(t *testing.T) {
	onEachEngine(t, func(t *testing.T, env []string) {
		threeVersions(t, env, "orders/eu")
		cp := object(t, must(t, env, "get", "orders/eu", "-o", "json"))
		for field, want := range map[string]any{
			"namespace": "default", "name": "orders/eu", "cursor": "three", "last_error": "", "reason": "INC-1",
		} {
			assert.Equal(t, want, cp[field], field)
		}
		for field, want := range map[string]string{
			"version": "3", "epoch": "3", "commit_epoch": "3", "processed": "30", "failed": "1",
		} {
			assert.EqualValues(t, want, cp[field], field)
		}
		for _, field := range []string{"commit_id", "saved_at"} {
			assert.NotEmpty(t, cp[field], field)
		}
		line := must(t, env, "get", "orders/eu", "-o", "json")
		assert.Contains(t, line, `"sum":9223372036854775807,"rate":0.1,"huge":1e400,"none":null`)
		assert.Equal(t, 1, strings.Count(line, "\n"))
	})
}

func TestAPlanChangesNothing(t *testing.T) {
	onEachEngine(t, func(t *testing.T, env []string) {
		threeVersions(t, env, "a")
		before := must(t, env, "history", "a", "-o", "json")
		for _, args := range [][]string{
			{"rollback", "a", "--to", "1"}, {"reset", "a"}, {"set", "a", "--cursor", "x"}, {"delete", "a"},
			{"pin", "a", "--label", "x"}, {"unpin", "a", "--version", "2"}, {"set", "new", "--cursor", "x"},
		} {
			out := must(t, env, args...)
			assert.Contains(t, out, "Would ", args)
			assert.Contains(t, out, "Nothing was changed. Add --execute to do it.", args)
			plan := object(t, must(t, env, append(args, "-o", "json")...))
			assert.Equal(t, args[0], plan["action"])
			assert.Equal(t, false, plan["executed"])
		}
		assert.Equal(t, before, must(t, env, "history", "a", "-o", "json"))
		assert.Equal(t, 3, milepost(t, env, "get", "new").exit)
	})
}

func TestRollbackShowsAndWritesTheContentOfAnOlderVersion(t *testing.T) {
	onEachEngine(t, func(t *testing.T, env []string) {
		threeVersions(t, env, "orders/eu")
		plan := must(t, env, "rollback", "orders/eu", "--to", "1")
		assert.Regexp(t, `^Would write version 4 of orders/eu with the content of version 1 \(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\):\n`+
			`  cursor     three  →  one\n  processed  30     →  10\n  failed     1      →  0\n`+
			`Nothing was changed. Add --execute to do it.\nAdd --if-version 3 to do it only if nothing is saved until then.\n$`, plan)
		out := must(t, env, "rollback", "orders/eu", "--to", "1", "--if-version", "3", "--reason", "bad prices", "--execute")
		assert.Contains(t, out, "Wrote version 4 of orders/eu")
		cp := object(t, must(t, env, "get", "orders/eu", "-o", "json"))
		assert.Equal(t, "one", cp["cursor"])
		assert.Equal(t, "bad prices", cp["reason"])
		assert.EqualValues(t, "1", cp["restored_from"])
		assert.Contains(t, must(t, env, "history", "orders/eu"), "content of version 1; bad prices")
	})
}

func TestIfVersionRefusesAChangeOfAnotherVersion(t *testing.T) {
	onEachEngine(t, func(t *testing.T, env []string) {
		threeVersions(t, env, "a")
		for _, args := range [][]string{
			{"rollback", "a", "--to", "1"}, {"reset", "a"}, {"set", "a", "--cursor", "x"}, {"delete", "a"},
			{"pin", "a", "--label", "x"}, {"unpin", "a", "--version", "2"},
		} {
			r := milepost(t, env, append(args, "--if-version", "2", "--execute", "-o", "json")...)
			assert.Equal(t, 4, r.exit, r.stderr)
			f := r.failure(t)
			assert.Equal(t, "version_conflict", f.Kind)
			require.NotNil(t, f.Version)
			assert.EqualValues(t, 3, *f.Version)
			assert.Equal(t, 2, milepost(t, env, append(args, "--if-version", "0")...).exit)
		}
		must(t, env, "reset", "a", "--if-version", "3", "--execute")
	})
}

func TestResetAndDeleteStartFromScratchAndContinueTheNumbers(t *testing.T) {
	onEachEngine(t, func(t *testing.T, env []string) {
		threeVersions(t, env, "a")
		must(t, env, "reset", "a", "--execute")
		cp := object(t, must(t, env, "get", "a", "-o", "json"))
		assert.EqualValues(t, "4", cp["version"])
		assert.Empty(t, cp["cursor"])
		assert.Nil(t, cp["state"])

		assert.Contains(t, must(t, env, "delete", "a", "--execute"), "Deleted a: version 4 ")
		assert.Equal(t, 3, milepost(t, env, "get", "a").exit)
		assert.Equal(t, 3, milepost(t, env, "get", "a", "--version", "2").exit)
		assert.Equal(t, 3, milepost(t, env, "delete", "a", "--execute").exit)
		assert.Empty(t, must(t, env, "list"))

		must(t, env, "set", "a", "--cursor", "again", "--execute")
		cp = object(t, must(t, env, "get", "a", "-o", "json"))
		assert.EqualValues(t, "6", cp["version"])
	})
}

func TestPinAndUnpinChangeALabel(t *testing.T) {
	onEachEngine(t, func(t *testing.T, env []string) {
		threeVersions(t, env, "a")
		out := must(t, env, "pin", "a", "--version", "2", "--label", "before", "--reason", "INC-2", "--execute")
		assert.Contains(t, out, `Changed version 2 of a: it never expires, and its label is "before (INC-2)".`)
		pinned := object(t, must(t, env, "get", "a", "--version", "2", "-o", "json"))
		assert.Equal(t, "before (INC-2)", pinned["label"])
		assert.Nil(t, pinned["expires_at"])
		plan := object(t, must(t, env, "unpin", "a", "--version", "2", "--reason", "INC-3", "-o", "json"))
		assert.Equal(t, "INC-3", plan["reason"])
		out = must(t, env, "unpin", "a", "--version", "2", "--reason", "INC-3", "--execute")
		assert.Regexp(t, `^Changed version 2 of a: it has no label, .*\(INC-3\)\.\n$`, out)
		pinned = object(t, must(t, env, "get", "a", "--version", "2", "-o", "json"))
		assert.Nil(t, pinned["label"])
		assert.Equal(t, 3, milepost(t, env, "pin", "a", "--version", "9", "--label", "x", "--execute").exit)
		assert.Equal(t, 2, milepost(t, env, "pin", "a", "--label", strings.Repeat("x", 300), "--execute").exit)
	})
}

func TestSetTakesWhatGetPrints(t *testing.T) {
	onEachEngine(t, func(t *testing.T, env []string) {
		threeVersions(t, env, "a")
		file := writeFile(t, "a.json", []byte(must(t, env, "get", "a", "-o", "json")))
		must(t, env, "set", "b", "--from", file, "--cursor", "other", "--execute")
		a, b := object(t, must(t, env, "get", "a", "-o", "json")), object(t, must(t, env, "get", "b", "-o", "json"))
		for _, field := range []string{"processed", "failed", "state"} {
			assert.Equal(t, a[field], b[field], field)
		}
		assert.Equal(t, "other", b["cursor"])
	})
}

func TestBadCallsOfTheOtherCommandsExitWith2(t *testing.T) {
	env := sqliteStore(t)
	threeVersions(t, env, "a")
	notJSON := writeFile(t, "x", []byte("{"))
	for name, args := range map[string][]string{
		"no name":              {"get"},
		"two names":            {"get", "a", "b"},
		"both version and at":  {"get", "a", "--version", "1", "--at", "1h"},
		"version 0":            {"get", "a", "--version", "0"},
		"bad time":             {"get", "a", "--at", "yesterday"},
		"rollback to nothing":  {"rollback", "a"},
		"rollback to -1":       {"rollback", "a", "--to", "-1"},
		"set nothing":          {"set", "a"},
		"negative count":       {"set", "a", "--processed", "-1"},
		"state is not JSON":    {"set", "a", "--state", notJSON},
		"two standard inputs":  {"set", "a", "--from", "-", "--state", "-"},
		"pin without label":    {"pin", "a"},
		"unpin no version":     {"unpin", "a"},
		"break without reason": {"lease", "break", "a"},
		"lease alone":          {"lease"},
		"table alone":          {"table"},
		"two prefixes":         {"list", "a", "b"},
		"negative limit":       {"history", "a", "--limit", "-1"},
		"unknown command":      {"gte", "a"},
		"bad name":             {"get", "a//b"},
		"bad namespace":        {"list", "--namespace", ""},
		"region missing":       {"list", "--store", "dynamodb://milepost"},
		"unknown profile":      {"list", "--store", "dynamodb://milepost?region=x&profile=none-such"},
		"unknown flag":         {"list", "--frob"},
		"argument for check":   {"check", "x"},
		"argument for version": {"version", "x"},
		"unknown output":       {"version", "-o", "yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, variable := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"} {
				t.Setenv(variable, "")
			}
			t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
			r := milepost(t, env, args...)
			assert.Equal(t, 2, r.exit, r.stderr)
			assert.True(t, strings.HasPrefix(r.stderr, "milepost: "), r.stderr)
			assert.Empty(t, r.stdout)
		})
	}
}

func TestReadingDoesNotMakeAMissingStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.db")
	for _, args := range [][]string{{"list"}, {"get", "a"}, {"check"}, {"rollback", "a", "--to", "1", "--execute"}, {"set", "a", "--cursor", "x"}} {
		r := milepost(t, nil, append(args, "--store", "sqlite:"+path, "-o", "json")...)
		assert.Equal(t, 1, r.exit, args)
		assert.Equal(t, "no_table", r.failure(t).Kind, args)
	}
	_, err := os.Stat(path)
	assert.ErrorIs(t, err, os.ErrNotExist)
}
