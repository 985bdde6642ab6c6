package faulthttp

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
)

// Proxy listens on loopback until the test ends, forwards requests to endpoint through transport,
// and returns its own URL, so that another process meets the same faults. If the transport returns
// an error, the proxy closes the connection without an answer, so even [Refuse] looks ambiguous
// from outside.
//
// Proxy works with local endpoints. AWS refuses requests that were signed for another host.
func Proxy(t testing.TB, endpoint string, transport *Transport) string {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil || target.Host == "" {
		t.Fatalf("a proxy needs a local endpoint, not %q", endpoint)
	}
	server := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // as signed
		},
		Transport: transport,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler) // net/http's way to hang up
		},
		ErrorLog: log.New(io.Discard, "", 0),
	})
	t.Cleanup(func() {
		server.CloseClientConnections() // ends what hangs
		server.Close()
		transport.CloseIdleConnections()
	})
	return server.URL
}
