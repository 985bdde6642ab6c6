//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/agent"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/memstore"
)

func TestAnAgentSavesMarksAtSIGTERMBeforeItsClientHasClosed(t *testing.T) {
	env := sqliteStore(t)
	cmd := exec.Command(os.Args[0], "agent")
	cmd.Env = append(append(os.Environ(), env...), asCommand+"=1")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() }).Stop()
	replies := bufio.NewReader(out)
	for id, request := range []string{
		`"method":"hello","protocol":1`, `"method":"open","name":"a","every":0,"interval_ms":0`,
	} {
		_, err := fmt.Fprintf(in, "{\"id\":%d,%s}\n", id, request)
		require.NoError(t, err)
		_, err = replies.ReadString('\n')
		require.NoError(t, err)
	}
	_, err = fmt.Fprint(in, `{"method":"mark","session":1,"cursor":"500","processed":500}`+"\n"+`{"id":9,"method":"info","session":1}`+"\n")
	require.NoError(t, err)
	_, err = replies.ReadString('\n')
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 143, exits(cmd))
	first := object(t, must(t, env, "get", "a", "--version", "1", "-o", "json"))
	assert.Equal(t, "500", first["cursor"])
	assert.Nil(t, first["ended"], "it was saved before the end of the session")
}

func TestARunSavesMarksAtSIGTERMBeforeItsCommandHasEnded(t *testing.T) {
	ns := checkpoint.Namespace{Store: memstore.New(nil), Name: store.DefaultNamespace}
	session, err := checkpoint.Open[json.RawMessage](t.Context(), ns, "a", &checkpoint.Options{
		Codec: agent.Codec{}, Every: math.MaxInt32, Interval: math.MaxInt64,
	})
	require.NoError(t, err)
	j := &job{session: session}
	release := j.saveSoonAtSignal()
	session.Mark("500", nil)
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
	require.Eventually(t, func() bool { return session.Version() == 1 }, time.Minute, time.Millisecond)
	release()
	require.NoError(t, session.Close(context.Background(), nil))
}
