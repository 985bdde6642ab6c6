package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// programs are the commands that the test's binary is under another name.
var programs = map[string]func() (exit int){
	"cat": func() int {
		if _, err := io.Copy(os.Stdout, os.Stdin); err != nil {
			return 1
		}
		return 0
	},
	"fails-at-21": func() int {
		if os.Getenv("MILEPOST_FIRST") == "21" {
			return 1
		}
		return 0
	},
}

// onPath makes the test's binary a program of that name, and one that is found first.
func onPath(t *testing.T, name string) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, linkTo(dir, name))
	t.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
}

// provideCat puts cat on the path where the system has none. The caller must call remove.
func provideCat() (remove func(), err error) {
	if _, err := exec.LookPath("cat"); err == nil {
		return func() {}, nil
	}
	dir, err := os.MkdirTemp("", "milepost-programs-")
	if err != nil {
		return nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) }
	if err := linkTo(dir, "cat"); err != nil {
		remove()
		return nil, fmt.Errorf("provide cat: %w", err)
	}
	return remove, os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
}

// linkTo makes the file of a program in dir: the test's binary, or a copy of it.
func linkTo(dir, name string) error {
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, name)
	if os.Link(self, path) == nil {
		return nil
	}
	content, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o700)
}
