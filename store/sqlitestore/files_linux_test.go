package sqlitestore

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/milepost-dev/milepost/store"
)

func init() {
	children["mounted alone"] = mountedAlone
	children["mounted read-only"] = mountedReadOnly
	children["die at the first byte"] = dieAtTheFirstByte
	children["make a file"] = makeAFile
}

// inNamespace runs a child that may mount. It reports false, and says so, where the kernel does not
// allow that to this user.
func inNamespace(t *testing.T, name string, args ...string) (string, bool) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], args...)
	child.Env = append(os.Environ(), childVariable+"="+name)
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		child.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		child.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		child.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	var out bytes.Buffer
	child.Stdout, child.Stderr = &out, &out
	if err := child.Start(); err != nil {
		t.Logf("not tested here: this user may not make a mount namespace: %v", err)
		return "", false
	}
	require.NoError(t, child.Wait(), out.String())
	if strings.HasPrefix(out.String(), "may not mount") {
		t.Logf("not tested here: this user %s", out.String())
		return "", false
	}
	return out.String(), true
}

// bind mounts what is at from also at to.
func bind(from, to string) bool {
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if err == nil {
		err = unix.Mount(from, to, "", unix.MS_BIND, "")
	}
	if err != nil {
		fmt.Println("may not mount:", err)
	}
	return err == nil
}

func mountedAlone(ctx context.Context, args []string) error {
	path := filepath.Join(args[1], "jobs.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	if !bind(args[0], path) {
		return nil
	}
	return readAndTryToWrite(ctx, path)
}

// readAndTryToWrite says what a reader finds, and why a commit is refused.
func readAndTryToWrite(ctx context.Context, path string) error {
	s, err := Open(ctx, path, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	for range 2 {
		found, err := s.Look(ctx, key)
		if err != nil {
			return err
		}
		fmt.Println("version", found.Head.Number)
	}
	_, err = s.Commit(ctx, key, commitOf(found(ctx, s)+1))
	fmt.Println("refused:", err)
	return nil
}

func found(ctx context.Context, s *Store) int64 {
	found, err := s.Look(ctx, key)
	if err != nil {
		panic(err)
	}
	return found.Head.Number
}

// As docker run -v ./jobs.db:/state/jobs.db does.
func TestAFileThatIsAMountPointIsReadAndNotWritten(t *testing.T) {
	path := closedAt(t, 1)
	out, ok := inNamespace(t, "mounted alone", path, t.TempDir())
	if !ok {
		return
	}
	assert.Contains(t, out, "version 1\nversion 1\nrefused: ")
	assert.Contains(t, out, store.ErrNotApplied.Error())
	assert.Contains(t, out, "mounted by itself")
	assert.Contains(t, out, "mount its directory")
	assert.Equal(t, int64(1), headOf(t, openStore(t, path, nil)).Number)
}

func mountedReadOnly(ctx context.Context, args []string) error {
	if !bind(args[0], args[0]) {
		return nil
	}
	if err := unix.Mount("", args[0], "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		fmt.Println("may not mount:", err)
		return nil
	}
	return readAndTryToWrite(ctx, filepath.Join(args[0], "jobs.db"))
}

// wantReadAndRefused requires that a reader found these versions, and that a commit was refused.
func wantReadAndRefused(t *testing.T, versions, out string) {
	t.Helper()
	assert.Contains(t, out, versions)
	assert.Contains(t, out, "refused: ")
	assert.Contains(t, out, store.ErrNotApplied.Error())
	assert.Contains(t, out, "read-only for this user")
}

func TestADirectoryThatThisUserMayNotWriteToIsRead(t *testing.T) {
	path := closedAt(t, 1)
	require.NoError(t, os.Chmod(filepath.Dir(path), 0o500))
	defer func() { require.NoError(t, os.Chmod(filepath.Dir(path), 0o700)) }()
	asPlainUser(t, func() {
		s, err := Open(t.Context(), path, nil)
		require.NoError(t, err)
		defer s.Close()
		assert.Equal(t, int64(1), headOf(t, s).Number)
		_, err = s.Commit(t.Context(), key, commitOf(2))
		require.ErrorIs(t, err, store.ErrNotApplied)
		require.NotErrorIs(t, err, store.ErrUnavailable, "to try again is of no use")
		require.ErrorContains(t, err, "read-only for this user")
		found, err := s.Check(t.Context())
		require.NoError(t, err)
		require.Len(t, found, 1)
		assert.Contains(t, found[0].Problem, "no run can save here")
	})
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	assert.Len(t, entries, 1, "nothing was made there")
}

// As docker run -v ./state:/state:ro does.
func TestADirectoryThatIsMountedReadOnlyIsRead(t *testing.T) {
	path := newFile(t)
	read := func(versions string) {
		t.Helper()
		if out, ok := inNamespace(t, "mounted read-only", filepath.Dir(path)); ok {
			wantReadAndRefused(t, versions, out)
		}
	}
	writer := startChild(t, "hold", path)
	read("version 1\nversion 1\n")
	_, err := io.WriteString(writer.stdin, "x")
	require.NoError(t, err)
	require.Equal(t, "version 2\n", writer.line())
	read("version 2\nversion 2\n")
	writer.end()
	read("version 2\nversion 2\n")
}

func TestALogThatNeedsRecoveryInAReadOnlyDirectoryIsAnErrorThatSaysWhatToCopy(t *testing.T) {
	s, err := Open(t.Context(), closedAt(t, 1), nil)
	require.NoError(t, err)
	_, err = s.Commit(t.Context(), key, commitOf(2))
	require.NoError(t, err)
	path := copyOpen(t, s, "", "-wal")
	require.NoError(t, s.Close())

	require.NoError(t, os.Chmod(filepath.Dir(path), 0o500))
	asPlainUser(t, func() {
		_, err := Open(t.Context(), path, nil)
		require.ErrorContains(t, err, "copy jobs.db, jobs.db-wal and jobs.db-shm")
		require.ErrorContains(t, err, path)
	})
	require.NoError(t, os.Chmod(filepath.Dir(path), 0o700))
	assert.Equal(t, int64(2), headOf(t, openStore(t, path, nil)).Number, "nothing was changed")
}

// A store in a read-only directory sees what others write after it was opened.
func TestAReaderInAReadOnlyDirectorySeesWhatIsWrittenLater(t *testing.T) {
	path := closedAt(t, 1)
	dir := filepath.Dir(path)
	require.NoError(t, os.Chmod(dir, 0o500))
	defer func() { require.NoError(t, os.Chmod(dir, 0o700)) }()
	asPlainUser(t, func() {
		s, err := Open(t.Context(), path, nil)
		require.NoError(t, err)
		defer s.Close()
		require.Equal(t, int64(1), headOf(t, s).Number)

		require.NoError(t, os.Chmod(dir, 0o700))
		writer := startChild(t, "commit 2", path)
		require.NoError(t, os.Chmod(dir, 0o500))
		assert.Equal(t, int64(2), headOf(t, s).Number, "from the log of the one who writes")

		require.NoError(t, os.Chmod(dir, 0o700))
		writer.end()
		require.NoError(t, os.Chmod(dir, 0o500))
		assert.Equal(t, int64(2), headOf(t, s).Number, "from the file alone")
	})
}

func init() {
	children["commit 2"] = func(ctx context.Context, args []string) error {
		s, err := Open(ctx, args[0], nil)
		if err != nil {
			return err
		}
		defer s.Close()
		if _, err := s.Commit(ctx, key, commitOf(2)); err != nil {
			return err
		}
		fmt.Println("committed")
		_, err = io.Copy(io.Discard, os.Stdin)
		return err
	}
}

// dieAtTheFirstByte may not write a byte to any file: the first one kills it.
func dieAtTheFirstByte(ctx context.Context, args []string) error {
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 0, Max: 0}); err != nil {
		return err
	}
	_, err := Open(ctx, args[0], nil)
	return fmt.Errorf("still alive: %w", err)
}

func TestAKillWhileTheFileIsMadeLeavesNoEmptyOne(t *testing.T) {
	path := newFile(t)
	child := exec.CommandContext(t.Context(), os.Args[0], path)
	child.Env = append(os.Environ(), childVariable+"=die at the first byte")
	require.Error(t, child.Run())
	assert.False(t, exists(t, path), "a file is there before it is whole")
	committed(t, openStore(t, path, nil), 1)
}

// makeAFile prints the modes of what it makes, under a umask of a group that shares its files.
func makeAFile(ctx context.Context, args []string) error {
	syscall.Umask(0o002)
	s, err := Open(ctx, args[0], &Options{Private: len(args) > 1})
	if err != nil {
		return err
	}
	defer s.Close()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(args[0] + suffix)
		if err != nil {
			return err
		}
		fmt.Printf("%o\n", info.Mode().Perm())
	}
	return nil
}

func TestANewFileFollowsTheUmask(t *testing.T) {
	assert.Equal(t, "664\n664\n664\n", runChild(t, "make a file", newFile(t)))
}

func TestThePlaceOfAMountIsReadFromMountinfo(t *testing.T) {
	const mountinfo = "36 35 0:29 / /mnt/a\\040b\\134c rw,noatime shared:1 - ext4 /dev/sda rw\n" +
		"37 35 0:30 /jobs.db /state/jobs.db rw - ext4 /dev/sda rw\nshort\n"
	for path, want := range map[string]bool{
		"/state/jobs.db": true, `/mnt/a b\c`: true, "/state": false, "/jobs.db": false, "/state/jobs.db-wal": false,
	} {
		assert.Equal(t, want, hasMount(strings.NewReader(mountinfo), path), path)
	}
}

func TestAPrivateFileIsForItsUserOnlyWhateverTheUmask(t *testing.T) {
	assert.Equal(t, "600\n600\n600\n", runChild(t, "make a file", filepath.Join(t.TempDir(), "state", "jobs.db"), "private"))
}
