package agentclient

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAClientInAnotherLanguagePassesEveryConversation(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(vectors, "*.json"))
	require.NoError(t, err)
	out, err := exec.Command("node", append([]string{"client.mjs", binary}, files...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Equal(t, len(files), bytes.Count(out, []byte("passed ../")), "%s", out)
}

const job = `
import { Agent } from "./client.mjs";
const agent = new Agent(process.argv[1]);
await agent.call("hello", { protocol: 1 });
const { session, cursor } = await agent.call("open", { name: "numbers" });
for (let i = Number(cursor) + 1; i <= 5000; i++) await agent.mark(session, String(i), { state: { last: i } });
const held = await agent.call("open", { name: "numbers" }).catch((err) => err);
await agent.call("close", { session });
agent.process.stdin.end();
console.log(JSON.stringify({ held: held.kind, by: held.holder.pid === agent.process.pid, exit: await agent.exited }));
`

func TestAJobInAnotherLanguageMarksAndLearnsTheHolderOfALease(t *testing.T) {
	env := environment(t)
	cmd := exec.Command("node", "--input-type=module", "--eval", job, binary)
	cmd.Env = env
	out, err := cmd.Output()
	require.NoError(t, err)
	assert.JSONEq(t, `{"held":"lease_held","by":true,"exit":0}`, string(out))

	get := exec.Command(binary, "get", "numbers", "-o", "json")
	get.Env = env
	out, err = get.Output()
	require.NoError(t, err)
	var cp struct {
		Cursor, Ended string
		Processed     int64
		State         struct{ Last int64 }
	}
	require.NoError(t, json.Unmarshal(out, &cp))
	assert.Equal(t, "5000", cp.Cursor)
	assert.EqualValues(t, 5000, cp.Processed)
	assert.EqualValues(t, 5000, cp.State.Last)
	assert.Equal(t, "done", cp.Ended)
}
