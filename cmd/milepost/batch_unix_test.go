//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
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

// collect is a CMD that keeps each batch in a separate file, whole or not at all.
const collect = `cat >"$OUT/$MILEPOST_FIRST.tmp" && mv "$OUT/$MILEPOST_FIRST.tmp" "$OUT/$(printf %09d "$MILEPOST_FIRST")"`

// collected returns what collect has kept, in order.
func collected(t *testing.T, out string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(out, "[0-9]*[0-9]"))
	require.NoError(t, err)
	var all bytes.Buffer
	for _, file := range files {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		all.Write(content)
	}
	return all.String()
}

func TestBatchProcessesEveryRecordOnce(t *testing.T) {
	onEachEngine(t, func(t *testing.T, env []string) {
		content := numbered(2345)
		out := t.TempDir()
		input := writeFile(t, "in.zst", zstded(t, content))
		r := milepost(t, append(env, "OUT="+out), "batch", "jobs/a", input, "--every", "100", "-v", "--", "sh", "-c", collect)
		require.Zero(t, r.exit, r.stderr)
		assert.Equal(t, string(content), collected(t, out))
		assert.Contains(t, r.stderr, "jobs/a  2,345 records  done  version 24\n")
		assert.Contains(t, r.stderr, "milepost: store ")
		assert.Empty(t, r.stdout)

		cp := object(t, must(t, env, "get", "jobs/a", "-o", "json"))
		assert.Equal(t, "2345", cp["cursor"])
		assert.EqualValues(t, "2345", cp["processed"])
		assert.EqualValues(t, "24", cp["version"])
		assert.Equal(t, "done", cp["ended"])

		again := milepost(t, append(env, "OUT="+out), "batch", "jobs/a", input, "--", "sh", "-c", "exit 1")
		assert.Zero(t, again.exit, "nothing is left to do: %s", again.stderr)
	})
}

func TestVerboseEndsWithWhatItCostOnDynamoDB(t *testing.T) {
	onEachEngine(t, func(t *testing.T, env []string) {
		r := milepost(t, env, "batch", "a", writeFile(t, "in", numbered(20)), "--every", "10", "-v", "--", "cat")
		require.Zero(t, r.exit, r.stderr)
		if strings.Contains(env[0], "dynamodb:") {
			assert.Regexp(t, `\nmilepost: cost \d+ requests, \d+\.\d write units, \d+\.\d read units\n$`, r.stderr)
		}
		assert.Equal(t, string(numbered(20)), r.stdout, "the command's output is passed on unchanged")
	})
}

func TestTheCommandOfABatchGetsItsPlaceInTheInput(t *testing.T) {
	env := sqliteStore(t)
	input := writeFile(t, "in", numbered(25))
	echo := `echo "$MILEPOST_NAME $MILEPOST_EPOCH $MILEPOST_VERSION $MILEPOST_FIRST $MILEPOST_LAST"; [ "$MILEPOST_FIRST" != 21 ]`
	r := milepost(t, env, "batch", "a/b", input, "--every", "10", "--", "sh", "-c", echo)
	assert.Equal(t, "a/b 1 1 1 10\na/b 1 2 11 20\na/b 1 3 21 25\n", r.stdout)
	require.Equal(t, 9, r.exit)
	// The error was saved as version 3.
	r = milepost(t, env, "batch", "a/b", input, "--every", "10", "--", "sh", "-c", echo)
	assert.Equal(t, "a/b 2 4 21 25\n", r.stdout)
}

func TestAFailedBatchSavesItsErrorAndRunsAgain(t *testing.T) {
	onEachEngine(t, func(t *testing.T, env []string) {
		content := numbered(50)
		out := t.TempDir()
		env = append(env, "OUT="+out)
		input := writeFile(t, "in", content)
		r := milepost(t, env, "batch", "a", input, "--every", "10", "-o", "json", "--",
			"sh", "-c", `[ "$MILEPOST_FIRST" != 31 ] || exit 3; `+collect)
		require.Equal(t, 9, r.exit, r.stderr)
		f := r.failure(t)
		assert.Equal(t, "job_failed", f.Kind)
		assert.Contains(t, f.Error, "failed on records 31 to 40: exit status 3")

		cp := object(t, must(t, env, "get", "a", "-o", "json"))
		assert.Equal(t, "30", cp["cursor"])
		assert.Equal(t, "error", cp["ended"])
		assert.Contains(t, cp["last_error"], "exit status 3")
		assert.Equal(t, "free", object(t, must(t, env, "lease", "show", "a", "-o", "json"))["status"])

		must(t, env, "batch", "a", input, "--every", "10", "--", "sh", "-c", collect)
		assert.Equal(t, string(content), collected(t, out))
		cp = object(t, must(t, env, "get", "a", "-o", "json"))
		assert.EqualValues(t, "50", cp["processed"])
		assert.Empty(t, cp["last_error"])
	})
}

func TestRetriesRunABatchAgainFromItsFirstRecord(t *testing.T) {
	out := t.TempDir()
	r := milepost(t, append(sqliteStore(t), "OUT="+out), "batch", "a", writeFile(t, "in", numbered(20)), "--every", "10", "--retries", "1", "--",
		"sh", "-c", `if [ ! -e "$OUT/failed" ]; then head -n 3 >"$OUT/failed"; exit 1; fi; `+collect)
	require.Zero(t, r.exit, r.stderr)
	assert.Equal(t, string(numbered(20)), collected(t, out))
	assert.Contains(t, r.stderr, "failed on records 1 to 10: exit status 1; again in ")

	r = milepost(t, sqliteStore(t), "batch", "a", writeFile(t, "in", numbered(20)), "--retries", "1", "--", "sh", "-c", "exit 4")
	assert.Equal(t, 9, r.exit)
	assert.Contains(t, r.stderr, "exit status 4 (the last of 2 attempts)")
}

func TestASecondRunIsRefusedAndTheErrorNamesTheFirst(t *testing.T) {
	onEachEngine(t, func(t *testing.T, env []string) {
		input := writeFile(t, "in", numbered(20))
		first := startBatch(t, env, input, nil)
		r := milepost(t, env, "batch", "a", input, "--", "cat")
		require.Equal(t, 5, r.exit, r.stderr)
		assert.Regexp(t, `(?s)^milepost: "a" is held by first \(pid \d+, run .*\) for \d+ s, until \d\d:\d\d:\d\dZ\n`+
			`          its lease was renewed \d+ s ago\n`+
			`          wait for it:     milepost batch --wait 10m …\n`+
			`          take over:       milepost batch --take-over …   \(if it runs with --yield\)\n`+
			`          end its lease:   milepost lease break a --reason "…" --execute\n$`, strings.ReplaceAll(r.stderr, " on "+hostname(), ""))
		assert.Empty(t, r.stdout)

		f := milepost(t, env, "batch", "a", input, "-o", "json", "--", "cat").failure(t)
		assert.Equal(t, "lease_held", f.Kind)
		assert.Equal(t, "first", f.Holder.ID)
		assert.Equal(t, os.Getpid(), f.Holder.PID)
		assert.NotNil(t, f.Until)

		waiting := make(chan result, 1)
		go func() { waiting <- milepost(t, env, "batch", "a", input, "--wait", "1m", "--", "cat") }()
		first.release()
		assert.Zero(t, first.wait().exit)
		r = <-waiting
		assert.Zero(t, r.exit, r.stderr)
	})
}

func TestASignalLetsTheBatchInHandFinishAndReleases(t *testing.T) {
	for _, test := range []struct {
		signal  syscall.Signal
		records int // ten in each batch
		exit    int
		ended   string
	}{
		{syscall.SIGTERM, 50, 143, "stopped"},
		{syscall.SIGINT, 50, 130, "stopped"},
		{syscall.SIGTERM, 10, 0, "done"},
	} {
		t.Run(fmt.Sprintf("%v in the first of %d", test.signal, test.records), func(t *testing.T) {
			stopped := func() (version any) {
				env := sqliteStore(t)
				first := startBatch(t, env, writeFile(t, "in", numbered(test.records)), nil)
				require.NoError(t, syscall.Kill(os.Getpid(), test.signal))
				first.release()
				r := first.wait()
				assert.Equal(t, test.exit, r.exit, r.stderr)
				cp := object(t, must(t, env, "get", "a", "-o", "json"))
				assert.Equal(t, "10", cp["cursor"])
				assert.Equal(t, test.ended, cp["ended"])
				assert.Empty(t, cp["last_error"])
				assert.Equal(t, "free", object(t, must(t, env, "lease", "show", "a", "-o", "json"))["status"])
				return cp["version"]
			}
			version := stopped()
			for try := 1; try < 5 && version == json.Number("2"); try++ {
				version = stopped() // the signal came after the batch was saved
			}
			assert.EqualValues(t, "1", version)
		})
	}
}

func TestAfterItsGraceTheBatchInHandIsGivenUp(t *testing.T) {
	env := sqliteStore(t)
	first := startBatch(t, env, writeFile(t, "in", numbered(50)), []string{"--grace", "10ms"})
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
	r := first.wait()
	assert.Equal(t, 143, r.exit, r.stderr)
	cp := object(t, must(t, env, "get", "a", "-o", "json"))
	assert.Empty(t, cp["cursor"])
	assert.Equal(t, "stopped", cp["ended"])
}

func TestASecondSignalEndsTheBatchInHandAtOnce(t *testing.T) {
	caught := make(chan os.Signal, 1) // the last signal may come when the command listens no more
	signal.Notify(caught, syscall.SIGINT)
	defer signal.Stop(caught)
	env := sqliteStore(t)
	first := startBatch(t, env, writeFile(t, "in", numbered(50)), []string{"--grace", "10m"})
	for { // two signals at the same moment count as one
		require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGINT))
		select {
		case r := <-first.done:
			assert.Equal(t, 130, r.exit, r.stderr)
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestASignalWhileItWaitsForTheLeaseEndsTheWait(t *testing.T) {
	env := sqliteStore(t)
	input := writeFile(t, "in", numbered(20))
	first := startBatch(t, env, input, nil)
	waiting := startProcess(t, env, "batch", "a", input, "--wait", "10m", "--", "cat")
	waiting.stderrHas(t, "waiting for first")
	require.NoError(t, waiting.cmd.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 143, waiting.exit(t))
	first.release()
	assert.Zero(t, first.wait().exit)
}

func TestAFencedRunExitsWith7AndSavesNothing(t *testing.T) {
	onEachEngine(t, func(t *testing.T, env []string) {
		first := startBatch(t, env, writeFile(t, "in", numbered(50)), []string{"--lease-duration", "10s"})
		must(t, env, "lease", "break", "a", "--reason", "a test", "--now", "--execute")
		r := first.wait() // its command has ended: no one can release it
		assert.Equal(t, 7, r.exit, r.stderr)
		assert.Equal(t, 3, milepost(t, env, "get", "a").exit)
	})
}

func TestAHandoffExitsWith10AndTheOtherRunContinues(t *testing.T) {
	onEachEngine(t, func(t *testing.T, env []string) {
		out := t.TempDir()
		env = append(env, "OUT="+out)
		content := numbered(2000)
		input := writeFile(t, "in", content)
		first := make(chan result, 1)
		go func() {
			first <- milepost(t, env, "batch", "a", input, "--every", "2", "--yield", "--lease-duration", "10s", "--holder", "first", "--",
				"sh", "-c", `sleep 0.05; `+collect)
		}()
		processtest.WaitForFile(filepath.Join(out, "000000001"))
		second := milepost(t, env, "batch", "a", input, "--every", "2000", "--take-over", "--lease-duration", "10s", "--holder", "second", "--",
			"sh", "-c", collect)
		assert.Equal(t, 10, (<-first).exit)
		require.Zero(t, second.exit, second.stderr)
		assert.Contains(t, second.stderr, "waiting for first")
		assert.Equal(t, string(content), collected(t, out))
	})
}

func TestAnotherInputExitsWith6(t *testing.T) {
	env := sqliteStore(t)
	input := writeFile(t, "in", numbered(100))
	must(t, env, "batch", "a", input, "--", "cat")
	other := writeFile(t, "other", numbered(99))
	r := milepost(t, env, "batch", "a", other, "--", "cat")
	assert.Equal(t, 6, r.exit)
	assert.Contains(t, r.stderr, input)
	assert.Contains(t, r.stderr, other)
	assert.Contains(t, r.stderr, "milepost reset a --execute")
	r = milepost(t, env, "batch", "a", other, "-o", "json", "--", "cat")
	refused := object(t, r.stderr)
	assert.Equal(t, []any{"refused", json.Number("6"), "default", "a"}, []any{refused["kind"], refused["exit"], refused["namespace"], refused["name"]})
	assert.Equal(t, []any{"input", input, other}, []any{refused["what"], refused["have"], refused["want"]})
	assert.Contains(t, refused["hint"], "milepost reset a --execute")

	require.NoError(t, os.WriteFile(input, numbered(110), 0o600))
	assert.Equal(t, "record 101\n", must(t, env, "batch", "a", input, "--every", "10", "--", "head", "-n", "1"), "the input has only grown")
	require.NoError(t, os.WriteFile(input, append([]byte("Record"), numbered(120)[6:]...), 0o600))
	assert.Equal(t, 6, milepost(t, env, "batch", "a", input, "--verify-input", "--", "cat").exit)
}

func TestARefusalAsJSONHasAllItsFields(t *testing.T) {
	env := sqliteStore(t)
	input := writeFile(t, "in", numbered(10))
	must(t, env, "batch", "a", input, "--", "cat")
	r := milepost(t, env, "batch", "a", input, "--csv", "-o", "json", "--", "cat")
	assert.Equal(t, 6, r.exit)
	refused := object(t, r.stderr)
	assert.Equal(t, []any{"refused", json.Number("6"), "default", "a"}, []any{refused["kind"], refused["exit"], refused["namespace"], refused["name"]})
	assert.Equal(t, []any{"identity", "milepost batch, lines", "milepost batch, csv"}, []any{refused["what"], refused["have"], refused["want"]})
	assert.NotEmpty(t, refused["hint"])
	assert.Contains(t, refused["error"], refused["hint"])
}

func TestAnEmptyInputIsDoneAndSaved(t *testing.T) {
	for name, args := range map[string][]string{"lines": nil, "csv": {"--csv"}} {
		t.Run(name, func(t *testing.T) {
			env := sqliteStore(t)
			input := writeFile(t, "in", nil)
			must(t, env, append(append([]string{"batch", "a", input}, args...), "--", "false")...)
			cp := object(t, must(t, env, "get", "a", "-o", "json"))
			assert.Equal(t, "0", cp["cursor"])
			assert.EqualValues(t, "0", cp["processed"])
			assert.Equal(t, "done", cp["ended"])
			require.NoError(t, os.WriteFile(input, []byte("a\nb\n"), 0o600))
			assert.NotEmpty(t, must(t, env, append(append([]string{"batch", "a", input}, args...), "--", "cat")...), "the input has grown")
		})
	}
}

func TestCSVBatchesAreCSVFiles(t *testing.T) {
	input := writeFile(t, "in.csv", []byte("id,text\n1,\"a\nb\"\n2,c\n3,\"d \"\"e\"\"\"\n"))
	assert.Equal(t, "id,text\n1,\"a\nb\"\n2,c\n---\nid,text\n3,\"d \"\"e\"\"\"\n---\n",
		must(t, sqliteStore(t), "batch", "a", input, "--csv", "--every", "2", "--", "sh", "-c", "cat; echo ---"))
}

func TestALongLineAndANULByteReachTheCommandUnchanged(t *testing.T) {
	long := append(bytes.Repeat([]byte("x"), 100<<20), '\n')
	input := writeFile(t, "in", append(long, "a\x00b\n"...))
	assert.Equal(t, "104857601\n4\n", strings.ReplaceAll(must(t, sqliteStore(t), "batch", "a", input, "--every", "1", "--", "wc", "-c"), " ", ""))
}

func TestAPipeIsAnInput(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	env := sqliteStore(t)
	for _, n := range []int{30, 50} {
		written := make(chan error, 1)
		go func() { written <- os.WriteFile(pipe, numbered(n), 0o600) }()
		must(t, env, "batch", "a", pipe, "--", "cat")
		require.NoError(t, <-written)
	}
	assert.EqualValues(t, "50", object(t, must(t, env, "get", "a", "-o", "json"))["processed"])
}

func TestBadInputsExitWithTheirCodeAndAReason(t *testing.T) {
	good := writeFile(t, "in", numbered(10))
	truncated := writeFile(t, "truncated.gz", gzipped(t, numbered(10_000))[:3000])
	for name, test := range map[string]struct {
		args []string
		exit int
		want string
	}{
		"missing file":         {[]string{"a", good + ".none", "--", "cat"}, 1, "no such file or directory"},
		"a directory":          {[]string{"a", t.TempDir(), "--", "cat"}, 1, "is a directory: name a file"},
		"bad gzip":             {[]string{"a", writeFile(t, "x", []byte("\x1f\x8bxx")), "--", "cat"}, 1, "begins like gzip but is not valid gzip"},
		"truncated gzip":       {[]string{"a", truncated, "--every", "10", "--", "true"}, 1, "is it complete?"},
		"open quote":           {[]string{"a", writeFile(t, "x", []byte("a\n\"b\n")), "--csv", "--", "cat"}, 1, "never closed"},
		"no command":           {[]string{"a", good}, 2, "the command is missing"},
		"no command behind --": {[]string{"a", good, "--"}, 2, "the command is missing"},
		"no --":                {[]string{"a", good, "cat"}, 2, "put -- before the command"},
		"no input":             {[]string{"a", "--", "cat"}, 2, "needs a name and an input"},
		"unknown command":      {[]string{"a", good, "--", "no-such-command"}, 2, "executable file not found"},
		"unknown flag":         {[]string{"a", good, "--evry", "9", "--", "cat"}, 2, "unknown flag: --evry"},
		"bad number":           {[]string{"a", good, "--every", "x", "--", "cat"}, 2, `invalid argument "x"`},
		"every 0":              {[]string{"a", good, "--every", "0", "--", "cat"}, 2, "at least one record"},
		"negative retries":     {[]string{"a", good, "--retries", "-1", "--", "cat"}, 2, "cannot be negative"},
		"short lease":          {[]string{"a", good, "--lease-duration", "1ms", "--", "cat"}, 2, "from 100ms to 1h\n"},
		"expect-grace alone":   {[]string{"a", good, "--expect-grace", "2h", "--", "cat"}, 2, "--expect-grace is added to --expect-every"},
		"expect-every 10ms":    {[]string{"a", good, "--expect-every", "10ms", "--", "cat"}, 2, "at least one second"},
		"same holder alone":    {[]string{"a", good, "--same-holder", "--", "cat"}, 2, "give --holder, too"},
		"bad output":           {[]string{"a", good, "-o", "xml", "--", "cat"}, 2, "--output must be"},
		"dots":                 {[]string{"..", good, "--", "cat"}, 2, "a segment must not be"},
		"newline":              {[]string{"a\nb", good, "--", "cat"}, 2, "control character U+000A"},
		"invalid UTF-8":        {[]string{"a\xff", good, "--", "cat"}, 2, "not valid UTF-8"},
		"600 bytes":            {[]string{strings.Repeat("x", 600), good, "--", "cat"}, 2, "600 bytes, and the limit is 512"},
		"empty name":           {[]string{"", good, "--", "cat"}, 2, "it is empty"},
		"namespace with #":     {[]string{"a", good, "--namespace", "a#b", "--", "cat"}, 2, "must not contain '#' or '/'"},
		"namespace with /":     {[]string{"a", good, "--namespace", "a/b", "--", "cat"}, 2, "must not contain '#' or '/'"},
		"memory store":         {[]string{"a", good, "--store", "memory:", "--", "cat"}, 2, "nothing could be resumed from it"},
		"bad store":            {[]string{"a", good, "--store", "s3://x", "--", "cat"}, 2, "unknown kind of store"},
	} {
		t.Run(name, func(t *testing.T) {
			r := milepost(t, sqliteStore(t), append([]string{"batch"}, test.args...)...)
			assert.Equal(t, test.exit, r.exit, r.stderr)
			assert.Contains(t, r.stderr, test.want)
			assert.Contains(t, r.stderr, "milepost: ")
		})
	}
}

func TestNoChildOutlivesAKilledBatch(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	p := startProcess(t, append(sqliteStore(t), "PIDS="+pids), "batch", "a", writeFile(t, "in", numbered(10)), "--",
		"sh", "-c", `sh -c 'sleep 60; :' & echo $$ $! >"$PIDS.tmp"; mv "$PIDS.tmp" "$PIDS"; wait`)
	processtest.WaitForKeeper(t, pids)
	require.NoError(t, p.cmd.Process.Kill())
	assert.Equal(t, -1, p.exit(t))
	processtest.AssertGone(t, pids)
}

func TestAfterKill9TheNextRunOnTheSameMachineGoesOnAtOnce(t *testing.T) {
	onEachEngine(t, func(t *testing.T, env []string) {
		out := t.TempDir()
		env = append(env, "OUT="+out)
		content := numbered(100)
		input := writeFile(t, "in", content)
		p := startProcess(t, env, "batch", "a", input, "--every", "10", "--", "sh", "-c", collect+`; [ "$MILEPOST_FIRST" != 31 ] || sleep 1000`)
		processtest.WaitForFile(filepath.Join(out, "000000031"))
		require.NoError(t, p.cmd.Process.Kill())
		assert.Equal(t, -1, p.exit(t))
		must(t, env, "batch", "a", input, "--every", "10", "--", "sh", "-c", collect)
		assert.Equal(t, string(content), collected(t, out))
		cp := object(t, must(t, env, "get", "a", "-o", "json"))
		assert.EqualValues(t, "100", cp["processed"])
		assert.EqualValues(t, "10", cp["version"])
	})
}

// running batch job, in its first batch.
type runningBatch struct {
	proceed string
	done    chan result
}

// startBatch starts a job named a, of batches of ten, and returns when its first command runs.
func startBatch(t *testing.T, env []string, input string, flags []string) *runningBatch {
	t.Helper()
	dir := t.TempDir()
	b := &runningBatch{proceed: filepath.Join(dir, "go"), done: make(chan result, 1)}
	args := append([]string{"batch", "a", input, "--every", "10", "--holder", "first"}, flags...)
	args = append(args, "--", "sh", "-c", `: >"$RUNS"; while [ ! -e "$GO" ]; do sleep 0.01; done`)
	runs := filepath.Join(dir, "runs")
	go func() { b.done <- milepost(t, append(env, "GO="+b.proceed, "RUNS="+runs), args...) }()
	processtest.WaitForFile(runs)
	return b
}

// release lets the job's commands end.
func (b *runningBatch) release() {
	if err := os.WriteFile(b.proceed, nil, 0o600); err != nil {
		panic(err)
	}
}

func (b *runningBatch) wait() result { return <-b.done }

// commandProcess is the command in a separate process.
type commandProcess struct {
	cmd    *exec.Cmd
	stderr string // a file
}

func startProcess(t *testing.T, env []string, args ...string) *commandProcess {
	t.Helper()
	return startProcessAs(t, nil, env, args...)
}

// startGroup is startProcess in a process group of its own, as a shell does.
func startGroup(t *testing.T, env []string, args ...string) *commandProcess {
	t.Helper()
	return startProcessAs(t, &syscall.SysProcAttr{Setpgid: true}, env, args...)
}

func startProcessAs(t *testing.T, attr *syscall.SysProcAttr, env []string, args ...string) *commandProcess {
	t.Helper()
	p := &commandProcess{cmd: exec.Command(os.Args[0], args...), stderr: filepath.Join(t.TempDir(), "stderr")}
	file, err := os.Create(p.stderr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = file.Close() })
	p.cmd.Env = append(append(os.Environ(), env...), asCommand+"=1")
	p.cmd.Stderr = file
	p.cmd.SysProcAttr = attr
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})
	return p
}

func (p *commandProcess) stderrHas(t *testing.T, text string) {
	t.Helper()
	require.Eventually(t, func() bool {
		content, err := os.ReadFile(p.stderr)
		return err == nil && strings.Contains(string(content), text)
	}, 30*time.Second, 5*time.Millisecond, "waiting for "+strconv.Quote(text))
}

func (p *commandProcess) exit(t *testing.T) int {
	t.Helper()
	_ = p.cmd.Wait() // its error repeats the status
	return p.cmd.ProcessState.ExitCode()
}

func TestABatchJobGoesOnFromACursorSetByHand(t *testing.T) {
	env := sqliteStore(t)
	input := writeFile(t, "in", numbered(100))
	must(t, env, "batch", "a", input, "--every", "10", "--", "cat")
	for cursor, want := range map[string]string{"42": "record 43\n", "0": "record 1\n"} {
		must(t, env, "set", "a", "--cursor", cursor, "--execute")
		assert.Equal(t, want, must(t, env, "batch", "a", input, "--every", "100", "--", "head", "-n", "1"))
	}
	must(t, env, "set", "new", "--cursor", "99", "--execute")
	assert.Equal(t, "record 100\n", must(t, env, "batch", "new", input, "--", "cat"))

	must(t, env, "set", "a", "--cursor", "101", "--execute")
	r := milepost(t, env, "batch", "a", input, "--", "cat")
	assert.Equal(t, 6, r.exit)
	assert.Contains(t, r.stderr, "at most 100, the records of "+input)
}

func TestAnotherJobsCheckpointIsRefused(t *testing.T) {
	env := sqliteStore(t)
	input := writeFile(t, "in", numbered(100))
	must(t, env, "set", "words", "--cursor", "ord-88123", "--execute")
	must(t, env, "set", "state", "--cursor", "50", "--state", writeFile(t, "state", []byte(`{"sum":7}`)), "--execute")
	for _, name := range []string{"words", "state"} {
		r := milepost(t, env, "batch", name, input, "--", "cat")
		assert.Equal(t, 6, r.exit)
		assert.Contains(t, r.stderr, "not a batch job's")
	}
}

func TestARefusalLeavesNoTraceInTheHistory(t *testing.T) {
	onEachEngine(t, func(t *testing.T, env []string) {
		must(t, env, "batch", "a", writeFile(t, "in", numbered(100)), "--", "cat")
		before := must(t, env, "get", "a", "-o", "json")
		require.Equal(t, 6, milepost(t, env, "batch", "a", writeFile(t, "other", numbered(99)), "--", "cat").exit)
		require.Equal(t, 6, milepost(t, env, "batch", "a", writeFile(t, "in", numbered(100)), "--csv", "--", "cat").exit)
		after := must(t, env, "get", "a", "-o", "json")
		assert.Equal(t, object(t, before)["version"], object(t, after)["version"])
	})
}

func TestASIGHUPIsASIGTERMToABatch(t *testing.T) {
	dir := t.TempDir()
	env := append(sqliteStore(t), "DIR="+dir)
	p := startProcess(t, env, "batch", "a", writeFile(t, "in", numbered(50)), "--every", "10", "--",
		"sh", "-c", `: >"$DIR/runs"; while [ ! -e "$DIR/go" ]; do sleep 0.01; done`)
	processtest.WaitForFile(filepath.Join(dir, "runs"))
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o600))
	assert.Equal(t, 143, p.exit(t))
	p.stderrHas(t, "stopped by SIGHUP")
	assert.Equal(t, "stopped", newest(t, env, "a")["ended"])
}

func TestABatchIgnoresWhatItsParentIgnored(t *testing.T) {
	dir := t.TempDir()
	env := append(insideRun(t, sqliteStore(t)), "DIR="+dir, "IN="+writeFile(t, "in", numbered(50)))
	cmd := exec.Command("sh", "-c", `trap '' HUP INT; exec milepost batch a "$IN" --every 10 -- sh -c '
: >"$DIR/runs"; while [ ! -e "$DIR/go" ]; do sleep 0.01; done; kill -HUP $$; kill -INT $$'`)
	cmd.Env = append(os.Environ(), env...)
	require.NoError(t, cmd.Start())
	processtest.WaitForFile(filepath.Join(dir, "runs"))
	require.NoError(t, cmd.Process.Signal(syscall.SIGHUP))
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o600))
	require.NoError(t, cmd.Wait(), "the command ignores them as well")
	assert.Equal(t, "done", newest(t, env, "a")["ended"])
}

func TestABatchThatIsStoppedBetweenAttemptsIsStopped(t *testing.T) {
	env := sqliteStore(t)
	p := startProcess(t, env, "batch", "a", writeFile(t, "in", numbered(10)), "--retries", "100", "--", "false")
	p.stderrHas(t, "(3 of 100)") // the pause takes seconds
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 143, p.exit(t))
	assert.Equal(t, "stopped", newest(t, env, "a")["ended"])
}

func TestABatchWhoseCommandGotTheSignalAsWellIsStopped(t *testing.T) {
	dir := t.TempDir()
	env := append(sqliteStore(t), "DIR="+dir)
	p := startProcess(t, env, "batch", "a", writeFile(t, "in", numbered(50)), "--every", "10", "--",
		"sh", "-c", `: >"$DIR/runs"; while [ ! -e "$DIR/go" ]; do sleep 0.01; done; kill -TERM $$`)
	processtest.WaitForFile(filepath.Join(dir, "runs"))
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o600))
	assert.Equal(t, 143, p.exit(t))
	assert.Equal(t, "stopped", newest(t, env, "a")["ended"])
}
