//go:build unix

package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestServeExitsWith143OnSIGTERMWhenItHasAnsweredWhatItHasBegun(t *testing.T) {
	env := sqliteStore(t)
	must(t, env, "table", "create")
	p := startProcess(t, env, "serve", "--listen", "127.0.0.1:0")
	p.stderrHas(t, "status page at")
	said, err := os.ReadFile(p.stderr)
	require.NoError(t, err)
	conn, err := net.Dial("tcp", regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(string(said)))
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = io.WriteString(conn, "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"+
		"Content-Length: 6\r\nExpect: 100-continue\r\n\r\n")
	require.NoError(t, err)
	replies := bufio.NewReader(conn)
	reply, err := http.ReadResponse(replies, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusContinue, reply.StatusCode, "the request is under way")

	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	_, err = io.WriteString(conn, "next=/")
	require.NoError(t, err)
	reply, err = http.ReadResponse(replies, nil)
	require.NoError(t, err)
	require.NoError(t, reply.Body.Close())
	assert.Equal(t, http.StatusSeeOther, reply.StatusCode)
	assert.Equal(t, 143, p.exit(t))
}
