//go:build unix

// Package shell_test tests that the example does what its README says.
package shell_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestALoopKilledManyTimesAddsUpRight(t *testing.T) {
	const lines, kills = 6050, 8
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	dir := t.TempDir()
	out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "milepost"), "../../cmd/milepost").CombinedOutput()
	require.NoError(t, err, "%s", out)
	numbers := filepath.Join(dir, "numbers.txt")
	var text strings.Builder
	var want int64
	for range lines {
		n := random.Int64N(1_000_000)
		want += n
		fmt.Fprintln(&text, n)
	}
	require.NoError(t, os.WriteFile(numbers, []byte(text.String()), 0o600))
	milepost := func(args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(dir, "milepost"), args...)
		cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "MILEPOST_STORE=sqlite:"+filepath.Join(dir, "jobs.db"))
		cmd.Stderr = t.Output()
		return cmd
	}

	for range kills {
		run := milepost("run", "sum", "--", "./sum.sh", numbers)
		require.NoError(t, run.Start())
		time.Sleep(time.Duration(50+random.IntN(400)) * time.Millisecond)
		_ = run.Process.Kill()
		_ = run.Wait()
	}
	out, err = milepost("run", "sum", "--", "./sum.sh", numbers).Output()
	require.NoError(t, err)
	assert.Equal(t, fmt.Sprintf("%d lines add up to %d\n", lines, want), string(out))

	out, err = milepost("get", "sum", "-o", "json").Output()
	require.NoError(t, err)
	var cp struct {
		Cursor           string
		Processed, State int64
		CommitEpoch      int64 `json:"commit_epoch"`
		Ended            string
	}
	require.NoError(t, json.Unmarshal(out, &cp))
	assert.Equal(t, fmt.Sprint(lines), cp.Cursor)
	assert.EqualValues(t, lines, cp.Processed, "each line counts once")
	assert.Equal(t, want, cp.State)
	assert.Equal(t, "done", cp.Ended)
	assert.Greater(t, cp.CommitEpoch, int64(1), "earlier runs were killed")
}
