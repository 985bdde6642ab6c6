package sqlitestore

import (
	"database/sql"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
)

func TestWhatWasCommittedIsThereAfterReopening(t *testing.T) {
	for _, name := range []string{"jobs.db", "a b#c?d%41é.db"} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" {
				name = strings.ReplaceAll(name, "?", "!") // no file of Windows has one in its name
			}
			path := filepath.Join(t.TempDir(), name)
			s, err := Open(t.Context(), path, nil)
			require.NoError(t, err)
			assert.Equal(t, path, s.Path())
			committed(t, s, 3)
			require.NoError(t, s.Close())
			require.NoError(t, s.Close(), "a second Close does nothing")

			assert.Equal(t, int64(3), headOf(t, openStore(t, path, nil)).Number)
		})
	}
}

func TestAStoreThatIsClosedFailsEveryCall(t *testing.T) {
	s, err := Open(t.Context(), newFile(t), nil)
	require.NoError(t, err)
	committed(t, s, 1)
	require.NoError(t, s.Close())
	_, err = s.Commit(t.Context(), key, commitOf(2))
	require.ErrorContains(t, err, "closed")
	require.ErrorIs(t, err, store.ErrNotApplied)
	_, err = s.Look(t.Context(), key)
	require.ErrorContains(t, err, "closed")
}

func TestCommitsAreSyncedAndBeatsNeedNotBe(t *testing.T) {
	path := newFile(t)
	s := openStore(t, path, nil)
	pragma := func(c *conn, name string) (value string) {
		require.NoError(t, c.conn.QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&value))
		return value
	}
	assert.Equal(t, "wal", pragma(s.commits, "journal_mode"))
	assert.Equal(t, "2", pragma(s.commits, "synchronous"), "FULL")
	assert.Equal(t, "1", pragma(s.beats, "synchronous"), "NORMAL")
}

func TestOpenRefusesWhatCannotHoldCheckpointsAndLeavesItAsItIs(t *testing.T) {
	withTables := func(t *testing.T, changes ...string) string {
		path := newFile(t)
		s, err := Open(t.Context(), path, nil)
		require.NoError(t, err)
		require.NoError(t, s.Close())
		db := openSQL(t, path)
		for _, change := range changes {
			execSQL(t, db, change)
		}
		require.NoError(t, db.Close())
		return path
	}
	file := func(t *testing.T, content string) string {
		path := newFile(t)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	tests := []struct {
		name string
		path func(*testing.T) string
		opts *Options
		is   error // nil: none of the contract's
		says string
	}{
		{"a newer release's file", func(t *testing.T) string {
			return withTables(t, "UPDATE milepost_meta SET value = 2")
		}, nil, store.ErrNewerFormat, "its format is 2, and this release knows 1"},
		{"a newer release's file, with other tables", func(t *testing.T) string {
			return withTables(t, "UPDATE milepost_meta SET value = 2", "DROP TABLE milepost_head")
		}, nil, store.ErrNewerFormat, "its format is 2"},
		{"a file whose format is no number", func(t *testing.T) string {
			return withTables(t, "UPDATE milepost_meta SET value = 'x'")
		}, nil, store.ErrBadRecord, "format is of the wrong type"},
		{"a file of format 0", func(t *testing.T) string {
			return withTables(t, "UPDATE milepost_meta SET value = 0")
		}, nil, store.ErrBadRecord, "format is 0"},
		{"a file that lost its format", func(t *testing.T) string {
			return withTables(t, "DELETE FROM milepost_meta")
		}, nil, store.ErrBadRecord, `no row "format"`},
		{"a text file", func(t *testing.T) string {
			return file(t, strings.Repeat("no database\n", 1000))
		}, nil, store.ErrBadRecord, "not an SQLite database"},
		{"a directory", func(t *testing.T) string { return t.TempDir() }, nil, nil, "it is a directory"},
		{"a missing directory", func(t *testing.T) string {
			return filepath.Join(t.TempDir(), "missing", "jobs.db")
		}, nil, fs.ErrNotExist, "the directory of the file is missing"},
		{"a directory that is a file", func(t *testing.T) string {
			return filepath.Join(file(t, ""), "jobs.db")
		}, &Options{Private: true}, nil, "not a directory"},
		{"no file where there must be one", newFileT, &Options{MustExist: true}, store.ErrNoTable, "no such file"},
		{"no checkpoints where there must be some", func(t *testing.T) string {
			path := newFile(t)
			openSQLExec(t, path, "CREATE TABLE orders (id)")
			return path
		}, &Options{MustExist: true}, store.ErrNoTable, "holds no checkpoints"},
		{"a UTF-16 file", func(t *testing.T) string {
			path := newFile(t)
			openSQLExec(t, path, "PRAGMA encoding = 'UTF-16le'; CREATE TABLE orders (id)")
			return path
		}, nil, nil, "its encoding is UTF-16le"},
		{"a network filesystem", newFileT, &Options{
			filesystem: func(string) (string, bool) { return "nfs", true },
		}, nil, "network filesystem (nfs)"},
		{"memory", func(*testing.T) string { return ":memory:" }, nil, nil, "memory"},
		{"no name", func(*testing.T) string { return "" }, nil, nil, "memory"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := test.path(t)
			before, _ := os.ReadFile(path)
			_, err := Open(t.Context(), path, test.opts)
			require.ErrorContains(t, err, test.says)
			assert.ErrorContains(t, err, path)
			if test.is != nil {
				assert.ErrorIs(t, err, test.is)
			}
			after, _ := os.ReadFile(path)
			assert.Equal(t, before, after)
		})
	}
}

func newFileT(t *testing.T) string { return newFile(t) }

func TestADamagedFileIsNeverReadAsNoCheckpoint(t *testing.T) {
	path := newFile(t)
	s, err := Open(t.Context(), path, nil)
	require.NoError(t, err)
	committed(t, s, 1)
	require.NoError(t, s.Close())
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	for i := range content[4096:] { // all but the schema's page
		content[4096+i] = 0xff
	}
	require.NoError(t, os.WriteFile(path, content, 0o600))

	_, err = Open(t.Context(), path, nil)
	require.ErrorIs(t, err, store.ErrBadRecord)
	require.ErrorContains(t, err, "damaged")
}

func TestOpenMakesTheDirectoryOnlyWhenTold(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "milepost")
	openStore(t, filepath.Join(dir, "jobs.db"), &Options{Private: true})
	info, err := os.Stat(dir)
	require.NoError(t, err)
	if runtime.GOOS != "windows" { // a mode does not say who may read on Windows
		assert.Equal(t, fs.FileMode(0o700), info.Mode().Perm())
	}
}

func TestAFileThatIsRemovedOrReplacedWhileOpenFailsEveryCall(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("Windows lets no one remove a file that is open")
		return
	}
	for name, harm := range map[string]func(*testing.T, string){
		"removed": func(*testing.T, string) {},
		"replaced": func(t *testing.T, path string) {
			other := openStore(t, path, nil)
			committed(t, other, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := newFile(t)
			s := openStore(t, path, nil)
			committed(t, s, 1)
			for _, suffix := range []string{"", "-wal", "-shm"} {
				require.NoError(t, os.Remove(path+suffix))
			}
			harm(t, path)
			_, err := s.Commit(t.Context(), key, commitOf(2))
			require.ErrorIs(t, err, store.ErrUnavailable)
			require.ErrorIs(t, err, store.ErrNotApplied)
			_, err = s.Look(t.Context(), key)
			require.ErrorIs(t, err, store.ErrUnavailable)
		})
	}
}

func TestNewLivesInTheCallersFile(t *testing.T) {
	ctx := t.Context()
	path := newFile(t)
	db := openSQL(t, path) // one connection: the store must not keep it
	execSQL(t, db, "PRAGMA user_version = 42")
	execSQL(t, db, "PRAGMA foreign_keys = ON")
	execSQL(t, db, "CREATE TABLE orders (id INTEGER PRIMARY KEY)")
	execSQL(t, db, "CREATE TABLE lines (id INTEGER REFERENCES orders)")
	execSQL(t, db, "CREATE TABLE late (id INTEGER REFERENCES orders DEFERRABLE INITIALLY DEFERRED)")

	s, err := New(ctx, db, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	assert.Equal(t, path, s.Path())
	raised(t, s)

	commit := commitOf(1)
	commit.Writes = []store.Write{Exec("INSERT INTO orders VALUES (1)"), Exec("INSERT INTO lines VALUES (1)")}
	_, err = s.Commit(ctx, key, commit)
	require.NoError(t, err)
	commit = commitOf(2)
	commit.Writes = []store.Write{Exec("INSERT INTO lines VALUES (2)")}
	_, err = s.Commit(ctx, key, commit)
	var refused *store.WriteError
	require.ErrorAs(t, err, &refused, "the caller's foreign keys hold")
	commit.Writes = []store.Write{Exec("INSERT INTO late VALUES (2)"), Exec("INSERT INTO orders VALUES (3)")}
	_, err = s.Commit(ctx, key, commit)
	refused = nil
	require.ErrorAs(t, err, &refused, "those that are looked at by COMMIT, too")
	assert.Equal(t, 1, refused.Index)
	assert.ErrorIs(t, err, store.ErrNotApplied)
	assert.Equal(t, int64(1), headOf(t, s).Number)

	assert.Equal(t, 1, count(t, db, "SELECT count(*) FROM lines"))
	assert.Equal(t, 42, count(t, db, "PRAGMA user_version"), "is the caller's")
	assert.Zero(t, count(t, db, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'milepost\\_%' ESCAPE '\\' AND name NOT IN ('orders', 'lines', 'late')"))
	require.NoError(t, s.Close())
	assert.Equal(t, 1, count(t, db, "SELECT count(*) FROM orders"), "the caller's database stays open")
}

func TestNewRefusesADatabaseInMemory(t *testing.T) {
	db, err := sql.Open("sqlite", ":memory:")
	require.NoError(t, err)
	defer db.Close()
	_, err = New(t.Context(), db, nil)
	require.ErrorContains(t, err, "in memory")
}

func TestCheckFindsNothingInASoundFile(t *testing.T) {
	s := openStore(t, newFile(t), nil)
	committed(t, s, 2)
	found, err := s.Check(t.Context())
	require.NoError(t, err)
	assert.Empty(t, found)
}

func TestCheckSaysWhatIsWrongAndHowToMendIt(t *testing.T) {
	path := newFile(t)
	s := openStore(t, path, &Options{})
	db := openSQL(t, path)
	execSQL(t, db, "UPDATE milepost_meta SET value = 3")
	// An index that lacks a row.
	execSQL(t, db, "CREATE TABLE orders (id)")
	execSQL(t, db, "CREATE INDEX orders_id ON orders (id)")
	execSQL(t, db, "PRAGMA writable_schema = ON")
	execSQL(t, db, "UPDATE sqlite_schema SET sql = 'CREATE TABLE orders (id NOT NULL)' WHERE name = 'orders'")
	execSQL(t, db, "PRAGMA writable_schema = OFF")
	execSQL(t, db, "INSERT INTO orders VALUES (NULL)")
	s.filesystem = func(string) (string, bool) { return "nfs", true }

	found, err := s.Check(t.Context())
	require.NoError(t, err)
	var all []string
	for _, f := range found {
		all = append(all, f.String())
	}
	text := strings.Join(all, "\n")
	require.Len(t, found, 3, text)
	for _, want := range []string{"network filesystem (nfs)", "format is 3", "damaged: NULL value in orders.id", "restore it"} {
		assert.Contains(t, text, want)
	}
}
