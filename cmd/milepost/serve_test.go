package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/internal/kinds"
)

// served is a milepost serve that runs in this process.
type served struct {
	url  string
	stop func() result
}

// said collects what a command prints while it runs.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// serve starts milepost serve, and stops it at the end of the test.
func serve(t *testing.T, env []string, args ...string) served {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(t.Context()))
	var stderr said
	done := make(chan result, 1)
	go func() {
		exit := run(ctx, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...), strings.NewReader(""), io.Discard, &stderr, append(os.Environ(), env...))
		done <- result{exit: exit, stderr: stderr.String()}
	}()
	address := regexp.MustCompile(`status page at (http://127\.0\.0\.1:\d+\S*)/\n`)
	require.Eventually(t, func() bool { return address.MatchString(stderr.String()) }, time.Minute, 5*time.Millisecond, "%s", &stderr)
	s := served{url: address.FindStringSubmatch(stderr.String())[1], stop: sync.OnceValue(func() result {
		cancel(&kinds.SignalError{Signal: os.Interrupt})
		return <-done
	})}
	t.Cleanup(func() { s.stop(); http.DefaultClient.CloseIdleConnections() })
	return s
}

// fetch gets a URL, with headers as name and value.
func fetch(t *testing.T, url string, headers ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	require.NoError(t, err)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	reply, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	require.NoError(t, err)
	return reply.StatusCode, string(body)
}

func TestServeShowsWhatTheCommandsPrint(t *testing.T) {
	onEachEngine(t, func(t *testing.T, env []string) {
		must(t, env, "set", "orders/eu", "--cursor", "7", "--execute")
		must(t, env, "set", "orders/eu", "--cursor", "8", "--reason", "by hand", "--execute")
		must(t, env, "expect", "never", "--every", "1d", "--grace", "2h")
		s := serve(t, env, "--show-state")

		lines := func(args ...string) (all []any) {
			for line := range strings.Lines(must(t, env, append(args, "-o", "json")...)) {
				all = append(all, decode(t, line))
			}
			return all
		}
		answer := func(path string) map[string]any {
			status, body := fetch(t, s.url+path)
			require.Equal(t, http.StatusOK, status, body)
			return decode(t, body).(map[string]any)
		}
		assert.Equal(t, lines("get", "orders/eu")[0], any(answer("/api/v1/checkpoints/orders/eu")))
		assert.Equal(t, lines("get", "orders/eu", "--version", "1")[0], any(answer("/api/v1/version/orders/eu?version=1")))
		assert.Equal(t, lines("history", "orders/eu"), answer("/api/v1/versions/orders/eu")["versions"])
		assert.Equal(t, lines("runs", "orders/eu"), answer("/api/v1/runs/orders/eu")["runs"])
		assert.Equal(t, lines("lease", "show", "orders/eu")[0], any(answer("/api/v1/lease/orders/eu")))
		assert.Equal(t, lines("list"), answer("/api/v1/checkpoints")["checkpoints"])
		assert.Equal(t, aged(lines("status")), aged(answer("/api/v1/status")["checkpoints"].([]any)))

		status, body := fetch(t, s.url+"/api/v1/lease/nothing")
		failed := milepost(t, env, "lease", "show", "nothing", "-o", "json").failure(t)
		assert.Equal(t, http.StatusNotFound, status)
		assert.Equal(t, map[string]any{"kind": failed.Kind, "exit": float64(failed.Exit), "error": strings.Replace(failed.Error, "show the lease", "the lease", 1)}, decode(t, body))

		status, metrics := fetch(t, s.url+"/metrics")
		assert.Equal(t, http.StatusOK, status)
		assert.Contains(t, metrics, `milepost_checkpoints{milepost_namespace="default"} 2`)
		assert.NotContains(t, metrics, "orders/eu")
		for _, path := range []string{"/healthz", "/readyz", "/", "/checkpoints/orders/eu", "/diff/orders/eu"} {
			status, _ := fetch(t, s.url+path)
			assert.Equal(t, http.StatusOK, status, path)
		}
		r := s.stop()
		assert.Equal(t, 130, r.exit)
	})
}

func decode(t *testing.T, text string) (v any) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &v), text)
	return v
}

// aged removes ages from a text: they change while the test runs.
func aged(lines []any) []any {
	for _, l := range lines {
		delete(l.(map[string]any), "age_ms")
	}
	return lines
}

func TestServeRequiresATokenWhereOtherMachinesReachIt(t *testing.T) {
	env := sqliteStore(t)
	must(t, env, "set", "orders/eu", "--cursor", "7", "--execute")
	for _, listen := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:80", "example.com:80"} {
		r := milepost(t, env, "serve", "--listen", listen)
		assert.Equal(t, 2, r.exit, listen)
		assert.Contains(t, r.stderr, "--token-file FILE or MILEPOST_SERVE_TOKEN")
	}
	for _, args := range [][]string{
		{"--listen", "127.0.0.1"}, {"--token-file", filepath.Join(t.TempDir(), "nothing")}, {"--prefix", "milepost", "--listen", "127.0.0.1:0"},
		{"--metrics-level", "all"}, {"--max-series", "0"}, {"--listen", "127.0.0.1:70000"}, {"orders/eu"},
	} {
		assert.Equal(t, 2, milepost(t, env, append([]string{"serve"}, args...)...).exit, args)
	}
	assert.Contains(t, milepost(t, append(env, "MILEPOST_SERVE_TOKEN=short"), "serve").stderr, "needs at least 16")

	const token = "0123456789abcdef"
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte(token+"\n"), 0o600))
	s := serve(t, env, "--token-file", file, "--prefix", "/milepost/")
	assert.True(t, strings.HasSuffix(s.url, "/milepost"), s.url)
	for path, want := range map[string]int{"/": 401, "/api/v1/status": 401, "/metrics": 401, "/healthz": 200, "/readyz": 200} {
		status, _ := fetch(t, s.url+path)
		assert.Equal(t, want, status, path)
		status, _ = fetch(t, s.url+path, "Authorization", "Bearer "+token)
		assert.Equal(t, 200, status, path)
	}
}

func TestServeOnLoopbackKnowsItsNames(t *testing.T) {
	env := sqliteStore(t)
	must(t, env, "set", "orders/eu", "--cursor", "7", "--execute")
	s := serve(t, env, "--allow-host", "proxy.example.com")
	for host, want := range map[string]int{"evil.test": 421, "localhost": 200, "proxy.example.com": 200} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/", nil)
		require.NoError(t, err)
		r.Host = host
		reply, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		body, err := io.ReadAll(reply.Body)
		require.NoError(t, errors.Join(err, reply.Body.Close()))
		assert.Equal(t, want, reply.StatusCode, host)
		if want != 200 {
			assert.Contains(t, string(body), "--allow-host", fmt.Sprint(host))
		}
	}
}

func TestServeFinishesRunningRequestsAtAStopAndTakesNoNewOnes(t *testing.T) {
	env := sqliteStore(t)
	must(t, env, "set", "orders/eu", "--cursor", "7", "--execute")
	s := serve(t, env)
	address := strings.TrimPrefix(s.url, "http://")
	conn, replies := begin(t, address)
	stopped := make(chan result, 1)
	go func() { stopped <- s.stop() }()
	refuses(t, address)
	require.Empty(t, stopped, "serve ends before the answer")

	finish(t, conn, replies)
	assert.Equal(t, 130, (<-stopped).exit)
}

func TestServeGivesUpRequestsThatDoNotEndWithinItsGrace(t *testing.T) {
	env := sqliteStore(t)
	must(t, env, "table", "create")
	patient, hasty := serve(t, env), serve(t, env, "--grace", "50ms")
	waits, late := begin(t, strings.TrimPrefix(patient.url, "http://"))
	conn, replies := begin(t, strings.TrimPrefix(hasty.url, "http://"))
	stopped := make(chan result, 1)
	go func() { stopped <- patient.stop() }()
	refuses(t, strings.TrimPrefix(patient.url, "http://"))
	assert.Equal(t, 130, hasty.stop().exit)
	require.Empty(t, stopped, "the server with a grace of 10 s goes on, though it was stopped first")
	_, err := http.ReadResponse(replies, nil)
	require.Error(t, err)
	require.NoError(t, conn.Close())
	finish(t, waits, late)
	assert.Equal(t, 130, (<-stopped).exit)

	r := milepost(t, env, "serve", "--grace", "-1s")
	assert.Equal(t, 2, r.exit)
	assert.Contains(t, r.stderr, "--grace -1s: it cannot be negative")
}

// begin sends a part of a form, and finish sends the rest. Between them the request is running.
func begin(t *testing.T, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(conn, "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"+
		"Content-Length: 6\r\nExpect: 100-continue\r\n\r\n")
	require.NoError(t, err)
	replies := bufio.NewReader(conn)
	reply, err := http.ReadResponse(replies, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusContinue, reply.StatusCode, "the page waits for the form")
	return conn, replies
}

func finish(t *testing.T, conn net.Conn, replies *bufio.Reader) {
	t.Helper()
	_, err := io.WriteString(conn, "next=/")
	require.NoError(t, err)
	reply, err := http.ReadResponse(replies, nil)
	require.NoError(t, err)
	require.NoError(t, reply.Body.Close())
	assert.Equal(t, http.StatusSeeOther, reply.StatusCode)
	assert.Equal(t, "/", reply.Header.Get("Location"))
}

// refuses waits until new connections are refused.
func refuses(t *testing.T, address string) {
	t.Helper()
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	}, time.Minute, 5*time.Millisecond)
}

func TestServeNeedsAStore(t *testing.T) {
	assert.Equal(t, 1, milepost(t, sqliteStore(t), "serve", "--listen", "127.0.0.1:0").exit, "no_table")
}
