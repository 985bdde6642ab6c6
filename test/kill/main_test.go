//go:build linux

// Package kill_test runs the milepost command as its users do, on real data, and kills, stops and
// overtakes it. It needs Linux: elsewhere no system call ends a child with its parent, and the
// lease of a crashed run is not seen to be dead at once.
//
// MILEPOST_KILL_SEED repeats a job's random moments. MILEPOST_KILL_JOBS (jobs with twenty kills, on
// each engine) and MILEPOST_KILL_ROUNDS (of the race) make the tests longer.
package kill_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// programs are built once, without the race detector: they are what users run, and there are many
// of their processes.
var (
	programs string // the directory
	build    = sync.OnceValue(func() error {
		cmd := exec.Command("go", "build", "-race=false", "-o", programs+string(filepath.Separator),
			"github.com/milepost-dev/milepost/cmd/milepost", "./worker", "./racer")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("build the programs: %w: %s", err, out)
		}
		return nil
	})
)

func TestMain(m *testing.M) {
	var err error
	if programs, err = os.MkdirTemp("", "milepost-kill-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(exit int) {
		_ = os.RemoveAll(programs)
		os.Exit(exit)
	}))
}

// program returns the path of milepost, worker or racer.
func program(t *testing.T, name string) string {
	t.Helper()
	require.NoError(t, build())
	return filepath.Join(programs, name)
}

// times returns a count that an environment variable raises.
func times(t *testing.T, variable string, usual int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, variable)
	require.Positive(t, n, variable)
	return n
}

// random returns the test's random source, and prints the seed that repeats it.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("MILEPOST_KILL_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, "MILEPOST_KILL_SEED")
	}
	t.Logf("MILEPOST_KILL_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}
