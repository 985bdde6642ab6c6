package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
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

	// Private makes a missing file, and the missing directories above it, for this user only (0600
	// and 0700). Without it, a new file follows the umask, and [Open] fails if the directory is
	// missing.
	Private bool

	// MustExist makes Open fail with [store.ErrNoTable] if the file, or its tables, do not exist.
	// Without it, Open creates them.
	MustExist bool

	// AllowEmpty makes Open take a file of zero bytes, and make the tables in it. Without it, such
	// a file is an error that matches [store.ErrBadRecord]: it may be a database that was cut off.
	AllowEmpty bool

	// Clock reads the clock that the file's processes share. Nil means the machine's wall clock and
	// boot-time clock, or no clock where the boot or its clock is not known.
	Clock func() store.Clock

	// filesystem replaces the system's answer, in tests.
	filesystem func(dir string) (name string, network bool)
}

// Store is a [store.Store] in one SQLite file.
type Store struct {
	path        string // absolute
	real        string // path without symbolic links
	clock       func() store.Clock
	busyTimeout time.Duration
	filesystem  func(dir string) (string, bool)
	maxRecord   int64 // bytes

	// SQLite has one writer at a time. To wait for the gate is fair, and faster than to poll the
	// file's lock. The goroutine that holds the gate may use the two writers.
	gate    chan struct{}
	commits *conn // its commits are on the disk
	beats   *conn // its commits survive the crash of any process, and are on the disk with the next of commits

	// All readers are read-only, so to close one never changes the file. The first has the file
	// open from the start. nil: not opened yet.
	readers chan *conn

	watched  []watched             // by moved
	gone     atomic.Pointer[error] // the log or its index is no longer ours, and never will be again
	told     atomic.Bool           // a call has failed because a file is no longer ours
	refusal  error                 // why no write is allowed; nil: writes are allowed
	warnings []Finding             // as of the opening
	closed   atomic.Bool
}

var _ store.Store = (*Store)(nil)

// Open opens the checkpoints in the file at path, and creates the file if it does not exist. Any
// number of processes on this machine can open one file. Nil options are the defaults.
//
// Open fails, and changes nothing, if a newer release wrote the file ([store.ErrNewerFormat]), if
// it is a damaged SQLite database, an empty file, or none ([store.ErrBadRecord]), if it is on a
// network filesystem, or if it cannot be created. Open blocks while other processes lock the file,
// until ctx ends or [Options.BusyTimeout] has passed ([store.ErrThrottled]).
//
// Some files open, and then each write fails and says why: a file in a read-only directory, a
// read-only file that needs no change, and a file that other programs may know under another name,
// with another write-ahead log. That is a file with several hard links, or one that is a mount
// point by itself. See [Store.Warnings].
func Open(ctx context.Context, path string, opts *Options) (*Store, error) {
	return open(ctx, path, opts)
}

// New opens the checkpoints in the file of the caller's db, together with the caller's own tables,
// so that [Exec] can write to them. Otherwise it is [Open]: the store makes its own connections to
// that file and sets the file to WAL. It does not use db again, and leaves its pool and pragmas
// alone. Close does not close db. [Exec] enforces foreign keys if db does.
//
// db must use the driver modernc.org/sqlite, because two copies of SQLite in one process would undo
// each other's file locks. A database in memory is refused. So is an empty file, unless
// [Options.AllowEmpty] is set: make your own tables first.
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
	wrap := func(err error) error { return fmt.Errorf("open SQLite file %s: %w", path, err) }
	if s.path, s.real, err = s.locate(ctx, path, opts); err != nil {
		return nil, wrap(err)
	}
	if s.warnings, err = s.hazards(); err != nil {
		return nil, wrap(err)
	}
	for _, w := range s.warnings {
		if !w.Risky {
			s.refusal = errors.New(w.String())
		}
	}
	for range maxReaders {
		s.readers <- nil
	}
	if err := s.openFile(ctx, opts.MustExist, pragmas); err != nil {
		s.Close()
		return nil, wrap(explained(err))
	}
	return s, nil
}

// Path returns the absolute path of the file.
func (s *Store) Path() string { return s.path }

// Warnings returns what makes the file, or its directory, unsafe, as far as the opening of the file
// shows it. [Store.Check] finds more.
func (s *Store) Warnings() []Finding { return slices.Clone(s.warnings) }

// Close waits for the write in progress and closes the file. Later calls fail. A second Close does
// nothing. If the file or its write-ahead log was removed or replaced, and no call has said so yet,
// the error does.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.gate <- struct{}{}
	defer func() { <-s.gate }()
	told := s.told.Load()
	gone := s.moved(context.Background(), s.commits)
	var readers []*conn
	for range maxReaders {
		readers = append(readers, <-s.readers)
	}
	for range maxReaders {
		s.readers <- nil // wakes a call that waits for a reader, which then sees that the store is closed
	}
	// The last connection to close moves what is in the log to the file, and removes the log. Where
	// the log is another program's, that must be a reader, which cannot.
	order := slices.Concat(readers, []*conn{s.beats, s.commits})
	if gone != nil {
		order = slices.Concat([]*conn{s.beats, s.commits}, readers)
	}
	var errs []error
	if !told {
		errs = append(errs, gone)
	}
	for _, c := range order {
		errs = append(errs, c.close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close SQLite file %s: %w", s.path, err)
	}
	return nil
}
