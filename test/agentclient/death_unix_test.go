//go:build unix

package agentclient

import (
	"bufio"
	"encoding/json"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// read runs the command with -o json and decodes what it prints.
func read(t *testing.T, env []string, to any, args ...string) {
	t.Helper()
	cmd := exec.Command(binary, append(args, "-o", "json")...)
	cmd.Env = env
	out, err := cmd.Output()
	require.NoError(t, err, "milepost %s", strings.Join(args, " "))
	require.NoError(t, json.Unmarshal(out, to))
}

// clientJob is a job in node that marks 1,000 records, prints that, and never ends.
const clientJob = `
import { Agent } from "./client.mjs";
const agent = new Agent(process.argv[1]);
await agent.call("hello", { protocol: 1 });
const { session } = await agent.call("open", { name: "a", interval_ms: 0, every: 0 });
for (let i = 1; i <= 1000; i++) await agent.mark(session, String(i), { state: { at: i } });
await agent.call("info", { session });
console.log(agent.process.pid);
setInterval(() => {}, 1000);
`

func TestAKilledClientLosesNothingAndLeavesNoLease(t *testing.T) {
	env := environment(t)
	client := exec.Command("node", "--input-type=module", "--eval", clientJob, binary)
	client.Env = env
	stdout, err := client.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, client.Start())
	_, err = bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	require.NoError(t, client.Process.Kill())
	require.Eventually(t, func() bool {
		var lease struct{ Status string }
		read(t, env, &lease, "lease", "show", "a")
		return lease.Status == "free"
	}, time.Minute, time.Millisecond, "the agent saves and releases")
	_ = client.Wait()
	var cp struct {
		Cursor, Ended string
		Processed     int64
		State         struct{ At int64 }
	}
	read(t, env, &cp, "get", "a")
	assert.Equal(t, "1000", cp.Cursor)
	assert.EqualValues(t, 1000, cp.Processed)
	assert.EqualValues(t, 1000, cp.State.At)
	assert.Equal(t, "error", cp.Ended)
}

// orphanedJob is a job in node whose agent is killed. The job gets an error, and goes on with
// another agent.
const orphanedJob = `
import { Agent } from "./client.mjs";
let agent = new Agent(process.argv[1]);
await agent.call("hello", { protocol: 1 });
let { session } = await agent.call("open", { name: "a" });
await agent.call("save", { session, cursor: "acknowledged", processed: 1 });
agent.process.kill("SIGKILL");
const error = await agent.call("save", { session, cursor: "lost", processed: 1 }).catch((err) => err.message);
agent = new Agent(process.argv[1]);
await agent.call("hello", { protocol: 1 });
const { cursor, epoch, session: next } = await agent.call("open", { name: "a" });
await agent.call("close", { session: next, cursor: "again", processed: 1 });
agent.process.stdin.end();
console.log(JSON.stringify({ failed: error !== undefined && error !== "", cursor, epoch }));
`

func TestAKilledAgentLosesNothingThatItAcknowledged(t *testing.T) {
	env := environment(t)
	client := exec.Command("node", "--input-type=module", "--eval", orphanedJob, binary)
	client.Env = env
	client.Stderr = t.Output()
	out, err := client.Output() // waits for no lease: the lease of a dead process is taken at once
	require.NoError(t, err)
	assert.JSONEq(t, `{"failed":true,"cursor":"acknowledged","epoch":2}`, string(out))
	var cp struct {
		Cursor    string
		Processed int64
	}
	read(t, env, &cp, "get", "a")
	assert.Equal(t, "again", cp.Cursor)
	assert.EqualValues(t, 2, cp.Processed)
}

func TestTheAgentLeavesSignalsToItsClient(t *testing.T) {
	r := &replay{t: t, schema: loadSchema(t), set: map[string]any{}, env: environment(t)}
	r.start()
	hello := map[string]any{"id": "hello"}
	r.write(`{"id":"hello","method":"hello","protocol":1}`)
	r.expect(hello, nil)
	r.write(`{"id":"open","method":"open","name":"a"}`)
	r.expect(map[string]any{"id": "open"}, nil)
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE} {
		require.NoError(t, r.agent.Process.Signal(s))
	}
	require.NoError(t, r.agent.Process.Signal(syscall.SIGTERM))
	r.write(`{"method":"mark","session":1,"cursor":"after"}`)
	r.write(`{"id":"info","method":"info","session":1}`)
	r.expect(map[string]any{"id": "info", "result": map[string]any{"cursor": "after"}}, nil)
	r.end(143)
	var cp struct{ Cursor string }
	read(t, r.env, &cp, "get", "a")
	assert.Equal(t, "after", cp.Cursor)
}
