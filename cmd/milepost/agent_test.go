package main

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// agentClient talks to an agent in this process, over pipes of the operating system.
type agentClient struct {
	t       *testing.T
	in      *os.File
	replies *bufio.Reader
	exit    chan int
	id      int
}

func startAgent(t *testing.T, env []string, args ...string) *agentClient {
	t.Helper()
	stdin, in, err := os.Pipe()
	require.NoError(t, err)
	out, stdout, err := os.Pipe()
	require.NoError(t, err)
	c := &agentClient{t: t, in: in, replies: bufio.NewReaderSize(out, 1<<20), exit: make(chan int, 1)}
	go func() {
		exit := run(t.Context(), append([]string{"agent"}, args...), stdin, stdout, t.Output(), append(os.Environ(), env...))
		_, _ = stdin.Close(), stdout.Close()
		c.exit <- exit
	}()
	t.Cleanup(func() { _, _ = in.Close(), out.Close() })
	c.call("hello", `"protocol":1`)
	return c
}

func (c *agentClient) send(format string, args ...any) {
	c.t.Helper()
	_, err := fmt.Fprintf(c.in, format+"\n", args...)
	require.NoError(c.t, err)
}

func (c *agentClient) next() map[string]any {
	c.t.Helper()
	line, err := c.replies.ReadString('\n')
	require.NoError(c.t, err)
	return object(c.t, line)
}

// ask sends a request and returns its reply. It skips events.
func (c *agentClient) ask(method, format string, args ...any) map[string]any {
	c.t.Helper()
	c.id++
	c.send(`{"id":%d,"method":%q,%s}`, c.id, method, fmt.Sprintf(format, args...))
	for {
		if reply := c.next(); reply["event"] == nil {
			require.EqualValues(c.t, fmt.Sprint(c.id), reply["id"], "%v", reply)
			return reply
		}
	}
}

// call is ask for a request that succeeds.
func (c *agentClient) call(method, format string, args ...any) map[string]any {
	c.t.Helper()
	reply := c.ask(method, format, args...)
	require.Nil(c.t, reply["error"], "%v", reply)
	return reply["result"].(map[string]any)
}

func (c *agentClient) open(name string, fields ...string) any {
	c.t.Helper()
	return c.call("open", "%s", strings.Join(append([]string{fmt.Sprintf(`"name":%q`, name)}, fields...), ","))["session"]
}

// end closes the agent's input and returns its exit code.
func (c *agentClient) end() int {
	require.NoError(c.t, c.in.Close())
	_, err := io.Copy(io.Discard, c.replies)
	require.NoError(c.t, err)
	return <-c.exit
}

// newest returns the newest version of a checkpoint.
func newest(t *testing.T, env []string, name string) map[string]any {
	t.Helper()
	return object(t, must(t, env, "get", name, "-o", "json"))
}

func TestOneAgentHoldsManySessions(t *testing.T) {
	onEachEngine(t, func(t *testing.T, env []string) {
		c := startAgent(t, env)
		const sessions = 40
		for i := range sessions {
			session := c.open(fmt.Sprintf("many/%02d", i))
			for j := range 10 * (i + 1) {
				c.send(`{"method":"mark","session":%v,"cursor":"%d","state":{"at": %d}}`, session, j+1, j+1)
			}
		}
		require.Zero(t, c.end())
		for i := range sessions {
			name := fmt.Sprintf("many/%02d", i)
			cp := newest(t, env, name)
			want := fmt.Sprint(10 * (i + 1))
			assert.EqualValues(t, want, cp["processed"], name)
			assert.Equal(t, want, cp["cursor"], name)
			assert.EqualValues(t, want, cp["state"].(map[string]any)["at"], name)
			assert.Equal(t, "the client is gone, and has not closed the session", cp["last_error"])
			assert.Equal(t, "free", object(t, must(t, env, "lease", "show", name, "-o", "json"))["status"])
		}
	})
}

func TestAStateThatTheStoreCannotHoldFailsTheSaveAndChangesNothing(t *testing.T) {
	onEachEngine(t, func(t *testing.T, env []string) {
		random := make([]byte, 600<<10)
		_, _ = rand.Read(random)
		large := hex.EncodeToString(random)
		c := startAgent(t, env)
		session := c.open("a")
		c.call("save", `"session":%v,"cursor":"1","state":{"small":true}`, session)
		reply := c.ask("save", `"session":%v,"cursor":"2","state":%q`, session, large)
		if strings.Contains(env[0], "sqlite") {
			require.Nil(t, reply["error"], "%v", reply)
		} else {
			require.NotNil(t, reply["error"])
			assert.Contains(t, reply["error"].(map[string]any)["error"], "the store's limit is")
			assert.Equal(t, "1", newest(t, env, "a")["cursor"])
		}
		c.call("save", `"session":%v,"cursor":"3","state":{}`, session)
		assert.Equal(t, "3", newest(t, env, "a")["cursor"])
		c.call("close", `"session":%v`, session)
		require.Zero(t, c.end())
	})
}

func TestAStoreIsNamedByTheRequestOrByTheAgent(t *testing.T) {
	own, other := sqliteStore(t), sqliteStore(t)
	url := strings.TrimPrefix(other[0], "MILEPOST_STORE=")
	c := startAgent(t, own, "--namespace", "ns")
	c.call("close", `"session":%v,"cursor":"here"`, c.open("a"))
	c.call("close", `"session":%v,"cursor":"there"`, c.open("a", fmt.Sprintf(`"store":%q,"namespace":"other"`, url)))
	assert.Equal(t, "here", c.call("get", `"name":"a"`)["cursor"])
	assert.Equal(t, "there", c.call("get", `"name":"a","namespace":"other","store":%q`, url)["cursor"])
	for store, kind := range map[string]string{"memory:": "usage", "sqlite:": "usage", "sqlite:/no/such/dir/jobs.db": "error"} {
		reply := c.ask("open", `"name":"a","store":%q`, store)
		require.NotNil(t, reply["error"], "%v", reply)
		assert.Equal(t, kind, reply["error"].(map[string]any)["kind"], "%v", reply)
	}
	require.Zero(t, c.end())
}
