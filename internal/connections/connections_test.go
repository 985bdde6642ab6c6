package connections_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/internal/connections"
)

// network makes connections in memory to a server that answers each request with 204, until the
// connections are silenced.
type network struct {
	mu     sync.Mutex
	dialed int
	made   []net.Conn
	silent int // how many of them do not answer any more
}

func (n *network) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	n.mu.Lock()
	defer n.mu.Unlock()
	index := n.dialed
	n.dialed++
	n.made = append(n.made, client)
	go func() {
		defer server.Close()
		requests := bufio.NewReader(server)
		for {
			if _, err := http.ReadRequest(requests); err != nil {
				return
			}
			n.mu.Lock()
			silent := index < n.silent
			n.mu.Unlock()
			if silent {
				continue
			}
			time.Sleep(time.Millisecond)
			if _, err := server.Write([]byte("HTTP/1.1 204 No Content\r\n\r\n")); err != nil {
				return
			}
		}
	}()
	return client, nil
}

// silence makes all connections so far silent.
func (n *network) silence() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.silent = n.dialed
}

func (n *network) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, conn := range n.made {
		_ = conn.Close()
	}
}

func send(t *testing.T, client connections.Client) error {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://service", nil)
	require.NoError(t, err)
	res, err := client.Do(req)
	if err == nil {
		err = res.Body.Close()
	}
	return err
}

func TestOneRequestIsLostHoweverManyConnectionsHaveGoneSilent(t *testing.T) {
	const pooled = 50
	clients := map[string]func(*network) connections.Client{
		"net/http's": func(n *network) connections.Client {
			return &http.Client{Transport: &http.Transport{DialContext: n.dial, MaxIdleConnsPerHost: pooled}}
		},
		"the SDK's": func(n *network) connections.Client {
			return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
				t.DialContext, t.MaxIdleConnsPerHost = n.dial, pooled
			})
		},
	}
	for name, client := range clients {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{}
				watched := connections.Watched(client(n))
				var users sync.WaitGroup
				for range pooled { // at once, so that each has its own connection
					users.Go(func() { assert.NoError(t, send(t, watched)) })
				}
				users.Wait()
				n.silence()
				require.ErrorIs(t, send(t, watched), context.DeadlineExceeded)
				for range 3 {
					require.NoError(t, send(t, watched), "on a new connection")
				}
				n.close()
			})
		})
	}
}

func TestAClientIsWatchedOnceAndOneWithoutAPoolIsLeftAlone(t *testing.T) {
	watched := connections.Watched(&http.Client{})
	assert.Same(t, watched, connections.Watched(watched))
	plain := &other{}
	assert.Same(t, plain, connections.Watched(plain))
}

type other struct{ _ int }

func (*other) Do(*http.Request) (*http.Response, error) { return nil, net.ErrClosed }
