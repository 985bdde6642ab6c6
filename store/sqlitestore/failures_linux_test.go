package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/milepost-dev/milepost/store"
)

// asPlainUser runs do without root's power to pass over permissions, which the tests
// of a container have.
func asPlainUser(t *testing.T, do func()) {
	t.Helper()
	runtime.LockOSThread() // capabilities are a thread's
	defer runtime.UnlockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var all [2]unix.CapUserData
	require.NoError(t, unix.Capget(&header, &all[0]))
	less := all
	less[0].Effective &^= 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH
	require.NoError(t, unix.Capset(&header, &less[0]))
	defer func() { require.NoError(t, unix.Capset(&header, &all[0])) }()
	do()
}

func TestAReadOnlyFileIsReadAndEveryWriteSaysWhy(t *testing.T) {
	path := newFile(t)
	s, err := Open(t.Context(), path, nil)
	require.NoError(t, err)
	committed(t, s, 1)
	require.NoError(t, s.Close())
	require.NoError(t, os.Chmod(path, 0o400))

	asPlainUser(t, func() {
		s, err := Open(t.Context(), path, nil)
		require.NoError(t, err)
		defer s.Close()
		assert.Equal(t, int64(1), headOf(t, s).Number)
		_, err = s.Commit(t.Context(), key, commitOf(2))
		require.ErrorIs(t, err, store.ErrNotApplied)
		require.ErrorContains(t, err, "read-only for this user")
		require.ErrorContains(t, err, path)
		assert.Equal(t, int64(1), headOf(t, s).Number)
	})
}

func TestAFileThatThisUserMayNotOpenIsAClearError(t *testing.T) {
	for name, forbid := range map[string]func(t *testing.T, dir, path string) error{
		"a file of another's": func(_ *testing.T, _, path string) error { return os.Chmod(path, 0) },
		"a new file in a read-only directory": func(t *testing.T, dir, path string) error {
			require.NoError(t, os.Remove(path))
			return os.Chmod(dir, 0o500)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "jobs.db")
			s, err := Open(t.Context(), path, nil)
			require.NoError(t, err)
			require.NoError(t, s.Close())
			require.NoError(t, forbid(t, dir, path))
			asPlainUser(t, func() {
				_, err := Open(t.Context(), path, nil)
				require.ErrorContains(t, err, "this user")
				require.ErrorContains(t, err, path)
			})
			require.NoError(t, os.Chmod(dir, 0o700))
		})
	}
}

func init() {
	children["commit until the disk fails"] = commitUntilTheDiskFails
}

// commitUntilTheDiskFails may not make any file longer than the write-ahead log is.
func commitUntilTheDiskFails(ctx context.Context, args []string) error {
	s, err := Open(ctx, args[0], nil)
	if err != nil {
		return err
	}
	defer s.Close()
	signal.Ignore(syscall.SIGXFSZ)
	log, err := os.Stat(args[0] + "-wal")
	if err != nil {
		return err
	}
	most := uint64(log.Size() + 100)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: most, Max: most}); err != nil {
		return err
	}
	_, err = s.Commit(ctx, key, commitOf(2))
	fmt.Println("definite:", errors.Is(err, store.ErrNotApplied))
	fmt.Println("unavailable:", errors.Is(err, store.ErrUnavailable))
	fmt.Println(err)
	return nil
}

// What a COMMIT has written when the disk fails may be found by a recovery, or not.
func TestACommitThatTheDiskFailsIsAmbiguous(t *testing.T) {
	path := newFile(t)
	s := openStore(t, path, nil)
	committed(t, s, 1)
	child := exec.CommandContext(t.Context(), os.Args[0], path)
	child.Env = append(os.Environ(), childVariable+"=commit until the disk fails")
	out, err := child.CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Contains(t, string(out), "definite: false\nunavailable: true\n")
	assert.Contains(t, strings.ToLower(string(out)), "the disk has failed")

	_, err = s.Commit(t.Context(), key, commitOf(2))
	require.NoError(t, err, "here it had not landed")
}
