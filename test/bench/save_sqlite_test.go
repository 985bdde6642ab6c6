package bench

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store/sqlitestore"
)

// BenchmarkSaveOnSQLite interleaves saves with careful code that does not use Milepost. That code
// writes HEAD, under the same condition, and the version's copy to another file, with prepared
// statements in one durable immediate transaction.
func BenchmarkSaveOnSQLite(b *testing.B) {
	b.Run("apart", func(b *testing.B) { onSQLite(b).apart(b) })
	b.Run("back-to-back", func(b *testing.B) { onSQLite(b).backToBack(b) })
}

func onSQLite(b *testing.B) *duel {
	session, save := open(b, sqliteStore(b, newFile(b)), asJSON)
	b.Cleanup(func() { closeSession(b, session) })
	return &duel{save: save, byHand: writeAgain(b), other: writeAgain(b)}
}

func newFile(b *testing.B) string { return filepath.Join(b.TempDir(), "jobs.db") }

func sqliteStore(b *testing.B, path string) *sqlitestore.Store {
	s, err := sqlitestore.Open(b.Context(), path, nil)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	return s
}

// writeAgain makes a file with one checkpoint, and returns a request that writes
// its next version.
func writeAgain(b *testing.B) request {
	path := newFile(b)
	session, _ := open(b, sqliteStore(b, path), asJSON)
	closeSession(b, session)
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(path)+
		"?_pragma=busy_timeout(5000)&_pragma=synchronous(FULL)&_txlock=immediate")
	require.NoError(b, err)
	db.SetMaxOpenConns(1)
	b.Cleanup(func() { require.NoError(b, db.Close()) })

	head := readRow(b, db, "SELECT * FROM milepost_head")
	copied := readRow(b, db, "SELECT * FROM milepost_version ORDER BY version DESC")
	setHead, err := db.PrepareContext(b.Context(), "UPDATE milepost_head SET "+strings.Join(head.columns, " = ?, ")+
		" = ? WHERE ns = ? AND name = ? AND fmt = ? AND epoch = ? AND lease_id = ? AND version = ?")
	require.NoError(b, err)
	addCopy, err := db.PrepareContext(b.Context(), fmt.Sprintf("INSERT INTO milepost_version (%s) VALUES (?%s)",
		strings.Join(copied.columns, ", "), strings.Repeat(", ?", len(copied.columns)-1)))
	require.NoError(b, err)
	version := (*head.value("version")).(int64)
	condition := []any{
		*head.value("ns"), *head.value("name"), *head.value("fmt"), *head.value("epoch"), *head.value("lease_id"), nil,
	}
	return func(ctx context.Context) error {
		condition[len(condition)-1] = version
		version++
		*head.value("version"), *copied.value("version") = version, version
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // does nothing after the commit
		result, err := tx.StmtContext(ctx, setHead).ExecContext(ctx, slices.Concat(head.values, condition)...)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n != 1 {
			return fmt.Errorf("%d rows changed: %w", n, err)
		}
		if _, err := tx.StmtContext(ctx, addCopy).ExecContext(ctx, copied.values...); err != nil {
			return err
		}
		return tx.Commit()
	}
}

type row struct {
	columns []string
	values  []any
}

func (r *row) value(column string) *any { return &r.values[slices.Index(r.columns, column)] }

func readRow(b *testing.B, db *sql.DB, query string) *row {
	rows, err := db.QueryContext(b.Context(), query)
	require.NoError(b, err)
	defer rows.Close()
	columns, err := rows.Columns()
	require.NoError(b, err)
	require.True(b, rows.Next())
	r := &row{columns: columns, values: make([]any, len(columns))}
	targets := make([]any, len(columns))
	for i := range r.values {
		targets[i] = &r.values[i]
	}
	require.NoError(b, rows.Scan(targets...))
	return r
}
