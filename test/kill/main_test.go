//go:build linux

// Package kill_test runs the milepost command as its users do, on real data, and kills, stops and
// overtakes it. It needs Linux: elsewhere no system call ends a child with its parent, and a
// crashed run's lease is not seen to be dead at once.
//
// MILEPOST_KILL_SEED repeats a run's random moments; MILEPOST_KILL_TIMES and MILEPOST_KILL_ROUNDS make it longer
// (make campaign).
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

// role makes this test binary another program: a batch's CMD, or a contender for a lease.
const role = "MILEPOST_KILL_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "worker":
		os.Exit(exitOf(work()))
	case "racer":
		os.Exit(exitOf(race()))
	}
	defer os.Exit(1) // if a test ends the process
	dir, err := os.MkdirTemp("", "milepost-kill-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	built = filepath.Join(dir, "milepost")
	goleak.VerifyTestMain(m, goleak.Cleanup(func(exit int) {
		_ = os.RemoveAll(dir)
		os.Exit(exit)
	}))
}

func exitOf(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

var (
	built string // where the command is built to
	build = sync.OnceValue(func() error {
		cmd := exec.Command("go", "build", "-race=false", "-o", built, "github.com/milepost-dev/milepost/cmd/milepost")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("build milepost: %w: %s", err, out)
		}
		return nil
	})
)

// binary is the command, built once.
func binary(t *testing.T) string {
	t.Helper()
	require.NoError(t, build())
	return built
}

// times is a count that a longer campaign raises.
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

// random returns the test's moments, and prints what repeats them.
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
