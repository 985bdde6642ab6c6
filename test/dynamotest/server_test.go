//go:build unix

package dynamotest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// The test program also plays two other parts: a server that listens on the port in its last
// argument, and a process that started such a server and waits.
func TestMain(m *testing.M) {
	switch os.Getenv("DYNAMOTEST_PART") {
	case "server":
		fmt.Println("given", os.Args[1:])
		playServer(os.Args[len(os.Args)-1])
	case "starter":
		s, err := startServer(context.Background(), "a server", "listening on", serverCommand)
		fmt.Println(s.URL, err)
		select {}
	default:
		goleak.VerifyTestMain(m)
	}
}

func playServer(port string) {
	server := &http.Server{Addr: "127.0.0.1:" + port, ReadHeaderTimeout: time.Second}
	time.AfterFunc(100*time.Millisecond, func() { fmt.Println("listening on", port) })
	fmt.Println("error:", server.ListenAndServe())
	os.Exit(1)
}

func serverCommand(port string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], port)
	cmd.Env = append(os.Environ(), "DYNAMOTEST_PART=server")
	return cmd
}

func answers(url string) bool {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
	res, err := client.Get(url)
	if err != nil {
		return false
	}
	return res.Body.Close() == nil
}

func TestAServerDiesWithTheProcessThatStartedIt(t *testing.T) {
	starter := exec.Command(os.Args[0])
	starter.Env = append(os.Environ(), "DYNAMOTEST_PART=starter")
	out, err := starter.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, starter.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	var url string
	_, err = fmt.Sscan(line, &url)
	require.NoError(t, err)
	require.True(t, answers(url), "%s before its starter is killed", url)

	require.NoError(t, starter.Process.Kill())
	_ = starter.Wait()
	assert.Eventually(t, func() bool { return !answers(url) }, time.Minute, 20*time.Millisecond)
}

func TestAStoppedServerIsGoneAndMayBeStoppedAgain(t *testing.T) {
	s, err := startServer(t.Context(), "a server", "listening on", serverCommand)
	require.NoError(t, err)
	require.True(t, answers(s.URL))
	s.Stop()
	assert.False(t, answers(s.URL))
	s.Stop()
}

func TestAServerWhosePortWasTakenIsStartedOnAnother(t *testing.T) {
	taken := httptest.NewServer(http.NotFoundHandler())
	defer taken.Close()
	var ports []string
	s, err := startServer(t.Context(), "a server", "listening on", func(port string) *exec.Cmd {
		if len(ports) == 0 {
			port = taken.URL[len("http://127.0.0.1:"):]
		}
		ports = append(ports, port)
		return serverCommand(port)
	})
	require.NoError(t, err)
	defer s.Stop()
	require.Len(t, ports, 2)
	assert.Equal(t, "http://127.0.0.1:"+ports[1], s.URL)
}

func TestAServerThatCannotStartIsReportedWithItsOutput(t *testing.T) {
	_, err := startServer(t.Context(), "a server", "listening on", func(string) *exec.Cmd {
		return exec.Command("/bin/sh", "-c", "echo error: no memory for pages; exit 1")
	})
	assert.ErrorContains(t, err, "start a server: ")
	assert.ErrorContains(t, err, "no memory for pages")
}

func TestDynamoDBLocalRunsFromDYNAMODBLOCALHOME(t *testing.T) {
	home, bin := t.TempDir(), t.TempDir()
	t.Setenv("MILEPOST_TEST_DYNAMODB", "")
	t.Setenv("DYNAMODB_LOCAL_HOME", home)
	t.Setenv("PATH", bin)

	_, err := Start(t.Context())
	require.ErrorContains(t, err, "holds no DynamoDB Local")

	jar := filepath.Join(home, "DynamoDBLocal.jar")
	require.NoError(t, os.WriteFile(jar, nil, 0o644))
	_, err = Start(t.Context())
	require.ErrorContains(t, err, "needs java")

	writeProgram(t, filepath.Join(bin, "java"), `DYNAMOTEST_PART=server exec `+os.Args[0]+` "$@"`)
	s, err := Start(t.Context())
	require.NoError(t, err)
	defer s.Stop()
	assert.True(t, answers(s.URL))
	assert.Eventually(t, func() bool { return s.child.Said() != "" }, time.Minute, time.Millisecond)
	assert.Contains(t, s.child.Said(), "-Djava.library.path="+home+"/DynamoDBLocal_lib -jar "+jar+" -inMemory -sharedDb -port ")
	assert.Contains(t, s.Env(), "MILEPOST_TEST_DYNAMODB="+s.URL)
	assert.Contains(t, s.Env(), "AWS_ACCESS_KEY_ID=milepost")
}

func TestANamedEndpointIsUsedAsItIs(t *testing.T) {
	running := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, "not a DynamoDB request")
	}))
	defer running.Close()
	t.Setenv("MILEPOST_TEST_DYNAMODB", running.URL+"/")
	s, err := Start(t.Context())
	require.NoError(t, err)
	defer s.Stop()
	assert.Equal(t, running.URL, s.URL)

	t.Setenv("MILEPOST_TEST_DYNAMODB", "aws")
	s, err = Start(t.Context())
	require.NoError(t, err)
	assert.Empty(t, s.URL)
	assert.Equal(t, []string{"MILEPOST_TEST_DYNAMODB=aws"}, s.Env(), "real credentials come from the environment")
}

func TestANamedEndpointThatCannotBeUsedIsAnErrorAndNothingElseIsTried(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for _, test := range []struct{ named, want string }{
		{"127.0.0.1:8000", `neither "aws" nor an URL`},
		{"dynamodb://orders", `neither "aws" nor an URL`},
		{"AWS", `neither "aws" nor an URL`},
		{closed.URL, "does not answer"},
	} {
		t.Setenv("MILEPOST_TEST_DYNAMODB", test.named)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := Start(ctx)
		assert.ErrorContains(t, err, test.want, "MILEPOST_TEST_DYNAMODB=%s", test.named)
	}
}
