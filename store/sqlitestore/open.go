package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/milepost-dev/milepost/store"
)

// openFile opens the file to write, and makes its tables if they are missing. A file that may not
// be written to is opened to read, if it has tables.
func (s *Store) openFile(ctx context.Context, mustExist bool, pragmas []string) error {
	why := s.refusal
	if why == nil {
		err := s.openToWrite(ctx, mustExist, pragmas)
		if !isNotWritable(err) {
			return err
		}
		why = err
	}
	err := s.readOnce(ctx, func(ctx context.Context, c *conn) error {
		there, err := c.hasTables(ctx)
		if err == nil && !there {
			err = errNoTables
		}
		return err
	})
	if errors.Is(err, errNoTables) && !mustExist {
		return why
	}
	if err == nil && s.refusal == nil {
		s.refusal = fmt.Errorf("SQLite cannot write to the file or its directory; it may be read-only for this user: %s", why.Error())
	}
	return err
}

// isNotWritable reports whether err is SQLite's, about a file or directory that it cannot write to.
func isNotWritable(err error) bool {
	switch code(err) {
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return true
	}
	return false
}

// openToWrite opens the writers and a reader. Each waits for a locked file here and not in SQLite:
// while processes race for a new file, the change to WAL fails with SQLITE_BUSY at once, even with
// a busy timeout.
func (s *Store) openToWrite(ctx context.Context, mustExist bool, pragmas []string) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, s.beats.close(), s.commits.close())
			s.beats, s.commits = nil, nil
		}
	}()
	if err := s.noHiddenUser(ctx); err != nil {
		return err
	}
	s.commits, err = untilUnlocked(ctx, s.busyTimeout, func() (*conn, error) {
		c, err := s.connect(ctx, toWrite, append(pragmas, "synchronous(FULL)", neverWait)...)
		if err != nil {
			return nil, err
		}
		if err := c.makeTables(ctx, mustExist); err != nil {
			return nil, errors.Join(err, c.close())
		}
		return c, nil
	})
	if err != nil {
		return err
	}
	s.beats, err = untilUnlocked(ctx, s.busyTimeout, func() (*conn, error) {
		return s.connect(ctx, toWrite, "synchronous(NORMAL)", neverWait)
	})
	if err != nil {
		return err
	}
	reader, err := s.connectReader(ctx)
	if err != nil {
		return err
	}
	<-s.readers
	s.readers <- reader
	return s.watch()
}

// noHiddenUser returns an error if a program has the database open whose log is not next to the
// file: the log was removed, or it is next to another name of the file. What this store saved would
// be lost to that program, and the other way round.
//
// A program that has the database open in WAL holds a lock on the file, and the log's index is
// there. So where there is no index, no other program may have a lock. One may have it for a moment,
// while it opens or closes the file.
func (s *Store) noHiddenUser(ctx context.Context) error {
	_, err := untilUnlocked(ctx, s.busyTimeout, func() (struct{}, error) {
		if _, err := os.Stat(s.real + indexSuffix); !errors.Is(err, fs.ErrNotExist) {
			return struct{}{}, nil
		}
		c, err := s.connect(ctx, toWrite, neverWait, "locking_mode(EXCLUSIVE)")
		if isBusy(err) {
			return struct{}{}, err
		}
		_ = c.close()
		return struct{}{}, nil // any other error is that of the next connection, too
	})
	if isBusy(err) {
		return fmt.Errorf("a program has the file open, and its %s is not here: it has the file open under another name, "+
			"or the log was removed, or it keeps the file to itself; end that program: %w", filepath.Base(s.real)+indexSuffix, err)
	}
	return err
}

// mostTries is how often a file that others change is read again.
const mostTries = 10

// readOnce runs query on a connection that is only for it. In a file that this store may not write
// to, other processes may begin to write, and end, at any time.
//
// Where there is a log, SQLite reads it, with locks, as long as it need not write to the directory.
// Where there is none, it reads the file alone, and reads again if the file changes meanwhile.
func (s *Store) readOnce(ctx context.Context, query func(context.Context, *conn) error) error {
	for range mostTries {
		before, alone, err := s.alone()
		if err != nil {
			return err
		}
		how := toRead
		if alone {
			how = immutable
		}
		c, err := s.connect(ctx, how)
		if err == nil {
			err = c.snapshot(ctx, query)
			_ = c.close() // nothing was written
		}
		after, aloneStill, statErr := s.alone()
		switch {
		case statErr != nil:
			return statErr
		case alone != aloneStill, alone && (after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) || !os.SameFile(before, after)):
			continue
		case !alone && isNotWritable(err):
			return s.needsCopy(ctx, err)
		}
		return err
	}
	return fmt.Errorf("%w: other processes change the file while it is read", store.ErrThrottled)
}

// alone returns the file, and whether it has all of the database: there is nothing in a log or a
// journal. With an index, a log that is empty belongs to a process that is about to write.
func (s *Store) alone() (file fs.FileInfo, alone bool, err error) {
	if file, err = os.Stat(s.real); err != nil {
		return nil, false, err
	}
	for _, suffix := range []string{logSuffix, journalSuffix} {
		holds, err := hasContent(s.real + suffix)
		if holds || err != nil {
			return file, false, err
		}
	}
	return file, !mayBeThere(s.real+indexSuffix) || !mayBeThere(s.real+logSuffix), nil
}

// needsCopy explains why a database with a log, or a journal, cannot be read in a directory that is
// read-only.
func (s *Store) needsCopy(ctx context.Context, err error) error {
	c, fileErr := s.connect(ctx, immutable)
	if isNotWritable(fileErr) {
		return err // not even the file alone
	}
	_ = c.close()
	name := filepath.Base(s.real)
	files, journal := fmt.Sprintf("%[1]s, %[1]s%[2]s and %[1]s%[3]s", name, logSuffix, indexSuffix), name+logSuffix
	if holds, _ := hasContent(s.real + journalSuffix); holds {
		journal = name + journalSuffix
		files = name + " and " + journal
	}
	return fmt.Errorf("what was saved last is in %s, and SQLite cannot recover it in a directory that is read-only for this user: "+
		"copy %s to a directory of yours, and read the copy: %s", journal, files, err.Error())
}
