package sqlitestore

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
)

func init() {
	children["write by hand"] = writeByHand
	children["open"] = openAndSay
	children["hold"] = holdOpen
}

// running is a child that works until its standard input ends.
type running struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
}

// startChild returns once the child has said that it works.
func startChild(t *testing.T, name string, args ...string) *running {
	t.Helper()
	c := &running{t: t, cmd: exec.CommandContext(t.Context(), os.Args[0], args...)}
	c.cmd.Env = append(os.Environ(), childVariable+"="+name)
	c.cmd.Stderr = os.Stderr
	in, err := c.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.cmd.Start())
	c.stdin, c.out = in, bufio.NewReader(out)
	c.line()
	return c
}

func (c *running) line() string {
	c.t.Helper()
	line, err := c.out.ReadString('\n')
	require.NoError(c.t, err, line)
	return line
}

func (c *running) end() {
	c.t.Helper()
	require.NoError(c.t, c.stdin.Close())
	require.NoError(c.t, c.cmd.Wait())
}

// runChild returns what the child has said.
func runChild(t *testing.T, name string, args ...string) string {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], args...)
	child.Env = append(os.Environ(), childVariable+"="+name)
	out, err := child.CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}

// writeByHand is a program that is not Milepost's and writes to the file.
func writeByHand(ctx context.Context, args []string) error {
	db, err := sql.Open("sqlite", args[0])
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(ctx, "CREATE TABLE theirs (id); INSERT INTO theirs VALUES (1)")
	return errors.Join(err, db.Close())
}

// openAndSay opens the file, and says what its HEAD is.
func openAndSay(ctx context.Context, args []string) error {
	s, err := Open(ctx, args[0], nil)
	if err != nil {
		fmt.Println("refused:", err)
		return nil
	}
	defer s.Close()
	found, err := s.Look(ctx, key)
	if err != nil {
		return err
	}
	if found.Head == nil {
		fmt.Println("none")
		return nil
	}
	fmt.Println("version", found.Head.Number)
	return nil
}

// holdOpen commits the versions from 1 on, one for each byte of its standard input, and keeps the
// file open until that ends.
func holdOpen(ctx context.Context, args []string) error {
	s, err := Open(ctx, args[0], nil)
	if err != nil {
		return err
	}
	defer s.Close()
	if _, _, err := s.Raise(ctx, key, fence, holder, true); err != nil {
		return err
	}
	in := bufio.NewReader(os.Stdin)
	for n := int64(1); ; n++ {
		if _, err := s.Commit(ctx, key, commitOf(n)); err != nil {
			return err
		}
		fmt.Println("version", n)
		if _, err := in.ReadByte(); err != nil {
			return nil
		}
	}
}

// exists reports whether there is anything at path.
func exists(t testing.TB, path string) bool {
	t.Helper()
	_, err := os.Lstat(path)
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	return err == nil
}

// closedAt is a file with the versions up to n, that no one has open.
func closedAt(t testing.TB, n int64) string {
	t.Helper()
	path := newFile(t)
	s, err := Open(t.Context(), path, nil)
	require.NoError(t, err)
	committed(t, s, n)
	require.NoError(t, s.Close())
	return path
}

func TestAFileWithTwoNamesIsReadAndNotWritten(t *testing.T) {
	path := closedAt(t, 1)
	other := filepath.Join(filepath.Dir(path), "other.db")
	require.NoError(t, os.Link(path, other))
	for _, name := range []string{path, other} {
		for how, open := range map[string]func() (*Store, error){
			"Open": func() (*Store, error) { return Open(t.Context(), name, nil) },
			"New":  func() (*Store, error) { return New(t.Context(), openSQL(t, name), nil) },
		} {
			s, err := open()
			require.NoError(t, err, how)
			assert.Equal(t, int64(1), headOf(t, s).Number)
			_, err = s.Commit(t.Context(), key, commitOf(2))
			require.ErrorIs(t, err, store.ErrNotApplied, how)
			require.NotErrorIs(t, err, store.ErrUnavailable, "to try again is of no use")
			require.ErrorContains(t, err, "2 names (hard links)")
			require.ErrorContains(t, err, "find "+filepath.Dir(name)+" -samefile "+name)
			_, err = s.Acquire(t.Context(), key, nil, fullLease())
			require.ErrorIs(t, err, store.ErrNotApplied, how)
			require.NoError(t, s.Close())
		}
	}
	require.NoError(t, os.Remove(other))
	_, err := openStore(t, path, nil).Commit(t.Context(), key, commitOf(2))
	require.NoError(t, err, "one name is left")
}

func TestASymbolicLinkIsTheSameDatabase(t *testing.T) {
	path := closedAt(t, 1)
	dir := filepath.Join(t.TempDir(), "dir")
	require.NoError(t, os.Symlink(filepath.Dir(path), dir))
	link := filepath.Join(t.TempDir(), "link.db")
	require.NoError(t, os.Symlink(filepath.Join(dir, "jobs.db"), link))
	a, b := openStore(t, path, nil), openStore(t, link, nil)
	_, err := b.Commit(t.Context(), key, commitOf(2))
	require.NoError(t, err)
	_, err = a.Commit(t.Context(), key, commitOf(3))
	require.NoError(t, err)
	assert.Equal(t, int64(3), headOf(t, b).Number)
	assert.False(t, exists(t, link+"-wal"))

	fresh := filepath.Join(t.TempDir(), "fresh.db")
	require.NoError(t, os.Symlink("target.db", fresh))
	committed(t, openStore(t, fresh, nil), 1)
	assert.True(t, exists(t, filepath.Join(filepath.Dir(fresh), "target.db")), "the target of a link is made where it points")
}

// logGone has a store whose versions 3 to 5 are only in the write-ahead log, and whose log, or its
// index, is no longer there.
func logGone(t *testing.T, suffixes []string, replace bool) (*Store, string) {
	t.Helper()
	path := closedAt(t, 2)
	s, err := Open(t.Context(), path, nil)
	require.NoError(t, err)
	for n := int64(3); n <= 5; n++ {
		_, err := s.Commit(t.Context(), key, commitOf(n))
		require.NoError(t, err)
	}
	for _, suffix := range suffixes {
		require.NoError(t, os.Remove(path+suffix))
		if replace {
			require.NoError(t, os.WriteFile(path+suffix, nil, 0o600))
		}
	}
	return s, path
}

func TestAWriteIsRefusedOnceTheLogIsNoLongerThere(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("Windows lets no one remove a file that is open")
		return
	}
	for name, gone := range map[string]struct {
		suffixes []string
		replace  bool
		says     string
	}{
		"both removed":       {[]string{"-wal", "-shm"}, false, "jobs.db-wal was removed"},
		"the log removed":    {[]string{"-wal"}, false, "jobs.db-wal was removed"},
		"the log replaced":   {[]string{"-wal"}, true, "jobs.db-wal was replaced"},
		"its index removed":  {[]string{"-shm"}, false, "jobs.db-shm was removed"},
		"its index replaced": {[]string{"-shm"}, true, "jobs.db-shm was replaced"},
	} {
		t.Run(name, func(t *testing.T) {
			s, path := logGone(t, gone.suffixes, gone.replace)
			for range 2 { // the answer stays
				_, err := s.Commit(t.Context(), key, commitOf(6))
				require.ErrorIs(t, err, store.ErrNotApplied)
				require.ErrorContains(t, err, gone.says)
				if gone.suffixes[0] == "-wal" {
					require.ErrorContains(t, err, "orders/eu versions 3 to 5")
				} else {
					require.ErrorContains(t, err, "no version is lost")
				}
			}
			_, _, err := s.Renew(t.Context(), key, store.Renewal{Fence: fence, Beat: 9})
			require.ErrorIs(t, err, store.ErrNotApplied)
			require.ErrorContains(t, err, gone.says)
			_, err = s.Look(t.Context(), key)
			require.ErrorContains(t, err, gone.says)
			require.NoError(t, s.Close(), "it was said")
			if gone.suffixes[0] == "-wal" {
				assert.Equal(t, "version 2\n", runChild(t, "open", path), "what the removed log held is not in the file")
			} else {
				assert.Equal(t, "version 5\n", runChild(t, "open", path), "the log is still there")
			}
		})
	}
}

// Another program begins a log of its own when ours is removed. What it writes there must stay.
func TestClosingDoesNoHarmToTheLogThatReplacedOurs(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("Windows lets no one remove a file that is open")
		return
	}
	for _, refusedFirst := range []bool{true, false} {
		s, path := logGone(t, []string{"-wal", "-shm"}, false)
		runChild(t, "write by hand", path)
		if refusedFirst {
			_, err := s.Commit(t.Context(), key, commitOf(6))
			require.ErrorIs(t, err, store.ErrNotApplied)
			require.NoError(t, s.Close(), "it was said")
		} else {
			require.ErrorContains(t, s.Close(), "jobs.db-wal was replaced")
		}
		db := openSQL(t, path)
		assert.Equal(t, 1, count(t, db, "SELECT count(*) FROM theirs"))
		assert.Equal(t, 2, count(t, db, "SELECT version FROM milepost_head"))
		assert.Equal(t, 1, count(t, db, "SELECT count(*) FROM pragma_quick_check WHERE quick_check = 'ok'"))
	}
}

func TestAFileIsRefusedWhileAProgramHasItOpenWithAnotherLog(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("Windows lets no one remove or rename a file that is open")
		return
	}
	for name, hide := range map[string]func(t *testing.T, path, other string){
		"the log removed": func(t *testing.T, path, other string) {
			require.NoError(t, os.Symlink(path, other))
			require.NoError(t, os.Remove(path+"-wal"))
			require.NoError(t, os.Remove(path+"-shm"))
		},
		"its index removed": func(t *testing.T, path, other string) {
			require.NoError(t, os.Symlink(path, other))
			require.NoError(t, os.Remove(path+"-shm"))
		},
		"renamed": func(t *testing.T, path, other string) { require.NoError(t, os.Rename(path, other)) },
		"a second name, and the first removed": func(t *testing.T, path, other string) {
			require.NoError(t, os.Link(path, other))
			require.NoError(t, os.Remove(path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, other := newFile(t), newFile(t)
			holder := startChild(t, "hold", path)
			hide(t, path, other)
			_, err := Open(t.Context(), other, &Options{BusyTimeout: 50 * time.Millisecond})
			require.ErrorIs(t, err, store.ErrThrottled)
			require.ErrorContains(t, err, "a program has the file open")
			require.ErrorContains(t, err, "-shm is not here")
			holder.end()
			openStore(t, other, nil)
		})
	}
}

func TestAFileOfZeroBytesIsRefusedAndLeftAsItIs(t *testing.T) {
	path := closedAt(t, 3)
	require.NoError(t, os.Truncate(path, 0))
	require.NoError(t, os.WriteFile(path+"-wal", []byte("what SQLite would delete"), 0o600))
	for how, open := range map[string]func() (*Store, error){
		"Open":      func() (*Store, error) { return Open(t.Context(), path, nil) },
		"MustExist": func() (*Store, error) { return Open(t.Context(), path, &Options{MustExist: true}) },
	} {
		_, err := open()
		require.ErrorIs(t, err, store.ErrBadRecord, how)
		require.ErrorContains(t, err, "empty (0 bytes)")
		require.ErrorContains(t, err, "milepost table create")
		require.ErrorContains(t, err, path)
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.Zero(t, info.Size())
		assert.True(t, exists(t, path+"-wal"))
	}
	require.NoError(t, os.Remove(path+"-wal"))
	_, err := New(t.Context(), openSQL(t, path), nil)
	require.ErrorIs(t, err, store.ErrBadRecord)
	require.ErrorContains(t, err, "empty (0 bytes)")
}

// SQLite would put the pages of the old log over those of the new file.
func TestAMissingFileWhoseLogIsThereIsNotStartedAgain(t *testing.T) {
	for _, suffix := range []string{"-wal", "-journal"} {
		path := newFile(t)
		require.NoError(t, os.WriteFile(path+suffix, []byte("what was saved"), 0o600))
		for _, mustExist := range []bool{false, true} {
			_, err := Open(t.Context(), path, &Options{MustExist: mustExist})
			require.ErrorIs(t, err, store.ErrBadRecord)
			require.ErrorContains(t, err, "jobs.db"+suffix+" is there")
			require.ErrorContains(t, err, path)
		}
		assert.False(t, exists(t, path))
		content, err := os.ReadFile(path + suffix)
		require.NoError(t, err)
		assert.Equal(t, "what was saved", string(content))
	}
	path := newFile(t)
	require.NoError(t, os.WriteFile(path+"-wal", nil, 0o600))
	openStore(t, path, nil) // there was nothing in it
}

// copyOpen copies the files of a store that is open, as a crash would leave them.
func copyOpen(t *testing.T, s *Store, suffixes ...string) string {
	t.Helper()
	to := newFile(t)
	for _, suffix := range suffixes {
		content, err := os.ReadFile(s.Path() + suffix)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(to+suffix, content, 0o600))
	}
	return to
}

// docs/operations.md has the steps.
func TestABackupIsReadOnceTheOldLogIsAwayAndNotBefore(t *testing.T) {
	path := closedAt(t, 2)
	backup, err := os.ReadFile(path)
	require.NoError(t, err)
	s, err := Open(t.Context(), path, nil)
	require.NoError(t, err)
	_, err = s.Commit(t.Context(), key, commitOf(3))
	require.NoError(t, err)
	crashed := copyOpen(t, s, "", "-wal", "-shm")
	require.NoError(t, s.Close())

	require.NoError(t, os.WriteFile(crashed, backup, 0o600))
	restored := filepath.Join(t.TempDir(), "restored.db")
	require.NoError(t, os.WriteFile(restored, backup, 0o600))
	assert.Equal(t, int64(3), headOf(t, openStore(t, crashed, nil)).Number, "SQLite takes the log for the backup's")
	assert.Equal(t, int64(2), headOf(t, openStore(t, restored, nil)).Number)
}

func TestAnEmptyFileIsTakenWhereThatIsAllowed(t *testing.T) {
	path := newFile(t)
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, os.WriteFile(path+"-wal", []byte("what was saved"), 0o600))
	_, err := Open(t.Context(), path, &Options{AllowEmpty: true})
	require.ErrorContains(t, err, "jobs.db-wal is there", "SQLite would delete it")
	assert.True(t, exists(t, path+"-wal"))

	require.NoError(t, os.Remove(path+"-wal"))
	committed(t, openStore(t, path, &Options{AllowEmpty: true}), 1)

	path = newFile(t)
	s, err := New(t.Context(), openSQL(t, path), &Options{AllowEmpty: true})
	require.NoError(t, err, "a program that has no tables yet")
	committed(t, s, 1)
	require.NoError(t, s.Close())
}

func TestAFileThatWasLeftWithASecondNameWhileItWasMadeIsRepaired(t *testing.T) {
	path := closedAt(t, 1)
	unfinished := filepath.Join(filepath.Dir(path), newPrefix+"X")
	require.NoError(t, os.Link(path, unfinished))
	require.NoError(t, os.WriteFile(unfinished+"Y", nil, 0o600))
	_, err := openStore(t, path, nil).Commit(t.Context(), key, commitOf(2))
	require.NoError(t, err)
	assert.False(t, exists(t, unfinished))
	assert.True(t, exists(t, unfinished+"Y"), "another process may be making another file")
}

func TestAFileIsRenamedOnlyToANameThatIsFree(t *testing.T) {
	for how, rename := range map[string]func(from, to string) error{"renameNew": renameNew, "linkNew": linkNew} {
		dir := t.TempDir()
		from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
		require.NoError(t, os.WriteFile(from, []byte("new"), 0o600))
		require.NoError(t, rename(from, to), how)
		assert.False(t, exists(t, from), how)
		require.NoError(t, os.WriteFile(from, []byte("newer"), 0o600))
		require.ErrorIs(t, rename(from, to), fs.ErrExist, how)
		content, err := os.ReadFile(to)
		require.NoError(t, err)
		assert.Equal(t, "new", string(content), how)
		assert.True(t, exists(t, from), how)
	}
}

func TestADirectoryThatEveryoneCanWriteToIsAWarning(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("a mode does not say who may write on Windows")
		return
	}
	path := newFile(t)
	s := openStore(t, path, nil)
	assert.Empty(t, s.Warnings())
	for _, mode := range []fs.FileMode{0o777, 0o777 | fs.ModeSticky} {
		require.NoError(t, os.Chmod(filepath.Dir(path), mode))
		s := openStore(t, path, nil)
		require.Len(t, s.Warnings(), 1)
		assert.Contains(t, s.Warnings()[0].String(), "everyone may write to the directory "+filepath.Dir(path))
		assert.True(t, s.Warnings()[0].Risky)
		found, err := s.Check(t.Context())
		require.NoError(t, err)
		assert.Equal(t, s.Warnings(), found)
		other := store.Key{Namespace: key.Namespace, Name: fmt.Sprintf("%o", mode)}
		require.NoError(t, s.Expect(t.Context(), other, nil, &store.Expectation{}), "it is no more than a warning")
	}
}

func TestCheckFindsAFileWithTwoNames(t *testing.T) {
	path := closedAt(t, 1)
	require.NoError(t, os.Link(path, filepath.Join(filepath.Dir(path), "other.db")))
	s := openStore(t, path, nil)
	found, err := s.Check(t.Context())
	require.NoError(t, err)
	require.Len(t, found, 1)
	assert.False(t, found[0].Risky)
	assert.Equal(t, found, s.Warnings())
}

// A file appears at once with its tables, also while many processes make it.
func TestANewFileIsNeverSeenBeforeItIsWhole(t *testing.T) {
	for range 10 {
		path := newFile(t)
		const makers = 2
		ended := make(chan error, makers)
		for range makers {
			maker := exec.CommandContext(t.Context(), os.Args[0], path)
			maker.Env = append(os.Environ(), childVariable+"=open")
			require.NoError(t, maker.Start())
			go func() { ended <- maker.Wait() }()
		}
		for !exists(t, path) && len(ended) < makers {
			runtime.Gosched()
		}
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Contains(t, string(content), "CREATE TABLE milepost_head")
		for range makers {
			require.NoError(t, <-ended)
		}
		left, err := filepath.Glob(filepath.Join(filepath.Dir(path), newPrefix+"*"))
		require.NoError(t, err)
		assert.Empty(t, left)
	}
}
