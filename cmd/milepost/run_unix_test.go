//go:build unix

package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/test/processtest"
)

// insideRun returns env for commands under milepost run that call milepost themselves, which is the
// test's binary.
func insideRun(t *testing.T, env []string) []string {
	t.Helper()
	bin := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	wrapper := fmt.Sprintf("#!/bin/sh\n%s=1 exec '%s' \"$@\"\n", asCommand, self)
	require.NoError(t, os.WriteFile(filepath.Join(bin, "milepost"), []byte(wrapper), 0o755))
	return append(env, "PATH="+bin+":"+os.Getenv("PATH"))
}

func TestRunResumesTheCommandFromItsLastMark(t *testing.T) {
	onEachEngine(t, func(t *testing.T, env []string) {
		env = insideRun(t, env)
		out := filepath.Join(t.TempDir(), "out")
		env = append(env, "OUT="+out)
		text := `
cp "$MILEPOST_CHECKPOINT" "$OUT"
echo "$MILEPOST_NAME $MILEPOST_EPOCH $MILEPOST_CURSOR"
for i in 1 2 3; do
  at=$((MILEPOST_CURSOR + i))
  milepost mark --cursor "$at" --processed 10 --failed 1
done
printf '{"at": %d.0}\n' "$at" | milepost save --state -`
		assert.Equal(t, "jobs/a 1 \n", must(t, env, "run", "jobs/a", "--", "sh", "-ec", text))
		checkpoint, err := os.ReadFile(out)
		require.NoError(t, err)
		at := object(t, string(checkpoint))
		assert.EqualValues(t, "0", at["version"])
		assert.Empty(t, at["cursor"])

		assert.Equal(t, "jobs/a 2 3\n", must(t, env, "run", "--keep-state", "jobs/a", "--", "sh", "-ec", text))
		checkpoint, err = os.ReadFile(out)
		require.NoError(t, err)
		assert.Contains(t, string(checkpoint), `"state":{"at": 3.0}}`, "byte for byte")
		assert.Equal(t, "3", object(t, string(checkpoint))["cursor"])

		cp := newest(t, env, "jobs/a")
		assert.Equal(t, "6", cp["cursor"])
		assert.EqualValues(t, "60", cp["processed"])
		assert.EqualValues(t, "6", cp["failed"])
		assert.Equal(t, "done", cp["ended"])
		assert.Equal(t, "free", object(t, must(t, env, "lease", "show", "jobs/a", "-o", "json"))["status"])
	})
}

func TestASaveInsideARunIsDurableWhenItReturns(t *testing.T) {
	env := insideRun(t, sqliteStore(t))
	got := must(t, env, "run", "a", "--", "sh", "-ec", `
milepost save --cursor x --processed 5 -o json
milepost get a -o json
milepost state
echo '{"b":  [1e400]}' >"$MILEPOST_CHECKPOINT.state"
milepost save --state "$MILEPOST_CHECKPOINT.state"
milepost state
milepost state --cursor
milepost state -o json`)
	lines := strings.Split(got, "\n")
	require.Len(t, lines, 6, got)
	assert.Equal(t, `{"version":1}`, lines[0])
	saved := object(t, lines[1])
	assert.Equal(t, "x", saved["cursor"])
	assert.EqualValues(t, "5", saved["processed"])
	assert.Equal(t, []string{`{"b":  [1e400]}`, "x", `{"cursor":"x","state":{"b":  [1e400]}}`, ""}, lines[2:])
}

func TestACommandThatFailsIsSavedWithItsErrorAndStatus(t *testing.T) {
	env := insideRun(t, sqliteStore(t))
	r := milepost(t, env, "run", "a", "-o", "json", "--", "sh", "-c", `milepost mark --cursor 7 --processed 7; exit 3`)
	assert.Equal(t, 9, r.exit)
	f := r.failure(t)
	assert.Equal(t, "job_failed", f.Kind)
	assert.Equal(t, "sh failed: exit status 3", f.Error)
	cp := newest(t, env, "a")
	assert.Equal(t, "7", cp["cursor"])
	assert.Equal(t, "error", cp["ended"])
	assert.Equal(t, "sh failed: exit status 3", cp["last_error"])

	r = milepost(t, env, "run", "a", "--", "sh", "-c", `kill -SEGV $$`)
	assert.Equal(t, 9, r.exit)
	assert.Contains(t, r.stderr, "segmentation fault")
}

func TestTheOutputOfTheCommandIsPassedOnUnchanged(t *testing.T) {
	r := milepost(t, sqliteStore(t), "run", "a", "--", "sh", "-c", `printf 'a\000\377\r\n'; printf 'b\n' >&2`)
	require.Zero(t, r.exit)
	assert.Equal(t, "a\x00\xff\r\n", r.stdout)
	assert.Equal(t, "b\n", r.stderr)
}

func TestTheMarksOfManyProcessesAllCount(t *testing.T) {
	env := insideRun(t, sqliteStore(t))
	must(t, env, "run", "a", "--", "sh", "-ec", `
for i in 1 2 3 4; do
  ( for j in 1 2 3 4 5; do milepost mark --cursor "$i-$j" --processed 3; done ) &
done
wait`)
	assert.EqualValues(t, "60", newest(t, env, "a")["processed"])
}

// startRun starts milepost run in this process, with a command that can wait for files in dir.
func startRun(t *testing.T, env []string, text string, flags ...string) (dir string, done <-chan result) {
	t.Helper()
	dir = t.TempDir()
	env = append(insideRun(t, env), "DIR="+dir)
	ended := make(chan result, 1)
	args := append(append([]string{"run", "a", "--holder", "first"}, flags...), "--", "sh", "-c",
		`wait_for() { while [ ! -e "$DIR/$1" ]; do sleep 0.01; done; }; `+text)
	go func() { ended <- milepost(t, env, args...) }()
	return dir, ended
}

func TestASecondRunOfTheSameNameIsRefused(t *testing.T) {
	env := sqliteStore(t)
	dir, done := startRun(t, env, `: >"$DIR/runs"; wait_for go`)
	processtest.WaitForFile(filepath.Join(dir, "runs"))
	r := milepost(t, env, "run", "a", "-o", "json", "--", "true")
	assert.Equal(t, 5, r.exit)
	assert.Equal(t, "first", r.failure(t).Holder.ID)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o600))
	assert.Zero(t, (<-done).exit)
}

func TestWhenTheLeaseIsLostTheCommandIsEndedAndNothingMoreIsSaved(t *testing.T) {
	onEachEngine(t, func(t *testing.T, env []string) {
		dir, done := startRun(t, env, `
trap 'milepost mark --cursor late' TERM
milepost save --cursor 1; : >"$DIR/runs"; wait_for never`, "--lease-duration", "10s")
		processtest.WaitForFile(filepath.Join(dir, "runs"))
		must(t, env, "lease", "break", "a", "--now", "--reason", "test", "--execute")
		r := <-done
		assert.Equal(t, 7, r.exit, r.stderr)
		cp := newest(t, env, "a")
		assert.Equal(t, "1", cp["cursor"])
		assert.EqualValues(t, "1", cp["version"])
	})
}

func TestACommandThatIgnoresTheLossIsKilledAfterItsGrace(t *testing.T) {
	env := sqliteStore(t)
	dir, done := startRun(t, env, `trap '' TERM; sh -c 'sleep 600' & echo $$ $! >"$DIR/pids.tmp"; mv "$DIR/pids.tmp" "$DIR/pids"; wait_for never`,
		"--lease-duration", "10s", "--grace", "300ms")
	processtest.WaitForFile(filepath.Join(dir, "pids"))
	must(t, env, "lease", "break", "a", "--now", "--reason", "test", "--execute")
	r := <-done
	assert.Equal(t, 7, r.exit, r.stderr)
	processtest.AssertGone(t, filepath.Join(dir, "pids"))
}

func TestARunHandsOverWhenAnotherAsks(t *testing.T) {
	env := sqliteStore(t)
	dir, done := startRun(t, env, `trap 'milepost mark --cursor step; exit 0' TERM; : >"$DIR/runs"; wait_for never`,
		"--yield", "--lease-duration", "10s")
	processtest.WaitForFile(filepath.Join(dir, "runs"))
	assert.Equal(t, "step\n", must(t, env, "run", "a", "--take-over", "--", "sh", "-c", `echo "$MILEPOST_CURSOR"`))
	assert.Equal(t, 10, (<-done).exit)
}

func TestSignalsAreForwardedAndWhatWasMarkedIsSaved(t *testing.T) {
	for _, c := range []struct {
		name, text string
		signal     syscall.Signal
		exit       int
		cursor     string
		ended      string
	}{
		{"it cleans up and fails", `trap 'milepost mark --cursor cleaned; exit 1' TERM`, syscall.SIGTERM, 143, "cleaned", "stopped"},
		{"it dies of it", `true`, syscall.SIGTERM, 143, "1", "stopped"},
		{"it dies of an interrupt", `true`, syscall.SIGINT, 130, "1", "stopped"},
		{"it exits with 0 at the signal", `trap 'milepost mark --cursor end; exit 0' TERM`, syscall.SIGTERM, 143, "end", "stopped"},
		{"it is for the command alone", `trap 'milepost mark --cursor usr1; exit 5' USR1`, syscall.SIGUSR1, 9, "usr1", "error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			env := append(insideRun(t, sqliteStore(t)), "DIR="+dir)
			p := startProcess(t, env, "run", "a", "--", "sh", "-c",
				c.text+`; milepost mark --cursor 1; : >"$DIR/runs"; while :; do sleep 0.01; done`)
			processtest.WaitForFile(filepath.Join(dir, "runs"))
			require.NoError(t, p.cmd.Process.Signal(c.signal))
			assert.Equal(t, c.exit, p.exit(t))
			cp := newest(t, env, "a")
			assert.Equal(t, c.cursor, cp["cursor"])
			assert.Equal(t, c.ended, cp["ended"])
		})
	}
}

func TestASignalWhileARunWaitsForTheLeaseEndsTheWait(t *testing.T) {
	env := sqliteStore(t)
	dir, done := startRun(t, env, `: >"$DIR/runs"; wait_for go`)
	processtest.WaitForFile(filepath.Join(dir, "runs"))
	p := startProcess(t, env, "run", "a", "--wait", "10m", "--", "true")
	p.stderrHas(t, "waiting for first")
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 143, p.exit(t))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o600))
	assert.Zero(t, (<-done).exit)
}

func TestWhatAFailedCommandLeftRunningIsEnded(t *testing.T) {
	dir := t.TempDir()
	env := append(sqliteStore(t), "DIR="+dir)
	r := milepost(t, env, "run", "a", "--", "sh", "-c", `sleep 60 >/dev/null 2>&1 & echo $! >"$DIR/pids"; exit 3`)
	assert.Equal(t, 9, r.exit)
	processtest.AssertGone(t, filepath.Join(dir, "pids"))
}

func TestNoProcessOutlivesAKilledRun(t *testing.T) {
	dir := t.TempDir()
	env := append(insideRun(t, sqliteStore(t)), "DIR="+dir)
	p := startProcess(t, env, "run", "a", "--", "sh", "-c",
		`milepost save --cursor 1; dirname "$MILEPOST_SOCKET" >"$DIR/files"; sh -c 'sleep 60; :' & echo $$ $! >"$DIR/pids.tmp"; mv "$DIR/pids.tmp" "$DIR/pids"; wait`)
	processtest.WaitForKeeper(t, filepath.Join(dir, "pids"))
	require.NoError(t, p.cmd.Process.Kill())
	p.exit(t)
	processtest.AssertGone(t, filepath.Join(dir, "pids"))
	files, err := os.ReadFile(filepath.Join(dir, "files"))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := os.Stat(strings.TrimSpace(string(files)))
		return errors.Is(err, os.ErrNotExist)
	}, time.Minute, 5*time.Millisecond, "the keeper removes it when all processes have ended")
	assert.Equal(t, "1\n", must(t, env, "run", "a", "--", "sh", "-c", `echo "$MILEPOST_CURSOR"`), "at once, on the same machine")
}

func TestWhatWasSentBeforeTheCommandEndedCounts(t *testing.T) {
	env := sqliteStore(t)
	dir, done := startRun(t, env, `echo "$MILEPOST_SOCKET" >"$DIR/tmp"; mv "$DIR/tmp" "$DIR/socket"; wait_for go`)
	processtest.WaitForFile(filepath.Join(dir, "socket"))
	path, err := os.ReadFile(filepath.Join(dir, "socket"))
	require.NoError(t, err)
	conn, err := net.Dial("unix", strings.TrimSpace(string(path)))
	require.NoError(t, err)
	var lines strings.Builder
	lines.WriteString(`{"id":1,"method":"hello","protocol":1}` + "\n")
	for i := range 20_000 {
		fmt.Fprintf(&lines, `{"method":"mark","session":1,"cursor":"%d"}`+"\n", i+1)
	}
	_, err = conn.Write([]byte(lines.String()))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o600))
	require.NoError(t, conn.Close())
	require.Zero(t, (<-done).exit)
	cp := newest(t, env, "a")
	assert.EqualValues(t, "20000", cp["processed"])
	assert.Equal(t, "20000", cp["cursor"])
}

func TestAJobDeclaresWhatIsExpectedOfIt(t *testing.T) {
	onEachEngine(t, func(t *testing.T, env []string) {
		input := writeFile(t, "in", numbered(10))
		for name, start := range map[string][]string{"a": {"run", "a"}, "b": {"batch", "b", input}} {
			must(t, env, append(start, "--holder", "nightly", "--expect-every", "1d", "--expect-grace", "2h", "--", "cat")...)
			expected := object(t, must(t, env, "expect", name, "-o", "json"))
			assert.EqualValues(t, "86400000", expected["every_ms"], name)
			assert.EqualValues(t, "7200000", expected["grace_ms"], name)
			assert.Equal(t, "job nightly", expected["set_by"], name)
			must(t, env, append(start, "--", "cat")...)
			assert.Equal(t, expected, object(t, must(t, env, "expect", name, "-o", "json")), "a run that declares nothing leaves %s's", name)
		}
	})
}

func TestBadCallsOfRunAndOfTheCommandsInsideIt(t *testing.T) {
	env := insideRun(t, sqliteStore(t))
	for _, c := range []struct {
		exit int
		says string
		args []string
	}{
		{2, "put -- before the command: milepost run a -- true", []string{"run", "a", "true"}},
		{2, "the command is missing", []string{"run", "a"}},
		{2, "needs a name", []string{"run", "--", "true"}},
		{2, "executable file not found", []string{"run", "a", "--", "no-such-command"}},
		{2, "cannot be negative", []string{"run", "a", "--grace", "-1s", "--", "true"}},
		{2, "--lease-duration 5ms", []string{"run", "a", "--lease-duration", "5ms", "--", "true"}},
		{2, "give --holder, too", []string{"run", "a", "--same-holder", "--", "true"}},
		{2, "--expect-grace is added to --expect-every", []string{"run", "a", "--expect-grace", "2h", "--", "true"}},
		{2, "at least one second", []string{"run", "a", "--expect-every", "10ms", "--", "true"}},
		{2, "not a valid name", []string{"run", "../a", "--", "true"}},
		{2, "MILEPOST_SOCKET is not set", []string{"mark", "--cursor", "x"}},
		{2, "MILEPOST_SOCKET is not set", []string{"save"}},
		{2, "MILEPOST_SOCKET is not set", []string{"state"}},
		{2, "--cursor is missing", []string{"mark"}},
		{2, "--processed and --failed need it", []string{"save", "--processed", "3"}},
		{9, "not valid JSON", []string{"run", "a", "--", "sh", "-c", "echo '{' | milepost mark --cursor x --state -"}},
		{9, "no such file", []string{"run", "a", "--", "sh", "-c", "milepost mark --cursor x --state /none"}},
		{9, "cannot be negative", []string{"run", "a", "--", "sh", "-c", "milepost mark --cursor x --processed -1"}},
	} {
		r := milepost(t, env, c.args...)
		assert.Equal(t, c.exit, r.exit, "milepost %s: %s", strings.Join(c.args, " "), r.stderr)
		assert.Contains(t, r.stderr, c.says, "milepost %s", strings.Join(c.args, " "))
	}
}

func TestARunInsideNohupKeepsIgnoringTheHangup(t *testing.T) {
	dir := t.TempDir()
	env := append(insideRun(t, sqliteStore(t)), "DIR="+dir)
	cmd := exec.Command("sh", "-c", `trap '' HUP; exec milepost run a -- sh -c ': >"$DIR/runs"; while [ ! -e "$DIR/go" ]; do sleep 0.01; done'`)
	cmd.Env = append(os.Environ(), env...)
	require.NoError(t, cmd.Start())
	processtest.WaitForFile(filepath.Join(dir, "runs"))
	require.NoError(t, cmd.Process.Signal(syscall.SIGHUP))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o600))
	assert.NoError(t, cmd.Wait())
}

func TestALargeStateIsKeptInTheArchive(t *testing.T) {
	onEachEngine(t, func(t *testing.T, env []string) {
		archive := "file:" + t.TempDir()
		random := make([]byte, 300<<10)
		_, _ = rand.Read(random)
		large := hex.EncodeToString(random)
		c := startAgent(t, env)
		session := c.open("a", fmt.Sprintf(`"archive":%q`, archive))
		c.call("save", `"session":%v,"cursor":"1","state":%q`, session, large)
		c.call("close", `"session":%v`, session)
		assert.Equal(t, large, c.call("get", `"name":"a","archive":%q`, archive)["state"])
		without := c.call("get", `"name":"a","archive":"none"`)
		assert.NotContains(t, without, "state")
		assert.NotEmpty(t, without["state_body"], "the object of the state")
		require.Zero(t, c.end())

		env = append(insideRun(t, env), "MILEPOST_ARCHIVE="+archive)
		got := must(t, env, "run", "a", "--", "sh", "-c", "milepost state")
		assert.Equal(t, strconv.Quote(large)+"\n", got)
	})
}

func TestACursorThatIsTooLongForAVariableIsInTheFileOnly(t *testing.T) {
	env := append(insideRun(t, sqliteStore(t)), "MILEPOST_CURSOR=of a run around this one")
	cursor := strings.Repeat("x", 200_000)
	dir, done := startRun(t, env, `echo "$MILEPOST_SOCKET" >"$DIR/tmp"; mv "$DIR/tmp" "$DIR/socket"; wait_for go`)
	processtest.WaitForFile(filepath.Join(dir, "socket"))
	path, err := os.ReadFile(filepath.Join(dir, "socket"))
	require.NoError(t, err)
	conn, err := net.Dial("unix", strings.TrimSpace(string(path)))
	require.NoError(t, err)
	_, err = fmt.Fprintf(conn, `{"id":1,"method":"hello","protocol":1}`+"\n"+`{"method":"mark","session":1,"cursor":%q}`+"\n", cursor)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o600))
	require.Zero(t, (<-done).exit)
	require.Equal(t, cursor, newest(t, env, "a")["cursor"])
	r := milepost(t, env, "run", "a", "--", "sh", "-ec", `echo "${MILEPOST_CURSOR-not set}"; milepost state --cursor`)
	assert.Zero(t, r.exit, r.stderr)
	assert.Equal(t, "not set\n"+cursor+"\n", r.stdout)
	assert.Contains(t, r.stderr, "the cursor has 200,000 bytes and does not fit in MILEPOST_CURSOR, which is not set")
}

func TestWithoutADirectoryForTheSocketNothingIsWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "jobs.db")
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "none"))
	r := milepost(t, []string{"MILEPOST_STORE=sqlite:" + file}, "run", "a", "--", "true")
	assert.Equal(t, 1, r.exit)
	assert.Contains(t, r.stderr, "set TMPDIR to a directory that can be written")
	assert.NoFileExists(t, file)
}
