package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// optionsOf returns options of an agent that knows one store.
func optionsOf(st *memstore.Store) Options {
	return Options{
		Namespace: store.DefaultNamespace, Release: "test", Logger: slog.New(slog.DiscardHandler),
		Open: func(context.Context, Place) (*Store, error) {
			return &Store{Namespace: checkpoint.Namespace{Store: st}, Close: func() {}}, nil
		},
	}
}

// testClient talks to an agent in this process, over pipes of the operating system.
type testClient struct {
	t       *testing.T
	in      *os.File
	replies *bufio.Reader
	ended   chan error
	id      int
}

func startAgent(t *testing.T) (*testClient, *memstore.Store) {
	t.Helper()
	stdin, in, err := os.Pipe()
	require.NoError(t, err)
	out, stdout, err := os.Pipe()
	require.NoError(t, err)
	st := memstore.New(nil)
	c := &testClient{t: t, in: in, replies: bufio.NewReaderSize(out, 1<<20), ended: make(chan error, 1)}
	go func() {
		a := New(optionsOf(st))
		conversation := a.Converse(stdout)
		err := conversation.Read(stdin)
		if ended := conversation.End(); err == nil {
			err = ended
		}
		a.Close()
		_, _ = stdin.Close(), stdout.Close()
		c.ended <- err
	}()
	t.Cleanup(func() { _, _ = in.Close(), out.Close() })
	c.call("hello", `"protocol":1`)
	return c, st
}

func (c *testClient) send(format string, args ...any) {
	c.t.Helper()
	_, err := fmt.Fprintf(c.in, format+"\n", args...)
	require.NoError(c.t, err)
}

func (c *testClient) next() (reply map[string]any) {
	c.t.Helper()
	line, err := c.replies.ReadString('\n')
	require.NoError(c.t, err)
	require.NoError(c.t, json.Unmarshal([]byte(line), &reply), line)
	return reply
}

// call makes a request that succeeds, and returns its result; events are left out.
func (c *testClient) call(method, format string, args ...any) map[string]any {
	c.t.Helper()
	c.id++
	c.send(`{"id":%d,"method":%q,%s}`, c.id, method, fmt.Sprintf(format, args...))
	for {
		if reply := c.next(); reply["event"] == nil {
			require.EqualValues(c.t, c.id, reply["id"], "%v", reply)
			require.Nil(c.t, reply["error"], "%v", reply)
			return reply["result"].(map[string]any)
		}
	}
}

func (c *testClient) open(name string, fields ...string) any {
	c.t.Helper()
	return c.call("open", "%s", strings.Join(append([]string{fmt.Sprintf(`"name":%q`, name)}, fields...), ","))["session"]
}

// end closes the agent's input and returns how the conversation ended.
func (c *testClient) end() error {
	require.NoError(c.t, c.in.Close())
	_, err := io.Copy(io.Discard, c.replies)
	require.NoError(c.t, err)
	return <-c.ended
}

// newest is the newest version of a checkpoint.
func newest(t *testing.T, st store.Store, name string) *checkpoint.Checkpoint {
	t.Helper()
	cp, err := checkpoint.Namespace{Store: st}.Get(t.Context(), name, nil)
	require.NoError(t, err)
	return cp
}

func TestALateReaderGetsWhatAnEarlyReaderWouldHaveGot(t *testing.T) {
	c, st := startAgent(t)
	session := c.open("a", `"duration_ms":6000`)
	const requests = 20_000
	var writing sync.WaitGroup
	writing.Go(func() {
		lines := bufio.NewWriter(c.in)
		for i := range requests {
			_, _ = fmt.Fprintf(lines, `{"method":"mark","session":%v,"cursor":"%d"}`+"\n", session, i+1)
			_, _ = fmt.Fprintf(lines, `{"id":"late %d","method":"info","session":%v}`+"\n", i+1, session)
		}
		_ = lines.Flush()
	})
	time.Sleep(7 * time.Second) // more than the lease lasts without a renewal
	for i := range requests {
		reply := c.next()
		require.Equal(t, fmt.Sprintf("late %d", i+1), reply["id"], "the lease was kept: %v", reply)
		require.Equal(t, fmt.Sprint(i+1), reply["result"].(map[string]any)["cursor"])
	}
	writing.Wait()
	c.call("close", `"session":%v`, session)
	require.NoError(t, c.end())
	assert.EqualValues(t, requests, newest(t, st, "a").Processed)
}

func TestAClientThatIsGoneAndDoesNotReadBlocksNothing(t *testing.T) {
	c, st := startAgent(t)
	session := c.open("a")
	c.send(`{"method":"mark","session":%v,"cursor":"x"}`, session)
	for i := range 1000 { // more than fits into the pipe
		c.send(`{"id":"i%d","method":"info","session":%v}`, i, session)
	}
	require.NoError(t, c.in.Close())
	require.NoError(t, <-c.ended, "no one reads its output")
	assert.Equal(t, "x", newest(t, st, "a").Cursor)
}

func TestTooManyRequestsAtOnceAreRefused(t *testing.T) {
	c, _ := startAgent(t)
	c.open("a")
	var lines strings.Builder
	const more = 10
	for i := range mostWaiting + more {
		fmt.Fprintf(&lines, `{"id":"w%d","method":"open","name":"a","wait_ms":600000}`+"\n", i)
	}
	go func() { _, _ = io.WriteString(c.in, lines.String()) }()
	for refused := 0; refused < more; {
		if reply := c.next(); reply["error"] != nil && reply["event"] == nil {
			require.Contains(t, reply["error"].(map[string]any)["error"], "wait to be answered", "%v", reply)
			refused++
		}
	}
	require.NoError(t, c.end())
}

func TestAFullQueueBlocksItsProducerAndLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		pushed := 0
		go func() {
			for i := range 3 * queuedTasks {
				q.push(task{mark: mark{line: int64(i)}}, 1)
				pushed++
			}
			q.push(task{}, 2*queuedBytes) // more than fits, but alone
			q.close()
		}()
		synctest.Wait()
		assert.Equal(t, queuedTasks, pushed)
		served := 0
		q.serve(func(task *task) {
			if served < 3*queuedTasks {
				assert.EqualValues(t, served, task.mark.line)
			}
			served++
		})
		assert.Equal(t, 3*queuedTasks+1, served)
		assert.False(t, q.push(task{}, 0), "it is closed")
	})
}
