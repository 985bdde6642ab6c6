package sqlitestore

import (
	"context"
	"fmt"
	"strings"

	"modernc.org/sqlite"

	"github.com/milepost-dev/milepost/store"
)

// Exec returns a statement that a [store.Commit] runs in its transaction, in the same file: both
// are applied, or nothing is. The arguments are those of [database/sql.DB.Exec].
//
// If the statement fails, the commit fails with a [*store.WriteError] around SQLite's error. A
// statement must not change Milepost's tables, end the transaction, set a pragma, or attach another
// file, because in WAL mode a transaction over several files is not atomic. Such a statement is
// refused with [store.ErrWrite]. Several statements in one text run in order. A statement that
// changes no row has not failed.
func Exec(query string, args ...any) store.Write { return statement{query, args} }

type statement struct {
	query string
	args  []any
}

func statements(writes []store.Write) ([]statement, error) {
	if len(writes) > store.MaxWrites {
		return nil, fmt.Errorf("%w: %d writes, and the limit is %d", store.ErrWrite, len(writes), store.MaxWrites)
	}
	all := make([]statement, len(writes))
	for i, w := range writes {
		stmt, ok := w.(statement)
		if !ok {
			return nil, fmt.Errorf("%w: write %d is a %T, not made by sqlitestore.Exec", store.ErrWrite, i, w)
		}
		all[i] = stmt
	}
	return all, nil
}

// run runs the caller's statements. They are not kept prepared: their number has no bound, and the
// guard sees a statement only when it is prepared.
func (c *conn) run(ctx context.Context, key store.Key, all []statement) error {
	c.guarded = true
	defer func() { c.guarded = false }()
	for i, stmt := range all {
		_, err := c.conn.ExecContext(ctx, stmt.query, stmt.args...)
		switch {
		case err == nil:
		case isForbidden(err):
			return fmt.Errorf("%w: write %d may not change Milepost's tables, end the transaction, attach a file or set a pragma: %w",
				store.ErrWrite, i, err)
		case ctx.Err() != nil || isOfTheFile(err):
			return err
		default:
			return &store.WriteError{Key: key, Index: i, Err: err}
		}
	}
	return nil
}

func forbidden(action sqlite.AuthorizerActionCode, arg1, arg2 string) bool {
	switch action {
	case sqlite.AuthTransaction, sqlite.AuthSavepoint, sqlite.AuthAttach, sqlite.AuthDetach, sqlite.AuthPragma:
		return true
	case sqlite.AuthRead, sqlite.AuthSelect, sqlite.AuthFunction, sqlite.AuthRecursive:
		return false
	case sqlite.AuthInsert, sqlite.AuthUpdate, sqlite.AuthDelete:
		return ours(arg1) // arg2 is a column, which may be called anything
	}
	return ours(arg1) || ours(arg2)
}

func ours(table string) bool {
	const prefix = "milepost_"
	return len(table) >= len(prefix) && strings.EqualFold(table[:len(prefix)], prefix)
}
