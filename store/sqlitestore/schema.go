package sqlitestore

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/milepost-dev/milepost/store"
)

//go:embed schema.sql
var schema string

var errNoTables = fmt.Errorf("%w: the file holds no checkpoints", store.ErrNoTable)

// makeTables makes the tables. It changes nothing if they exist, or if they must.
func (c *conn) makeTables(ctx context.Context, mustExist bool) error {
	there, err := c.hasTables(ctx)
	if err != nil {
		return err
	}
	if !there && mustExist {
		return errNoTables
	}
	var encoding, mode string
	if err := c.conn.QueryRowContext(ctx, "PRAGMA encoding").Scan(&encoding); err != nil {
		return err
	}
	if encoding != "UTF-8" {
		return fmt.Errorf("its encoding is %s, and then names are not compared as bytes; use a UTF-8 file", encoding)
	}
	if err := c.conn.QueryRowContext(ctx, "PRAGMA journal_mode=WAL").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("its journal mode is %s and cannot be WAL", mode)
	}
	if there {
		return nil
	}
	defer func() { _, _ = c.exec(context.WithoutCancel(ctx), "ROLLBACK") }()
	if _, err := c.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if there, err := c.hasTables(ctx); there || err != nil { // another process may have made them
		return err
	}
	if _, err := c.conn.ExecContext(ctx, schema); err != nil {
		return err
	}
	_, err = c.exec(ctx, "COMMIT")
	return err
}

// hasTables reports whether the file has Milepost's tables. A format that this release does not
// know is an error.
func (c *conn) hasTables(ctx context.Context) (bool, error) {
	tables, err := c.rows(ctx, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'milepost\_%' ESCAPE '\'`)
	if err != nil || len(tables) == 0 {
		return false, err
	}
	found, err := c.rows(ctx, "SELECT value AS format FROM milepost_meta WHERE key = 'format'")
	if err != nil {
		return false, err
	}
	if len(found) == 0 {
		return false, fmt.Errorf("%w: milepost_meta has no row \"format\"", store.ErrBadRecord)
	}
	switch format := found[0].int("format"); {
	case found[0].err != nil:
		return false, fmt.Errorf("%w: milepost_meta: %w", store.ErrBadRecord, found[0].err)
	case format > store.Format:
		return false, fmt.Errorf("%w: its format is %d, and this release knows %d; use the newer release",
			store.ErrNewerFormat, format, store.Format)
	case format < 1:
		return false, fmt.Errorf("%w: milepost_meta: format is %d", store.ErrBadRecord, format)
	}
	return true, nil
}
