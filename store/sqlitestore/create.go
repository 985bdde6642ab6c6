package sqlitestore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/milepost-dev/milepost/store"
)

// newPrefix begins the name of a file that is not whole yet.
const newPrefix = ".milepost-new-"

// create makes the file, unless another process is faster. The file has its name only once the
// tables are in it and on the disk, so no one ever sees an empty one, not even after a kill.
func create(ctx context.Context, path string, private bool) (err error) {
	if err := noLog(path, "the file is missing"); err != nil {
		return err
	}
	content, err := emptyDatabase(ctx)
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o666) // less what the umask takes away
	if private {
		mode = 0o600
	}
	unfinished := filepath.Join(filepath.Dir(path), newPrefix+rand.Text())
	file, err := os.OpenFile(unfinished, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: this user may not make a file there: %w", store.ErrUnavailable, err)
	case err != nil:
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = renameNew(unfinished, path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(unfinished))
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// emptyDatabase returns the bytes of a database with the tables, and nothing in them.
func emptyDatabase(ctx context.Context) (content []byte, err error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.ExecContext(ctx, schema); err != nil {
		return nil, err
	}
	err = c.Raw(func(driverConn any) (err error) {
		content, err = driverConn.(interface{ Serialize() ([]byte, error) }).Serialize()
		return err
	})
	return content, err
}

// linkNew is renameNew where a system cannot rename without overwriting. If this process is killed
// between the two steps, the next one to open the file removes the other name: see countNames.
func linkNew(from, to string) error {
	if err := os.Link(from, to); err != nil {
		return err
	}
	if err := os.Remove(from); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
