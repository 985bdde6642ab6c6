//go:build unix

package s3test

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The process that is killed is this test, run again.
func TestTheServerAndItsDirectoryGoWithAKilledProcess(t *testing.T) {
	if os.Getenv("S3TEST_HOLD") != "" {
		s := server(t)
		os.Stdout.WriteString(s.URL + "\n" + s.child.Dir + "\n")
		select {}
	}
	t.Setenv("MILEPOST_TEST_S3", "")
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "S3TEST_HOLD=1")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	url := lines.Text()
	require.True(t, lines.Scan())
	dir := lines.Text()

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url + "/health")
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())

	require.NoError(t, cmd.Process.Kill())
	assert.Error(t, cmd.Wait())
	assert.Eventually(t, func() bool {
		res, err := client.Get(url + "/health")
		if err == nil {
			res.Body.Close()
		}
		_, statErr := os.Stat(dir)
		return err != nil && os.IsNotExist(statErr)
	}, 10*time.Second, 20*time.Millisecond, "the server at %s still answers, or %s is still there", url, dir)
}

func TestOneOfManyProcessesBuildsAndTheOthersWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := lock(path)
	require.NoError(t, err)
	got := make(chan error)
	go func() {
		second, err := lock(path)
		if err == nil {
			err = second.Close()
		}
		got <- err
	}()
	select {
	case err := <-got:
		t.Fatalf("the second did not wait for the first: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	require.NoError(t, first.Close())
	require.NoError(t, <-got)
}
