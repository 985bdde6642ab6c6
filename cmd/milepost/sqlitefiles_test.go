package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAFileWithTwoNamesIsReadWithAWarningAndNoJobRunsOnIt(t *testing.T) {
	env := sqliteStore(t)
	path := strings.TrimPrefix(env[0], "MILEPOST_STORE=sqlite:")
	must(t, env, "set", "a", "--cursor", "x", "--execute")
	require.NoError(t, os.Link(path, filepath.Join(filepath.Dir(path), "other.db")))
	for _, args := range [][]string{{"get", "a"}, {"list"}, {"export"}} {
		r := milepost(t, env, args...)
		assert.Zero(t, r.exit, args)
		assert.Contains(t, r.stdout, "a", args)
		assert.Contains(t, r.stderr, "milepost: warning: store sqlite:"+path+": the file has 2 names", args)
		assert.Contains(t, r.stderr, "-samefile "+path, args)
	}
	input := writeFile(t, "in", numbered(3))
	for _, args := range [][]string{
		{"batch", "b", input, "--", "cat"}, {"run", "a", "--", "cat"}, {"set", "a", "--cursor", "y", "--execute"},
	} {
		r := milepost(t, env, append([]string{"-o", "json"}, args...)...)
		assert.Equal(t, 1, r.exit, "%v: %s", args, r.stderr)
		assert.Contains(t, r.failure(t).Error, "2 names (hard links)", args)
	}
	r := milepost(t, env, "check")
	assert.Equal(t, 1, r.exit)
	assert.Contains(t, r.stdout, "broken: the file has 2 names")
	require.NoError(t, os.Remove(filepath.Join(filepath.Dir(path), "other.db")))
	assert.Contains(t, must(t, env, "get", "a"), "x", "nothing was changed")
}

func TestAnEmptyFileIsRefusedWithTheCommandThatMakesIt(t *testing.T) {
	path := writeFile(t, "jobs.db", nil)
	env := []string{"MILEPOST_STORE=sqlite:" + path}
	input := writeFile(t, "in", numbered(3))
	for _, args := range [][]string{
		{"batch", "a", input, "--", "cat"}, {"run", "a", "--", "cat"}, {"list"}, {"get", "a"}, {"set", "a", "--cursor", "y", "--execute"},
	} {
		r := milepost(t, env, append([]string{"-o", "json"}, args...)...)
		assert.Equal(t, 1, r.exit, args)
		f := r.failure(t)
		assert.Equal(t, "bad_record", f.Kind, args)
		assert.Contains(t, f.Error, "milepost table create --store sqlite:"+path, args)
	}
	must(t, nil, "table", "create", "--store", "sqlite:"+path)
	must(t, env, "batch", "a", input, "--", "cat")
}

func TestTheDefaultStoreIsForItsUserOnly(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("a mode does not say who may read on Windows")
		return
	}
	state := t.TempDir()
	must(t, []string{"MILEPOST_STORE=", "XDG_STATE_HOME=" + state, "HOME=" + state}, "set", "a", "--cursor", "x", "--execute")
	var modes []string
	require.NoError(t, filepath.WalkDir(state, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && (entry.Name() == "milepost" || entry.Name() == "milepost.db") {
			info, err := entry.Info()
			require.NoError(t, err)
			modes = append(modes, entry.Name()+" "+info.Mode().String())
		}
		return err
	}))
	assert.Equal(t, []string{"milepost drwx------", "milepost.db -rw-------"}, modes)
}

func TestADirectoryThatEveryoneCanWriteToIsSaid(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("a mode does not say who may write on Windows")
		return
	}
	env := sqliteStore(t)
	dir := filepath.Dir(strings.TrimPrefix(env[0], "MILEPOST_STORE=sqlite:"))
	require.NoError(t, os.Chmod(dir, 0o777))
	r := milepost(t, env, "set", "a", "--cursor", "x", "--execute")
	assert.Zero(t, r.exit, r.stderr)
	assert.Contains(t, r.stderr, "milepost: warning: ")
	assert.Contains(t, r.stderr, "everyone may write to the directory "+dir)
	assert.Contains(t, must(t, env, "check"), "risky: everyone may write to the directory "+dir)
}
