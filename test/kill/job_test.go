//go:build linux

package kill_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
)

// eventually is the longest wait for things that should happen at once, on a busy machine.
const eventually = time.Minute

// job is one batch job with any number of runs.
type job struct {
	t       *testing.T
	engine  engine
	key     store.Key
	input   string
	records int // in the input
	every   int // of them in a batch
	ledger  ledger
	gate    string
}

// allFlights is a job on the real data; someFlights is a job on its first records, in 20 batches.
func allFlights(t *testing.T, e engine, name string) *job {
	t.Helper()
	input, err := filepath.Abs("../../examples/data/flights.jsonl.zst")
	require.NoError(t, err)
	return newJob(t, e, name, input, 100_000, every)
}

func someFlights(t *testing.T, e engine, name string) *job {
	t.Helper()
	const batches = 20
	all, err := os.Open("../../examples/data/flights.jsonl.zst")
	require.NoError(t, err)
	defer func() { _ = all.Close() }()
	plain, err := zstd.NewReader(all)
	require.NoError(t, err)
	defer plain.Close()
	var some bytes.Buffer
	lines := bufio.NewScanner(plain)
	for range batches * every {
		require.True(t, lines.Scan())
		some.Write(append(lines.Bytes(), '\n'))
	}
	input := filepath.Join(t.TempDir(), "flights.jsonl")
	require.NoError(t, os.WriteFile(input, some.Bytes(), 0o600))
	return newJob(t, e, name, input, batches*every, every)
}

func newJob(t *testing.T, e engine, name, input string, records, every int) *job {
	t.Helper()
	dir := t.TempDir()
	return &job{
		t: t, engine: e, key: store.Key{Namespace: store.DefaultNamespace, Name: name},
		input: input, records: records, every: every,
		ledger: ledger{path: filepath.Join(dir, "ledger")}, gate: filepath.Join(dir, "gate"),
	}
}

// run is one run of the command.
type run struct {
	t      *testing.T
	cmd    *exec.Cmd
	done   chan struct{} // closed when it has ended
	mu     sync.Mutex
	output bytes.Buffer // standard error
}

// start starts milepost batch.
func (j *job) start(flags ...string) *run {
	j.t.Helper()
	args := append([]string{"batch", j.key.Name, j.input, "--every", strconv.Itoa(j.every)}, flags...)
	return j.command(append(args, "--", program(j.t, "worker"))...)
}

// command starts milepost with these arguments.
func (j *job) command(args ...string) *run {
	j.t.Helper()
	return j.within(nil, args...)
}

// within starts milepost by another command, which gets its command line as the last arguments.
func (j *job) within(outer []string, args ...string) *run {
	j.t.Helper()
	line := append(append(slices.Clone(outer), program(j.t, "milepost")), args...)
	r := &run{t: j.t, cmd: exec.Command(line[0], line[1:]...), done: make(chan struct{})}
	r.cmd.Env = append(append(os.Environ(), j.engine.env()...),
		"MILEPOST_STORE="+j.engine.url(), "KILL_LEDGER="+j.ledger.path, "KILL_GATE="+j.gate)
	r.cmd.Stderr = r
	r.cmd.WaitDelay = eventually
	require.NoError(j.t, r.cmd.Start())
	go func() {
		defer close(r.done)
		_ = r.cmd.Wait()
	}()
	j.t.Cleanup(func() {
		_ = r.cmd.Process.Signal(syscall.SIGCONT)
		_ = r.cmd.Process.Kill()
		<-r.done
	})
	return r
}

// Write collects the command's output.
func (r *run) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.output.Write(p)
}

func (r *run) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.output.String()
}

func (r *run) signal(s syscall.Signal) {
	r.t.Helper()
	require.NoError(r.t, r.cmd.Process.Signal(s), "%s: %s", s, r.said())
}

// exit waits for the end and returns the exit code; -1: a signal killed it.
func (r *run) exit() int {
	r.t.Helper()
	select {
	case <-r.done:
	case <-time.After(2 * eventually):
		require.Fail(r.t, "the run does not end", "milepost %v says: %s", r.cmd.Args[1:], r.said())
	}
	return r.cmd.ProcessState.ExitCode()
}

func (r *run) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// kill kills the run, which must not have ended by itself, and waits until none of its children is
// left.
func (j *job) kill(r *run) {
	j.t.Helper()
	r.signal(syscall.SIGKILL)
	require.Equal(j.t, -1, r.exit(), "the run ended before the kill: %s", r.said())
	j.ledger.read(j.t)
	for _, w := range j.ledger.starts {
		wait(j.t, fmt.Sprintf("child %d of a killed run to be gone", w.pid), func() bool { return !alive(w.pid) })
	}
}

// alive reports whether a worker's process runs. Another process may have its PID by now.
func alive(pid int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // empty for a zombie
	return err == nil && bytes.Contains(line, []byte(programs))
}

// wait polls until a condition is true.
func wait(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(eventually); !so(); time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "waited in vain for %s", what)
	}
}

// shut makes the workers wait halfway; open lets them go on.
func (j *job) shut() { require.NoError(j.t, os.WriteFile(j.gate, nil, 0o600)) }
func (j *job) open() { require.NoError(j.t, os.Remove(j.gate)) }

// look reads the checkpoint's records without the command.
func (j *job) look() store.Records {
	j.t.Helper()
	found, err := j.engine.store().Look(j.t.Context(), j.key)
	require.NoError(j.t, err)
	return found
}

// epoch returns the fence's epoch on HEAD; 0: there is none.
func (j *job) epoch() int64 {
	j.t.Helper()
	if h := j.look().Head; h != nil {
		return h.Fence.Epoch
	}
	return 0
}

// raised waits until a run has raised the fence above that epoch, and returns the run's epoch.
func (j *job) raised(r *run, above int64) int64 {
	j.t.Helper()
	epoch := above
	wait(j.t, "the fence: "+r.said(), func() bool {
		epoch = j.epoch()
		return epoch > above || r.ended()
	})
	require.Greater(j.t, epoch, above, "the run did not get the lease: %s", r.said())
	return epoch
}

// started waits until a run of an epoch above has started its n-th worker, and returns it.
func (j *job) started(r *run, above int64, n int) worker {
	j.t.Helper()
	var own []worker
	wait(j.t, fmt.Sprintf("batch %d: %s", n, r.said()), func() bool {
		j.ledger.read(j.t)
		own = nil
		for _, w := range j.ledger.starts {
			if w.epoch > above {
				own = append(own, w)
			}
		}
		return len(own) >= n || r.ended()
	})
	require.GreaterOrEqual(j.t, len(own), n, "the run ended before its batch %d: %s", n, r.said())
	return own[n-1]
}

// halfway waits until a worker is at its shut gate.
func (j *job) halfway(w worker) {
	j.t.Helper()
	wait(j.t, "half a batch", func() bool {
		j.ledger.read(j.t)
		// The ledger has some records at a time.
		return len(j.ledger.passes[(w.first+w.last)/2/100*100]) > 0
	})
}

// get returns the checkpoint as milepost get prints it.
func (j *job) get() map[string]any {
	j.t.Helper()
	cmd := exec.CommandContext(j.t.Context(), program(j.t, "milepost"), "get", j.key.Name, "-o", "json")
	cmd.Env = append(append(os.Environ(), j.engine.env()...), "MILEPOST_STORE="+j.engine.url())
	out, err := cmd.Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		require.NoError(j.t, err, "%s", failed.Stderr)
	}
	require.NoError(j.t, err)
	var cp map[string]any
	require.NoError(j.t, json.Unmarshal(out, &cp))
	return cp
}

// history returns every version, raw, from 1.
func (j *job) history() []store.Copy {
	j.t.Helper()
	var all []store.Copy
	for c, err := range j.engine.store().Versions(j.t.Context(), j.key, 1<<40, 0) {
		require.NoError(j.t, err)
		all = append([]store.Copy{c}, all...)
	}
	return all
}

// checkDone requires that the job is done, that no version is missing, and that every record was
// processed, and more than once only where that is right. It returns how many records were
// repeated.
func (j *job) checkDone() int {
	j.t.Helper()
	history := j.history()
	found := j.look()
	require.Len(j.t, history, int(found.Head.Number), "the history has a hole")
	require.Equal(j.t, store.EndedDone, found.Head.Ended)
	require.Equal(j.t, strconv.Itoa(j.records), found.Head.Cursor)
	require.EqualValues(j.t, j.records, found.Head.Processed)
	assert.Equal(j.t, store.Free, found.Lease.Status)

	committed := make([]int64, j.records+1)
	var epoch, done int64
	for i, v := range history {
		require.EqualValues(j.t, i+1, v.Number)
		require.GreaterOrEqual(j.t, v.CommitEpoch, epoch, "version %d was committed although the fence was higher", i+1)
		require.Equal(j.t, strconv.FormatInt(v.Processed, 10), v.Cursor, "version %d", i+1)
		for n := done + 1; n <= v.Processed; n++ {
			committed[n] = v.CommitEpoch
		}
		epoch, done = v.CommitEpoch, v.Processed
	}
	j.ledger.read(j.t)
	j.ledger.checkComplete(j.t, j.records)
	return j.ledger.checkRepeats(j.t, func(record int) int64 { return committed[record] })
}

// failure is an error as milepost -o json prints it.
type failure struct {
	Kind   string `json:"kind"`
	Exit   int    `json:"exit"`
	Holder struct {
		ID  string `json:"id"`
		PID int    `json:"pid"`
	} `json:"holder"`
	Until time.Time `json:"until"`
}

func (r *run) failure() failure {
	r.t.Helper()
	lines := strings.Split(strings.TrimSpace(r.said()), "\n")
	var f failure
	require.NoError(r.t, json.Unmarshal([]byte(lines[len(lines)-1]), &f), r.said())
	return f
}

// onEachEngine runs a test on SQLite and on the DynamoDB endpoint.
func onEachEngine(t *testing.T, test func(*testing.T, engine)) {
	t.Run("sqlite", func(t *testing.T) { test(t, newFile(t)) })
	t.Run("dynamodb", func(t *testing.T) { test(t, newTable(t)) })
}

// engine is a store for the jobs' checkpoints, and what a test may do to it outside the protocol.
type engine interface {
	url() string // as milepost takes it
	env() []string
	store() store.Store

	// writes returns the kinds of write that hold can hold.
	writes() []write

	// hold stops the next write of this kind by the run whose child is halfway: before the write is
	// done, or after it landed and before it is answered. reached reports whether the run has come
	// to the write; undo lets all writes pass again.
	hold(t *testing.T, j *job, w write) (reached func() bool, undo func())

	// racerEnv returns the environment that tells a racer the store.
	racerEnv() []string

	// elsewhere makes the lease's holder a process that cannot be seen from this machine.
	elsewhere(t *testing.T, key store.Key)

	// twoHoursLater advances the store's clock by two hours, as far as the lease can tell.
	twoHoursLater(t *testing.T, key store.Key)
}

// write is a kind of write that a run makes.
type write string

const (
	headSent      write = "HEAD sent"
	headLanded    write = "HEAD landed, not answered"
	copySent      write = "V# sent"
	copyLanded    write = "V# landed, not answered"
	releaseSent   write = "release sent"
	releaseLanded write = "release landed, not answered"
)
