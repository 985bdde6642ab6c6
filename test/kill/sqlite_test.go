//go:build linux

package kill_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/sqlitestore"
)

// file is an SQLite file for the checkpoints of jobs.
type file struct {
	path  string
	own   *sqlitestore.Store
	shell *sql.DB // for changes outside the store
}

func newFile(t *testing.T) *file {
	t.Helper()
	f := &file{path: filepath.Join(t.TempDir(), "jobs.db")}
	var err error
	f.own, err = sqlitestore.Open(t.Context(), f.path, nil)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, f.own.Close()) })
	f.shell, err = sql.Open("sqlite", f.path+"?_txlock=immediate")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, f.shell.Close()) })
	return f
}

func (f *file) url() string        { return "sqlite:" + f.path }
func (f *file) env() []string      { return nil }
func (f *file) store() store.Store { return f.own }

// writes returns only the moments before a write lands: a call on a file returns at once after
// that.
func (f *file) writes() []write { return []write{headSent, copySent, releaseSent} }

// hold adds a trigger that never ends: the run stays in its transaction, which has done its write
// and is not committed.
func (f *file) hold(t *testing.T, j *job, w write) (reached func() bool, undo func()) {
	t.Helper()
	version := j.ledger.starts[len(j.ledger.starts)-1].version
	on := map[write]string{
		headSent:    fmt.Sprintf(`milepost_head WHEN NEW.version = %d`, version),
		copySent:    fmt.Sprintf(`milepost_version WHEN NEW.version = %d`, version),
		releaseSent: `milepost_lease WHEN NEW.status = 'free'`,
	}[w]
	require.NotEmpty(t, on, "SQLite has no such moment: %s", w)
	f.exec(t, `CREATE VIEW held AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n;
		CREATE TRIGGER hold_insert AFTER INSERT ON `+on+` BEGIN SELECT count(*) FROM held; END;
		CREATE TRIGGER hold_update AFTER UPDATE ON `+on+` BEGIN SELECT count(*) FROM held; END`)
	var since time.Time
	return func() bool {
		lock, err := f.shell.BeginTx(t.Context(), nil)
		switch {
		case err == nil:
			since = time.Time{}
			require.NoError(t, lock.Rollback())
		case since.IsZero():
			since = time.Now()
		}
		return !since.IsZero() && time.Since(since) > time.Second // no other transaction takes so long
	}, func() { f.exec(t, `DROP TRIGGER hold_insert; DROP TRIGGER hold_update; DROP VIEW held`) }
}

func (f *file) exec(t *testing.T, query string, args ...any) (rows int64) {
	t.Helper()
	var done sql.Result
	wait(t, "the file", func() bool {
		var err error
		done, err = f.shell.ExecContext(t.Context(), query, args...)
		return err == nil
	})
	rows, err := done.RowsAffected()
	require.NoError(t, err)
	return rows
}

func (f *file) elsewhere(t *testing.T, key store.Key) {
	t.Helper()
	f.change(t, key, `holder_pid_space = 'pid:[of another container]'`)
}

func (f *file) twoHoursLater(t *testing.T, key store.Key) {
	t.Helper()
	// The system's clock cannot be moved for one process, so the record is made older instead.
	f.change(t, key, `until_wall = until_wall - 7200000000, until_uptime = until_uptime - 7200000000`)
}

func (f *file) change(t *testing.T, key store.Key, set string) {
	t.Helper()
	n := f.exec(t, `UPDATE milepost_lease SET `+set+` WHERE ns = ? AND name = ?`, key.Namespace, key.Name)
	require.EqualValues(t, 1, n)
}
