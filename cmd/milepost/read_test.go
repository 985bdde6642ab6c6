package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/places"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/sqlitestore"
)

func TestListShowsHowFarEachIsAndWhoHoldsIt(t *testing.T) {
	env := sqliteStore(t)
	threeVersions(t, env, "orders/eu")
	must(t, env, "set", "orders/us", "--processed", "1203870", "--execute")
	must(t, env, "set", "other", "--cursor", "x", "--execute")
	must(t, env, "set", "hidden", "--cursor", "x", "--execute", "--namespace", "elsewhere")
	holding(t, env, "flights", nil, func() {
		out := must(t, env, "list")
		lines := strings.Split(out, "\n")
		assert.Regexp(t, `^NAME +VERSION  CURSOR  PROCESSED  FAILED  SAVED +HELD BY +LEASE$`, lines[0])
		assert.Regexp(t, `^orders/eu +3  three +30 +1  \d+ s ago  – +free$`, lines[1])
		assert.Regexp(t, `^orders/us +1  – +1,203,870 +0  \d+ s ago  – +free$`, lines[2])
		assert.NotContains(t, out, "hidden")
		assert.NotContains(t, out, "flights", "it was never saved, and no save is expected")

		shown := must(t, env, "lease", "show", "flights")
		assert.Regexp(t, `(?m)^status +held$`, shown)
		assert.Regexp(t, `(?m)^held by +nightly on .*\(pid \d+, run `, shown)
		assert.Regexp(t, `(?m)^until +\S+ \(in \d+ s, unless it is renewed\)$`, shown)
		l := object(t, must(t, env, "lease", "show", "flights", "-o", "json"))
		assert.Equal(t, "held", l["status"])
		assert.EqualValues(t, "1", l["epoch"])
		assert.Equal(t, "nightly", l["holder"].(map[string]any)["id"])
		assert.NotEmpty(t, l["expires_at"])
	})
	assert.Equal(t, 2, strings.Count(must(t, env, "list", "orders/", "-o", "json"), "\n"))
	item := object(t, must(t, env, "list", "orders/eu", "-o", "json"))
	assert.Equal(t, "three", item["cursor"])
	assert.Equal(t, "free", item["lease"].(map[string]any)["status"])
	assert.Empty(t, must(t, env, "list", "none"))
	assert.Equal(t, 3, milepost(t, env, "lease", "show", "none").exit)
}

func TestListShowsALiveHolder(t *testing.T) {
	env := sqliteStore(t)
	threeVersions(t, env, "a")
	holding(t, env, "a", nil, func() {
		assert.Regexp(t, `(?m)^a +3  three +30 +1  \d+ s ago  nightly  \d+ s$`, must(t, env, "list"))
		assert.Equal(t, "held", object(t, must(t, env, "list", "-o", "json"))["lease"].(map[string]any)["status"])
		r := milepost(t, env, "reset", "a", "--execute")
		assert.Equal(t, 5, r.exit)
		assert.Contains(t, r.stderr, `"a" is held by nightly`)
		assert.NotContains(t, r.stderr, "milepost batch")
	})
}

func TestLeaseBreakRefusesALiveHolderUnlessNow(t *testing.T) {
	env := sqliteStore(t)
	holding(t, env, "a", nil, func() {
		r := milepost(t, env, "lease", "break", "a", "--reason", "hangs", "--execute")
		assert.Equal(t, 5, r.exit, r.stderr)
		assert.Contains(t, r.stderr, "it is alive: its lease was renewed")

		assert.Equal(t, 4, milepost(t, env, "lease", "break", "a", "--reason", "hangs", "--now", "--if-version", "9", "--execute").exit)
		plan := must(t, env, "lease", "break", "a", "--reason", "hangs", "--now")
		assert.Regexp(t, `^Would end the lease of a, held by nightly on .*:\n  epoch  1  →  2\nNothing was changed. Add --execute to do it.\n$`, plan)
		must(t, env, "lease", "break", "a", "--reason", "hangs", "--now", "--execute")
		l := object(t, must(t, env, "lease", "show", "a", "-o", "json"))
		assert.Equal(t, "free", l["status"])
		assert.EqualValues(t, "2", l["epoch"])
		assert.Equal(t, "hangs", l["reason"])
	})
	assert.Equal(t, 3, milepost(t, env, "lease", "break", "a", "--reason", "hangs", "--execute").exit, "no run holds it")
}

func TestTheSameHolderTakesItsPredecessorsLeaseAtOnce(t *testing.T) {
	env := sqliteStore(t)
	input := writeFile(t, "in", numbered(3))
	elsewhere := func() store.Holder { return store.Holder{Boot: "another", PIDSpace: "another", PIDStart: "1"} }
	holding(t, env, "a", elsewhere, func() {
		for _, args := range [][]string{{}, {"--holder", "nightly"}, {"--holder", "other", "--same-holder"}} {
			r := milepost(t, env, append(append([]string{"batch", "a", input}, args...), "--", "cat")...)
			assert.Equal(t, 5, r.exit, "%v: %s", args, r.stderr)
		}
		assert.Equal(t, string(numbered(3)), must(t, env, "batch", "a", input, "--holder", "nightly", "--same-holder", "--", "cat"))
	})
}

func TestHistoryAndRunsShowWhatHappened(t *testing.T) {
	onEachEngine(t, func(t *testing.T, env []string) {
		input := writeFile(t, "in", numbered(30))
		onPath(t, "fails-at-21")
		milepost(t, env, "batch", "a", input, "--every", "10", "--holder", "first", "--", "fails-at-21")
		must(t, env, "batch", "a", input, "--every", "10", "--holder", "second", "--", "cat")

		lines := strings.Split(must(t, env, "history", "a"), "\n")
		require.Len(t, lines, 6)
		assert.Regexp(t, `^VERSION  CURSOR  PROCESSED  FAILED  SAVED +EPOCH  BY +NOTE$`, lines[0])
		assert.Regexp(t, `^ +4  30 +30 +0  \d+ s ago +2  second  done$`, lines[1])
		assert.Regexp(t, `^ +3  20 +20 +0  \d+ s ago +1  first   error; fails-at-21 failed on records`, lines[2])
		assert.Len(t, strings.Split(must(t, env, "history", "a", "--limit", "2", "-o", "json"), "\n"), 3)

		lines = strings.Split(must(t, env, "runs", "a"), "\n")
		require.Len(t, lines, 4)
		assert.Regexp(t, `^ +2  second  .* 4–4 +30 +30 +0  \d+ s ago +done +–$`, lines[1])
		assert.Regexp(t, `^ +1  first   .* 1–3 +20 +20 +0  \d+ s ago +error +fails-at-21`, lines[2])
		run := object(t, strings.Split(must(t, env, "runs", "a", "-o", "json"), "\n")[1])
		assert.Equal(t, "error", run["ended"])
		assert.EqualValues(t, "1", run["first_version"])

		assert.EqualValues(t, "1", object(t, must(t, env, "get", "a", "--version", "1", "-o", "json"))["version"])
		assert.EqualValues(t, "4", object(t, must(t, env, "get", "a", "--at", "0s", "-o", "json"))["version"])
		assert.Equal(t, 3, milepost(t, env, "get", "a", "--at", "1h").exit)
		assert.Equal(t, 3, milepost(t, env, "get", "a", "--version", "5").exit)
		for _, command := range []string{"get", "history", "runs"} {
			assert.Equal(t, 3, milepost(t, env, command, "none").exit, command)
		}
	})
}

func TestATablePrintsNoControlCharacters(t *testing.T) {
	env := sqliteStore(t)
	must(t, env, "set", "a", "--cursor", "one\x1b[2J\ntwo\u202e\u200b", "--reason", strings.Repeat("é", 300), "--execute")
	for _, command := range [][]string{{"list"}, {"history", "a"}, {"get", "a"}, {"runs", "a"}, {"reset", "a"}} {
		out := must(t, env, command...)
		assert.NotContains(t, out, "\x1b", command)
		assert.NotContains(t, out, "\u202e", command)
		assert.NotContains(t, out, "\u200b", command)
		assert.Contains(t, out, `"one\x1b[2J\ntwo\u202e\u200b"`, command)
	}
}

func TestTimesAreReadAsPeopleWriteThem(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-11-24T02:00:00Z":      time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC),
		"2026-11-24T02:00:00+02:00": time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC),
		"2026-11-24 02:00":          time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC),
		"2026-11-24T02:00:07":       time.Date(2026, 11, 24, 2, 0, 7, 0, time.UTC),
		"2026-11-24":                time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC),
		"90m":                       time.Date(2026, 11, 24, 10, 30, 0, 0, time.UTC),
	} {
		got, err := parseTime("at", text, now)
		require.NoError(t, err, text)
		assert.WithinDuration(t, want, got, 0, text)
	}
}

// holding runs do while another job holds the lease of name. self describes that job's process; nil
// is this process.
func holding(t *testing.T, env []string, name string, self func() store.Holder, do func()) {
	t.Helper()
	path := strings.TrimPrefix(env[0], "MILEPOST_STORE=sqlite:")
	require.True(t, filepath.IsAbs(path))
	s, err := sqlitestore.Open(t.Context(), path, nil)
	require.NoError(t, err)
	defer s.Close()
	var options checkpoint.Options
	options.Lease.Holder.ID = "nightly"
	options.Lease.Duration = 12 * time.Second
	options.Lease.Readings = &lease.Readings{Self: self}
	options.KeepState = true
	session, err := checkpoint.Open[struct{}](t.Context(), checkpoint.Namespace{Store: s}, name, &options)
	require.NoError(t, err)
	do()
	_ = session.Close(context.WithoutCancel(t.Context()), nil) // the lease may have been broken
}

func TestTheDefaultStoreIsPrintedAndIsInTheStateDirectory(t *testing.T) {
	state := t.TempDir()
	env := []string{"MILEPOST_STORE=", "XDG_STATE_HOME=" + state, "HOME=" + state, "LOCALAPPDATA=" + state}
	r := milepost(t, env, "set", "a", "--cursor", "x", "--execute", "-v")
	require.Zero(t, r.exit, r.stderr)
	assert.Contains(t, r.stderr, "milepost: store sqlite:"+state)
	assert.Contains(t, must(t, env, "check"), "store sqlite:"+state)
	files, err := filepath.Glob(state + "/*/milepost.db")
	require.NoError(t, err)
	library, err := filepath.Glob(state + "/Library/*/milepost/milepost.db")
	require.NoError(t, err)
	assert.Len(t, append(files, library...), 1)

	for _, variable := range []string{"AWS_LAMBDA_FUNCTION_NAME=f", "GLUE_VERSION=4.0", "ECS_CONTAINER_METADATA_URI_V4=http://x"} {
		r := milepost(t, append(env, variable), "list")
		assert.Equal(t, 2, r.exit)
		assert.Regexp(t, `this runs on (AWS Lambda|AWS Glue|Amazon ECS), where the default store, a local file, would be lost`, r.stderr)
		must(t, append(env, variable), "list", "--store", fmt.Sprintf("sqlite:%s", storeFile(t, state)))
	}
}

func storeFile(t *testing.T, state string) string {
	t.Helper()
	path, err := places.ThisMachine(func(string) string { return state }).DefaultFile()
	require.NoError(t, err)
	return path
}
