package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/milepost-dev/milepost/store"
)

// One SQLite database is three files: the one that has its name, the write-ahead log (-wal) with
// what was committed since the last checkpoint, and the log's index (-shm). SQLite finds the two by
// the name of the first. A journal (-journal) is there while the file is changed to WAL.
const (
	logSuffix     = "-wal"
	indexSuffix   = "-shm"
	journalSuffix = "-journal"
)

// locate returns the absolute path, and the path without symbolic links, which the log is next to.
// It makes the file if it is missing and may be made.
//
// It must not open an existing file: to close it would drop the locks that this process has on it.
func (s *Store) locate(ctx context.Context, path string, opts *Options) (abs, real string, err error) {
	if path == "" || path == ":memory:" {
		return "", "", errors.New("a database in memory would be lost, and no other process would see it; use a file, or memstore")
	}
	if abs, err = filepath.Abs(path); err != nil {
		return "", "", err
	}
	if real, err = withoutLinks(abs); err != nil {
		return "", "", err
	}
	_, err = os.Stat(real)
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !missing:
		return "", "", err
	case missing && opts.MustExist:
		if err := noLog(real, "the file is missing"); err != nil {
			return "", "", err
		}
		return "", "", fmt.Errorf("%w: there is no such file", store.ErrNoTable)
	case missing && opts.Private:
		if err := os.MkdirAll(filepath.Dir(real), 0o700); err != nil {
			return "", "", err
		}
	}
	if _, err := os.Stat(filepath.Dir(real)); err != nil {
		return "", "", fmt.Errorf("the directory of the file is missing: %w", err)
	}
	if name, network := s.filesystem(filepath.Dir(real)); network {
		return "", "", fmt.Errorf("it is on a network filesystem (%s), where SQLite's write-ahead log does not work between machines; "+
			"use a local disk, or a DynamoDB store", name)
	}
	if missing {
		if err := create(ctx, real, opts.Private); err != nil {
			return "", "", err
		}
	}
	return abs, real, allowed(real, opts)
}

// allowed returns an error if what is at path cannot be a database.
func allowed(path string, opts *Options) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return errors.New("it is a directory; give a file in it")
	case !info.Mode().IsRegular():
		return fmt.Errorf("it is not a regular file (%v)", info.Mode())
	case info.Size() > 0:
		return nil
	case !opts.AllowEmpty:
		return fmt.Errorf("%w: the file is empty (0 bytes), as a database that was cut off: restore it from a backup, "+
			"or if nothing was ever saved in it, make it with milepost table create --store sqlite:%s", store.ErrBadRecord, path)
	}
	return noLog(path, "the file is empty (0 bytes)")
}

// noLog returns an error if the file has a log or a journal with something in it. SQLite would
// delete the log of an empty file, and apply that of a missing one to the new file.
func noLog(path, but string) error {
	for _, suffix := range []string{logSuffix, journalSuffix} {
		holds, err := hasContent(path + suffix)
		if err != nil {
			return err
		}
		if holds {
			return fmt.Errorf("%w: %s, but %s is there, with what was saved last: bring the file back, "+
				"or if nothing in it is needed, remove %[3]s", store.ErrBadRecord, but, filepath.Base(path)+suffix)
		}
	}
	return nil
}

func hasContent(path string) (bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.Size() > 0, err
}

// mayBeThere reports whether a file is there, or cannot be seen.
func mayBeThere(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// withoutLinks follows symbolic links as SQLite does. The target need not exist.
func withoutLinks(path string) (string, error) {
	for range 40 {
		real, err := filepath.EvalSymlinks(path)
		if err == nil {
			return real, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		target, err := os.Readlink(path)
		if err != nil { // not a link: the file, or a directory above it, is missing
			dir, err := filepath.EvalSymlinks(filepath.Dir(path))
			if err != nil {
				return path, nil //nolint:nilerr // the caller says what is missing
			}
			return filepath.Join(dir, filepath.Base(path)), nil
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	return "", errors.New("too many symbolic links")
}

// hazards returns what makes the file, or its directory, unsafe. A file that is broken must not be
// written to.
func (s *Store) hazards() ([]Finding, error) {
	var found []Finding
	dir := filepath.Dir(s.real)
	names, err := countNames(s.real)
	if err != nil {
		return nil, err
	}
	switch {
	case names > 1:
		found = append(found, Finding{
			Problem: fmt.Sprintf("the file has %d names (hard links), and under each SQLite keeps a write-ahead log of its own, so what is saved under one name is lost under another", names),
			Remedy:  fmt.Sprintf("find the others with find %s -samefile %s, here or in the directories above, and remove all but one", dir, s.real),
		})
	case isMountPoint(s.real):
		found = append(found, Finding{
			Problem: "the file is mounted by itself, without its write-ahead log, so what is saved here is lost where it was mounted from",
			Remedy:  "mount its directory instead of the file",
		})
	}
	if everyoneMayWrite(dir) {
		found = append(found, Finding{
			Risky:   true,
			Problem: fmt.Sprintf("everyone may write to the directory %s, and so put another file in the place of the database or of its write-ahead log", dir),
			Remedy:  "use a directory that only the users of the file may write to",
		})
	}
	return found, nil
}

// countNames returns how many names the file has. One that a killed process left while it made the
// file is removed.
func countNames(path string) (uint64, error) {
	names, err := hardLinks(path)
	if err != nil || names != 2 {
		return names, err
	}
	file, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	others, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return 0, err
	}
	for _, other := range others {
		if !strings.HasPrefix(other.Name(), newPrefix) {
			continue
		}
		if info, err := other.Info(); err == nil && os.SameFile(info, file) {
			if err := os.Remove(filepath.Join(filepath.Dir(path), other.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return 0, err
			}
		}
	}
	return hardLinks(path)
}
