// Package examples_test builds the examples and runs them as a reader would.
package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOrdersGoesOnWhereItStopped(t *testing.T) {
	orders := build(t, "orders")
	dir := t.TempDir()
	run := func(args ...string) (string, error) {
		c := exec.Command(orders, args...)
		c.Dir = dir
		out, err := c.CombinedOutput()
		return string(out), err
	}
	out, err := run("ord-00006")
	require.Error(t, err)
	assert.Contains(t, out, "processed ord-00005\n")
	assert.Contains(t, out, "orders: ord-00006 cannot be processed\n")

	out, err = run()
	require.NoError(t, err, out)
	assert.Equal(t, "processed ord-00006\nprocessed ord-00007\nprocessed ord-00008\nprocessed ord-00009\nprocessed ord-00010\n", out)

	out, err = run()
	require.NoError(t, err, out)
	assert.Empty(t, out, "no order is left")
}

func TestKilledLosesNothing(t *testing.T) {
	out, err := exec.Command(build(t, "killed")).CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Contains(t, string(out), `"flights" goes on from record`)
	assert.Contains(t, string(out), "after the second run all 100000 are there")
}

func build(t *testing.T, name string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), name)
	out, err := exec.Command("go", "build", "-o", binary, "./"+name).CombinedOutput()
	require.NoError(t, err, string(out))
	require.FileExists(t, binary)
	info, err := os.Stat(binary)
	require.NoError(t, err)
	require.NotZero(t, info.Size())
	return binary
}
