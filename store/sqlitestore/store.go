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

// DefaultBusyTimeout is how long a write waits for the file by default.
const DefaultBusyTimeout = 5 * time.Second

// Options of a [Store].
type Options struct {
	// BusyTimeout bounds how long a call waits while other processes write to
	// the file, or otherwise lock it; then it fails with [store.ErrThrottled].
	// A context that ends sooner ends the wait. 0 means [DefaultBusyTimeout].
	BusyTimeout time.Duration

	// CreateDir makes the missing directories above the file, for this user alone.
	// Without it, a missing directory is an error of [Open].
	CreateDir bool

	// MustExist makes Open fail with [store.ErrNoTable] where there is no file, or no
	// checkpoints in it, instead of creating them.
	MustExist bool

	// Clock reads the clock that the file's processes share. Nil means the
	// system's wall clock and, on Linux and macOS, its boot-time clock.
	Clock func() store.Clock

	// filesystem stands in for the system's answer, in tests.
	filesystem func(dir string) (name string, network bool)
}

// Store is a [store.Store] in one SQLite file.
type Store struct {
	path        string
	clock       func() store.Clock
	busyTimeout time.Duration
	filesystem  func(dir string) (string, bool)
	maxRecord   int64 // bytes

	// SQLite has one writer at a time. Waiting for it in here is fair, and faster than
	// polling the file's lock. Whoever holds the gate may use the two writers.
	gate    chan struct{}
	commits *conn // what it commits is on the disk
	beats   *conn // what it commits is there after a crash of any process; on the disk, with the next commit

	readers chan *conn // nil: not opened yet

	file   fs.FileInfo // as opened
	closed atomic.Bool
}

var _ store.Store = (*Store)(nil)

// Open opens the checkpoints in the file at path, which it creates if there is
// none, for any number of processes on this machine. Nil options are the defaults.
//
// It fails, and changes nothing, if the file was written by a newer release
// ([store.ErrNewerFormat]), is no SQLite database or a damaged one
// ([store.ErrBadRecord]), lies on a network filesystem, or cannot be created. It
// blocks while others lock the file, until ctx ends or [Options.BusyTimeout] has
// passed ([store.ErrThrottled]). A file that is read-only opens if it needs no
// change; then every write fails.
func Open(ctx context.Context, path string, opts *Options) (*Store, error) {
	return open(ctx, path, opts)
}

// New opens the checkpoints in the file that the caller's db has open, beside the
// caller's own tables, so that [Exec] reaches them. It is [Open] otherwise: the
// store makes connections of its own to that file and sets the file to WAL; it never uses
// db again, whose pool and pragmas stay the caller's, nor does Close close it.
// Foreign keys are enforced in [Exec] if they are on db.
//
// db is one of the driver modernc.org/sqlite: two copies of SQLite in one process
// would undo one another's file locks. A database in memory is refused.
func New(ctx context.Context, db *sql.DB, opts *Options) (*Store, error) {
	if _, ok := db.Driver().(*sqlite.Driver); !ok {
		return nil, fmt.Errorf("sqlitestore.New: the database is open by %T, not by the driver of modernc.org/sqlite", db.Driver())
	}
	var path string
	if err := db.QueryRowContext(ctx, `SELECT file FROM pragma_database_list WHERE name = 'main'`).Scan(&path); err != nil {
		return nil, fmt.Errorf("sqlitestore.New: ask the database for its file: %w", explained(err))
	}
	if path == "" {
		return nil, errors.New("sqlitestore.New: the database is in memory, which no other process sees; use a file, or memstore")
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
		s.busyTimeout = DefaultBusyTimeout
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

// checkedPath returns path made absolute, if a database can be there. It must not
// open the file: closing it would drop the locks that this process holds on it.
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
		return "", errors.New("it is a directory; name a file in it")
	case err == nil && !info.Mode().IsRegular():
		return "", fmt.Errorf("it is no regular file (%v)", info.Mode())
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
		return "", fmt.Errorf("it lies on a network filesystem (%s), where SQLite's write-ahead log does not work between machines; "+
			"use a local disk, or a DynamoDB store", name)
	}
	return path, nil
}

// Path returns the absolute path of the file.
func (s *Store) Path() string { return s.path }

// Close waits for the write in progress and closes the file. Every later call
// fails. A second Close does nothing.
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
		s.readers <- nil // for who waits for one, to see that the store is closed
	}
	errs = append(errs, s.beats.close(), s.commits.close()) // the last one empties the write-ahead log
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close SQLite file %s: %w", s.path, err)
	}
	return nil
}
