package dynamostore_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/test/dynamotest"
)

// gateway stands between a client and the endpoint. Its connections are in memory, so that it works
// in virtual time. All connections that it has at one moment can go silent.
type gateway struct {
	endpoint string
	conns    chan net.Conn
	ended    chan struct{}
	accepted atomic.Int64
	silent   atomic.Int64 // connections up to this one do not answer
}

func (g *gateway) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case g.conns <- server:
		return client, nil
	case <-g.ended:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept, Close and Addr implement net.Listener.
func (g *gateway) Accept() (net.Conn, error) {
	select {
	case c := <-g.conns:
		return c, nil
	case <-g.ended:
		return nil, net.ErrClosed
	}
}
func (g *gateway) Close() error   { return nil }
func (g *gateway) Addr() net.Addr { return &net.TCPAddr{} }

type connNumber struct{}

// ServeHTTP passes the request on. The connection to the endpoint is closed at once: one that waits
// would stop virtual time.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Context().Value(connNumber{}).(int64) <= g.silent.Load() {
		select {
		case <-r.Context().Done():
		case <-g.ended:
		}
		return
	}
	time.Sleep(time.Millisecond)
	req, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, g.endpoint+r.URL.Path, r.Body)
	if err != nil {
		panic(err)
	}
	req.Header = r.Header.Clone()
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer res.Body.Close()
	for name, values := range res.Header {
		if name != "Connection" {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(res.StatusCode)
	_, _ = io.Copy(w, res.Body)
}

func TestALeaseSurvivesAnyNumberOfSilentConnections(t *testing.T) {
	const pooled = 40
	f := setUp(t)
	options := f.raw.Options()
	clients := map[string]func(*gateway) *dynamodb.Client{
		"net/http's client": func(g *gateway) *dynamodb.Client {
			return dynamotest.ClientOver(t, &http.Transport{DialContext: g.dial, MaxIdleConnsPerHost: pooled})
		},
		"the SDK's client": func(g *gateway) *dynamodb.Client {
			return dynamodb.New(options, func(o *dynamodb.Options) {
				o.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
					t.DialContext, t.MaxIdleConnsPerHost = g.dial, pooled
				})
			})
		},
	}
	for name, client := range clients {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &gateway{endpoint: dynamotest.Endpoint(t), conns: make(chan net.Conn), ended: make(chan struct{})}
				server := &http.Server{Handler: g, ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
					return context.WithValue(ctx, connNumber{}, g.accepted.Add(1))
				}}
				served := make(chan error, 1)
				go func() { served <- server.Serve(g) }()

				st := dynamostore.New(client(g), f.table)
				key := store.Key{Namespace: "default", Name: name[:5]}
				l, err := lease.Acquire(t.Context(), st, key, nil)
				require.NoError(t, err)
				var traffic sync.WaitGroup
				for range pooled { // at once, so that each has its own connection
					traffic.Go(func() {
						_, err := st.Version(t.Context(), key, 1)
						assert.ErrorIs(t, err, store.ErrNotFound)
					})
				}
				traffic.Wait()
				g.silent.Store(g.accepted.Load())
				assert.GreaterOrEqual(t, g.accepted.Load(), int64(pooled))

				time.Sleep(10 * time.Minute)
				assert.NoError(t, l.Context().Err(), "the lease is held: %v", l.Lost())
				if l.Context().Err() == nil {
					assert.NoError(t, l.Release(t.Context()))
				}
				close(g.ended)
				_ = server.Close()
				assert.Error(t, <-served)
			})
		})
	}
}
