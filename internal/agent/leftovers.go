package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// On Unix a process that outlives milepost removes the directory of a run that was killed. On
// Windows there is none, so the next run does it. A file in the directory is open as long as its
// run lives. Windows refuses to remove a file that is open.
const (
	dirPrefix = "milepost-"
	inUse     = "in-use"
)

// inUseFrom marks dir as in use. The caller calls remove at the end, which removes dir.
func inUseFrom(goos, dir string) (remove func(), err error) {
	remove = func() { _ = os.RemoveAll(dir) }
	if goos != "windows" {
		return remove, nil
	}
	file, err := os.Create(filepath.Join(dir, inUse))
	if err != nil {
		remove()
		return nil, fmt.Errorf("make the directory for the command's socket: %w", err)
	}
	return func() {
		_ = file.Close()
		_ = os.RemoveAll(dir)
	}, nil
}

// sweepLeftovers removes the directories that killed runs left.
func sweepLeftovers() {
	if runtime.GOOS == "windows" {
		sweep(os.TempDir(), os.Remove)
	}
}

func sweep(in string, remove func(path string) error) {
	entries, _ := os.ReadDir(in) // what cannot be read cannot be swept
	for _, e := range entries {
		dir := filepath.Join(in, e.Name())
		if strings.HasPrefix(e.Name(), dirPrefix) && e.IsDir() && remove(filepath.Join(dir, inUse)) == nil {
			_ = os.RemoveAll(dir)
		}
	}
}
