package dirarchive

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheNameOfTheArchiveItselfIsDurable(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // it cannot sync a directory
	}
	var synced []string
	syncFile = func(f *os.File) error {
		synced = append(synced, f.Name())
		return f.Sync()
	}
	defer func() { syncFile = (*os.File).Sync }()

	top := t.TempDir()
	dir := filepath.Join(top, "new", "newer", "archive")
	a, err := Open(dir)
	require.NoError(t, err)
	require.NoError(t, a.Close())
	assert.Equal(t, []string{filepath.Join(top, "new", "newer"), filepath.Join(top, "new"), top}, synced)

	synced = nil
	a, err = Open(dir)
	require.NoError(t, err)
	require.NoError(t, a.Close())
	assert.Equal(t, []string{filepath.Dir(dir)}, synced, "another process may have made it a moment ago")
}
