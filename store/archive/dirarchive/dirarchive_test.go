package dirarchive_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/archive/archivetest"
	"github.com/milepost-dev/milepost/store/archive/dirarchive"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, dir string) *dirarchive.Archive {
	t.Helper()
	a, err := dirarchive.Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, a.Close()) })
	return a
}

func TestConformance(t *testing.T) {
	archivetest.Run(t, func(t *testing.T) archive.Archive { return open(t, t.TempDir()) }, nil)
}

func put(t *testing.T, a archive.Archive, key, data string) archive.Object {
	t.Helper()
	object, err := a.Create(t.Context(), key, strings.NewReader(data))
	require.NoError(t, err)
	return object
}

func keys(t *testing.T, a archive.Archive) []string {
	t.Helper()
	var found []string
	for object, err := range a.List(t.Context(), "", nil) {
		require.NoError(t, err)
		found = append(found, object.Key)
	}
	return found
}

func TestObjectsAreFilesThatAnyToolCanRead(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	put(t, a, "v/default/orders/eu/latest.json", "{}")
	data, err := os.ReadFile(filepath.Join(dir, "v", "default", "orders", "eu", "latest.json"))
	require.NoError(t, err)
	assert.Equal(t, "{}", string(data))
}

func TestFilesOfOthersAreNoObjects(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	put(t, a, "v/a.json", "{}")
	for _, path := range []string{"README.md", "v/%41.json", "v/Upper.json", ".DS_Store", "v/.tmp.json", "v/a.json~", "v/plain", "v/12~", "v/%zz.json", "v/%2e%2e.json"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, filepath.FromSlash(path)), nil, 0o644))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "v", "12", "x"), 0o755), "no directory of ours begins with a digit")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "v", "12", "1"), nil, 0o644))
	require.NoError(t, os.Symlink("a.json", filepath.Join(dir, "v", "b.json")))
	assert.Equal(t, []string{"v/a.json"}, keys(t, a))
}

func TestWhatACrashedWriterLeftIsSweptAndALiveOnesIsNot(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	put(t, a, "key.json", "{}")
	old := time.Now().Add(-2 * time.Hour)
	crashed, young := filepath.Join(dir, ".tmp", "CRASHED"), filepath.Join(dir, ".tmp", "YOUNG")
	require.NoError(t, os.WriteFile(crashed, []byte("half"), 0o644))
	require.NoError(t, os.Chtimes(crashed, old, old))
	require.NoError(t, os.WriteFile(young, []byte("half"), 0o644))

	source, slow := io.Pipe()
	done := make(chan error)
	go func() {
		_, err := a.Create(t.Context(), "slow.json", source)
		done <- err
	}()
	_, err := slow.Write([]byte("first half, "))
	require.NoError(t, err)
	entries, err := os.ReadDir(filepath.Join(dir, ".tmp"))
	require.NoError(t, err)
	for _, entry := range entries {
		if entry.Name() != "YOUNG" {
			require.NoError(t, os.Chtimes(filepath.Join(dir, ".tmp", entry.Name()), old, old))
		}
	}
	open(t, dir)
	assert.NoFileExists(t, crashed)
	assert.FileExists(t, young)
	_, err = slow.Write([]byte("second half"))
	require.NoError(t, err)
	require.NoError(t, slow.Close())
	require.NoError(t, <-done)
	data, _, err := archive.ReadAll(t.Context(), a, "slow.json", 100)
	require.NoError(t, err)
	assert.Equal(t, "first half, second half", string(data))
}

func TestNothingIsLeftBesideTheObjects(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	made := put(t, a, "v/a.json", "1")
	_, err := a.Create(t.Context(), "v/a.json", strings.NewReader("2"))
	require.ErrorIs(t, err, archive.ErrExists)
	_, err = a.Replace(t.Context(), "v/a.json", made.ETag, []byte("2"))
	require.NoError(t, err)
	_, err = a.Replace(t.Context(), "v/a.json", made.ETag, []byte("3"))
	require.ErrorIs(t, err, archive.ErrPrecondition)
	_, err = a.Create(t.Context(), "v/b.json", iotest.ErrReader(errors.New("broken")))
	require.Error(t, err)
	left, err := os.ReadDir(filepath.Join(dir, ".tmp"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestAnArchiveWhoseDirectoryIsGoneIsNotAnEmptyOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "archive")
	a := open(t, dir)
	put(t, a, "v/a.json", "1")
	require.NoError(t, os.RemoveAll(dir))
	_, _, err := a.Open(t.Context(), "v/a.json")
	assert.ErrorIs(t, err, archive.ErrNoArchive)
	assert.NotErrorIs(t, err, store.ErrNotFound)
	_, err = a.Create(t.Context(), "v/a.json", strings.NewReader("1"))
	assert.ErrorIs(t, err, archive.ErrNoArchive)
	err = nil
	for _, err = range a.List(t.Context(), "", nil) {
		break
	}
	assert.ErrorIs(t, err, archive.ErrNoArchive)
	assert.Error(t, a.Check(t.Context()))
}

func TestADirectoryThatCannotBeOpenedIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	_, err := dirarchive.Open(file)
	assert.Error(t, err)
	_, err = dirarchive.Open(filepath.Join(file, "below"))
	assert.Error(t, err)
}

// The processes are this test, run again: they create and replace the same keys
// through locks and links alone, and are killed in the middle of it.
func TestProcessesThatAreKilledLeaveWholeObjectsAndNoLock(t *testing.T) {
	if dir := os.Getenv("DIRARCHIVE_WRITE"); dir != "" {
		writeForEver(t, dir)
	}
	dir := t.TempDir()
	a := open(t, dir)
	for round := range 5 {
		var writers []*exec.Cmd
		for range 3 {
			cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
			cmd.Env = append(os.Environ(), "DIRARCHIVE_WRITE="+dir)
			require.NoError(t, cmd.Start())
			writers = append(writers, cmd)
		}
		require.Eventually(t, func() bool { return len(keys(t, a)) > 20*(round+1) }, time.Minute, time.Millisecond)
		for _, cmd := range writers {
			require.NoError(t, cmd.Process.Kill())
			require.Error(t, cmd.Wait())
		}
		for _, key := range keys(t, a) {
			data, _, err := archive.ReadAll(t.Context(), a, key, archive.MaxReplace)
			require.NoError(t, err)
			require.Len(t, data, 50_000, "object %s is whole", key)
			require.Equal(t, strings.Repeat(string(data[:10]), 5000), string(data), "object %s is of one writer", key)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		assert.NoError(t, a.Delete(ctx, "none"), "the lock is free")
		cancel()
	}
}

func writeForEver(t *testing.T, dir string) {
	a := open(t, dir)
	data := strings.Repeat(rand.Text()[:10], 5000)
	for i := 0; ; i++ {
		_, err := a.Create(t.Context(), fmt.Sprintf("v/%06d.json", i), strings.NewReader(data))
		if err != nil {
			require.ErrorIs(t, err, archive.ErrExists)
		}
		_, there, err := archive.ReadAll(t.Context(), a, "latest.json", archive.MaxReplace)
		if err != nil {
			require.ErrorIs(t, err, store.ErrNotFound)
		}
		_, err = a.Replace(t.Context(), "latest.json", there.ETag, []byte(data))
		if err != nil {
			require.ErrorIs(t, err, archive.ErrPrecondition)
		}
	}
}
