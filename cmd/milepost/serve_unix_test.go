//go:build unix

package main

import (
	"os"
	"regexp"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestServeExitsWith143OnSIGTERMAfterItHasAnsweredRunningRequests(t *testing.T) {
	env := sqliteStore(t)
	must(t, env, "table", "create")
	p := startProcess(t, env, "serve", "--listen", "127.0.0.1:0")
	p.stderrHas(t, "status page at")
	said, err := os.ReadFile(p.stderr)
	require.NoError(t, err)
	address := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(string(said))
	conn, replies := begin(t, address)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	refuses(t, address)
	finish(t, conn, replies)
	assert.Equal(t, 143, p.exit(t))
}
