package agent

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheNextRunRemovesWhatAKilledRunLeftAndNothingElse(t *testing.T) {
	in := t.TempDir()
	made := func(name string, files ...string) string {
		dir := filepath.Join(in, name)
		require.NoError(t, os.Mkdir(dir, 0o700))
		for _, file := range files {
			require.NoError(t, os.WriteFile(filepath.Join(dir, file), nil, 0o600))
		}
		return dir
	}
	killed := made("milepost-1", inUse, "checkpoint.json", "socket")
	kept := []string{
		made("milepost-2", inUse, "checkpoint.json"), // its run lives
		made("milepost-3", "milepost.exe"),           // the Python package's
		made("milepost-4"),                           // a run is making it
		made("other", inUse),
	}
	sweep(in, func(path string) error {
		if path == filepath.Join(kept[0], inUse) {
			return errors.New("the file is used by another process")
		}
		return os.Remove(path)
	})
	assert.NoDirExists(t, killed)
	for _, dir := range kept {
		assert.DirExists(t, dir)
	}
	assert.FileExists(t, filepath.Join(kept[0], "checkpoint.json"))
	sweep(filepath.Join(in, "none"), os.Remove)
}

func TestADirectoryIsMarkedAsInUseUntilItIsRemoved(t *testing.T) {
	for goos, want := range map[string]int{"linux": 0, "darwin": 0, "windows": 1} {
		dir := filepath.Join(t.TempDir(), "d")
		require.NoError(t, os.Mkdir(dir, 0o700))
		remove, err := inUseFrom(goos, dir)
		require.NoError(t, err)
		files, err := os.ReadDir(dir)
		require.NoError(t, err)
		assert.Len(t, files, want, goos)
		remove()
		assert.NoDirExists(t, dir)
	}
}
