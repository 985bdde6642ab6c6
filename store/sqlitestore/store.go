package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"

	"github.com/milepost-dev/milepost/store"
)

// Options of a [Store].
type Options struct {
	// BusyTimeout is how long a call waits while other processes write to the file or lock it. Then
	// the call fails with [store.ErrThrottled]. A context that ends sooner ends the wait. 0 means
	// five seconds.
	BusyTimeout time.Duration

	// CreateDir makes the missing directories above the file, readable for this user only. Without
	// it, [Open] fails if the directory is missing.
	CreateDir bool

	// MustExist makes Open fail with [store.ErrNoTable] if the file, or its tables, do not exist.
	// Without it, Open creates them.
	MustExist bool

	// Clock reads the clock that the file's processes share. Nil means the system's wall clock and,
	// on Linux and macOS, its boot-time clock.
	Clock func() store.Clock

	// filesystem replaces the system's answer, in tests.
	filesystem func(dir string) (name string, network bool)
}

// Store is a [store.Store] in one SQLite file.
type Store struct {
	path        string
	clock       func() store.Clock
	busyTimeout time.Duration
	filesystem  func(dir string) (string, bool)
	maxRecord   int64 // bytes

	// SQLite has one writer at a time. To wait for the gate is fair, and faster than to poll the
	// file's lock. The goroutine that holds the gate may use the two writers.
	gate    chan struct{}
	commits *conn // its commits are on the disk
	beats   *conn // its commits survive the crash of any process, and are on the disk with the next of commits

	readers chan *conn // nil: not opened yet

	file   fs.FileInfo // as opened
	closed atomic.Bool
}

var _ store.Store = (*Store)(nil)

// Open opens the checkpoints in the file at path, and creates the file if it does not exist. Any
// number of processes on this machine can open one file. Nil options are the defaults.
//
// Open fails, and changes nothing, if a newer release wrote the file ([store.ErrNewerFormat]), if
// it is a damaged SQLite database or none ([store.ErrBadRecord]), if it is on a network filesystem,
// or if it cannot be created. Open blocks while other processes lock the file, until ctx ends or
// [Options.BusyTimeout] has passed ([store.ErrThrottled]). A read-only file opens if it needs no
// change. Then each write fails.
func Open(ctx context.Context, path string, opts *Options) (*Store, error) {
	return open(ctx, path, opts)
}

// New opens the checkpoints in the file of the caller's db, together with the caller's own tables,
// so that [Exec] can write to them. Otherwise it is [Open]: the store makes its own connections to
// that file and sets the file to WAL. It does not use db again, and leaves its pool and pragmas
// alone. Close does not close db. [Exec] enforces foreign keys if db does.
//
// db must use the driver modernc.org/sqlite, because two copies of SQLite in one process would undo
// each other's file locks. A database in memory is refused.
func New(ctx context.Context, db *sql.DB, opts *Options) (*Store, error) {
	if _, ok := db.Driver().(*sqlite.Driver); !ok {
		return nil, fmt.Errorf("sqlitestore.New: the driver of the database is %T; use that of modernc.org/sqlite", db.Driver())
	}
	var path string
	if err := db.QueryRowContext(ctx, `SELECT file FROM pragma_database_list WHERE name = 'main'`).Scan(&path); err != nil {
		return nil, fmt.Errorf("sqlitestore.New: ask the database for its file: %w", explained(err))
	}
	if path == "" {
		return nil, errors.New("sqlitestore.New: the database is in memory, where no other process sees it; use a file, or memstore")
	}
	var foreignKeys bool
	if err := db.QueryRowContext(ctx, `PRAGMA foreign_keys`).Scan(&foreignKeys); err != nil {
		return nil, fmt.Errorf("sqlitestore.New: ask the database for foreign_keys: %w", explained(err))
	}
	if foreignKeys {
		return open(ctx, path, opts, "foreign_keys(1)")
	}
	return open(ctx, path, opts)
}

// maxRecord keeps a record below SQLite's limit of a row, 10^9 bytes.
const maxRecord = 1_000_000_000 - 64*1024

func open(ctx context.Context, path string, opts *Options, pragmas ...string) (_ *Store, err error) {
	if opts == nil {
		opts = &Options{}
	}
	s := &Store{
		clock: opts.Clock, busyTimeout: opts.BusyTimeout, filesystem: opts.filesystem, maxRecord: maxRecord,
		gate: make(chan struct{}, 1), readers: make(chan *conn, maxReaders),
	}
	if s.clock == nil {
		s.clock = systemClock()
	}
	if s.busyTimeout <= 0 {
		s.busyTimeout = 5 * time.Second
	}
	if s.filesystem == nil {
		s.filesystem = filesystem
	}
	if s.path, err = s.checkedPath(path, opts); err != nil {
		return nil, fmt.Errorf("open SQLite file %s: %w", path, err)
	}
	for range maxReaders {
		s.readers <- nil
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.commits, err = s.openFile(ctx, opts.MustExist, pragmas); err != nil {
		return nil, fmt.Errorf("open SQLite file %s: %w", path, explained(err))
	}
	if s.beats, err = s.connect(ctx, "synchronous(NORMAL)", neverWait); err != nil {
		return nil, fmt.Errorf("open SQLite file %s: %w", path, explained(err))
	}
	if s.file, err = os.Stat(s.path); err != nil {
		return nil, fmt.Errorf("open SQLite file: %w", err)
	}
	return s, nil
}

// checkedPath returns the absolute path, if a database can be there. It must not open the file: to
// close it would drop the locks that this process has on it.
func (s *Store) checkedPath(path string, opts *Options) (string, error) {
	if path == "" || path == ":memory:" {
		return "", errors.New("a database in memory would be lost, and no other process would see it; use a file, or memstore")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(path)
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return "", errors.New("it is a directory; give a file in it")
	case err == nil && !info.Mode().IsRegular():
		return "", fmt.Errorf("it is not a regular file (%v)", info.Mode())
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", err
	case err != nil && opts.MustExist:
		return "", fmt.Errorf("%w: there is no such file", store.ErrNoTable)
	case err != nil && opts.CreateDir:
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", err
		}
	}
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("the directory of the file is missing: %w", err)
	}
	if name, network := s.filesystem(dir); network {
		return "", fmt.Errorf("it is on a network filesystem (%s), where SQLite's write-ahead log does not work between machines; "+
			"use a local disk, or a DynamoDB store", name)
	}
	return path, nil
}

// Path returns the absolute path of the file.
func (s *Store) Path() string { return s.path }

// Close waits for the write in progress and closes the file. Later calls fail. A second Close does
// nothing.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.gate <- struct{}{}
	defer func() { <-s.gate }()
	var errs []error
	for range maxReaders {
		errs = append(errs, (<-s.readers).close())
	}
	for range maxReaders {
		s.readers <- nil // wakes a call that waits for a reader, which then sees that the store is closed
	}
	errs = append(errs, s.beats.close(), s.commits.close()) // the last one empties the write-ahead log
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close SQLite file %s: %w", s.path, err)
	}
	return nil
}
