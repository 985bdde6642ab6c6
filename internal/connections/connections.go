// Package connections keeps requests away from pooled connections that have gone silent.
package connections

import (
	"errors"
	"net/http"
	"sync"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// Client sends requests, as the AWS SDK's clients of services do.
type Client interface {
	Do(*http.Request) (*http.Response, error)
}

// Watched returns a client that sends requests as client does, and that leaves the connections of
// its pool once a request has timed out. When a NAT gateway or a load balancer is replaced, all
// pooled connections can go silent at once: each request would then wait its whole timeout on
// another of them. So at most the requests in flight at that moment are lost, whatever the number
// of connections.
//
// A client that is neither the SDK's own nor has a method CloseIdleConnections is returned as it
// is.
func Watched(client Client) Client {
	switch c := client.(type) {
	case *watched:
		return c
	case *awshttp.BuildableClient:
		// It cannot close its idle connections, but a copy of it has a pool of its own.
		c = c.WithTransportOptions(func(t *http.Transport) {
			if t.IdleConnTimeout == 0 { // the connections that are left must not stay forever
				t.IdleConnTimeout = awshttp.DefaultHTTPTransportIdleConnTimeout
			}
		})
		return &watched{client: c.Freeze(), leave: func(Client) Client { return c.Freeze() }}
	case interface{ CloseIdleConnections() }:
		return &watched{client: client, leave: func(used Client) Client {
			c.CloseIdleConnections()
			return used
		}}
	}
	return client
}

type watched struct {
	leave func(used Client) Client // returns the client for the requests to come

	mu     sync.Mutex
	client Client
	pools  int // how many were left so far
}

// Do implements [Client].
func (w *watched) Do(req *http.Request) (*http.Response, error) {
	w.mu.Lock()
	client, pool := w.client, w.pools
	w.mu.Unlock()
	res, err := client.Do(req)
	var timeout interface{ Timeout() bool }
	if err != nil && errors.As(err, &timeout) && timeout.Timeout() {
		w.mu.Lock()
		if w.pools == pool { // else another request has done it
			w.client, w.pools = w.leave(client), pool+1
		}
		w.mu.Unlock()
	}
	return res, err
}
