package sqlitestore

import (
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/milepost-dev/milepost/store"
)

// code returns SQLite's primary result code, or 0 if err is not SQLite's.
func code(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return sqlite3.SQLITE_OK
}

func isBusy(err error) bool {
	switch code(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL:
		return true
	}
	return false
}

func isForbidden(err error) bool  { return code(err) == sqlite3.SQLITE_AUTH }
func isConstraint(err error) bool { return code(err) == sqlite3.SQLITE_CONSTRAINT }

// isOfTheFile reports whether the error is of the file, and not of a statement.
func isOfTheFile(err error) bool {
	switch code(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY,
		sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_NOMEM:
		return true
	}
	return false
}

// rolledBack reports whether a COMMIT that failed with err has certainly changed nothing. After a
// failed write or sync that is not certain: all frames may be in the log, and a recovery after a
// crash would find them.
func rolledBack(err error) bool {
	switch code(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CONSTRAINT:
		return true
	}
	return false
}

// explained says what SQLite's code means, in words and by the contract's sentinels.
func explained(err error) error {
	switch code(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL:
		return fmt.Errorf("%w: another process has locked the file: %w", store.ErrThrottled, err)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("the disk is full; make room and save again: %w", err)
	case sqlite3.SQLITE_READONLY:
		return fmt.Errorf("the file, or its directory, is read-only for this user: %w", err)
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return fmt.Errorf("%w: this user may not open or create the file: %w", store.ErrUnavailable, err)
	case sqlite3.SQLITE_IOERR:
		return fmt.Errorf("%w: the disk has failed: %w", store.ErrUnavailable, err)
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: it is not an SQLite database; name another file: %w", store.ErrBadRecord, err)
	case sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("%w: the database is damaged; restore it from a backup: %w", store.ErrBadRecord, err)
	}
	if strings.Contains(err.Error(), "no such table: milepost_") {
		return fmt.Errorf("%w: %w", store.ErrNoTable, err)
	}
	return err
}

// failed adds to an error what was being done, to which checkpoint, and in which file. definite
// says that nothing was applied. A conflict has all that already.
func (s *Store) failed(op string, key store.Key, err error, definite bool) error {
	var conflict *store.ConflictError
	if errors.As(err, &conflict) {
		return err
	}
	err = explained(err)
	if definite && !errors.Is(err, store.ErrNotApplied) {
		err = fmt.Errorf("%w: %w", store.ErrNotApplied, err)
	}
	return fmt.Errorf("%s %s in %s: %w", op, key, s.path, err)
}
