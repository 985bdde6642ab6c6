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

// Proxy listens on loopback until the test ends, sends what comes to endpoint
// through transport, and returns its own URL: so that another process meets the
// same faults. Where the transport gives an error the connection is closed
// without an answer, whatever the error, so that even [Refuse] looks ambiguous
// from outside.
//
// It suits local endpoints. AWS refuses what was signed for another host.
func Proxy(t testing.TB, endpoint string, transport *Transport) string {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil || target.Host == "" {
		t.Fatalf("a proxy needs a local endpoint before which to stand, not %q", endpoint)
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
