package sqlitestore

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
)

// withOrders is a store at version 1, in a file with a table of the caller's.
func withOrders(t *testing.T) *Store {
	t.Helper()
	path := newFile(t)
	s := openStore(t, path, nil)
	committed(t, s, 1)
	db := openSQL(t, path)
	execSQL(t, db, "CREATE TABLE orders (id INTEGER PRIMARY KEY, milepost_version INTEGER)")
	execSQL(t, db, "CREATE TABLE audit (id)")
	return s
}

func commitWith(t *testing.T, s *Store, writes ...store.Write) error {
	t.Helper()
	commit := commitOf(2)
	commit.Writes = writes
	_, err := s.Commit(t.Context(), key, commit)
	return err
}

func TestTheCallersStatementsAndTheCheckpointAreAppliedTogether(t *testing.T) {
	s := withOrders(t)
	db := openSQL(t, s.Path())
	require.NoError(t, commitWith(t, s,
		Exec("INSERT INTO orders (id) VALUES (?), (?)", 1, 2),
		Exec("UPDATE orders SET milepost_version = (SELECT version FROM milepost_head) WHERE id = 2; INSERT INTO audit VALUES ('done')")))
	assert.Equal(t, int64(2), headOf(t, s).Number)
	assert.Equal(t, 2, count(t, db, "SELECT count(*) FROM orders"))
	assert.Equal(t, 2, count(t, db, "SELECT milepost_version FROM orders WHERE id = 2"), "they see the new HEAD")
	assert.Equal(t, 1, count(t, db, "SELECT count(*) FROM audit"))
}

func TestAStatementThatFailsTakesAllOthersAndTheCheckpointWithIt(t *testing.T) {
	s := withOrders(t)
	for name, bad := range map[string]store.Write{
		"a constraint":        Exec("INSERT INTO orders (id) VALUES (1)"),
		"or rollback":         Exec("INSERT OR ROLLBACK INTO orders (id) VALUES (1)"),
		"the second of two":   Exec("INSERT INTO audit VALUES (2); INSERT INTO orders (id) VALUES (1)"),
		"a missing table":     Exec("INSERT INTO nowhere VALUES (1)"),
		"no SQL":              Exec("HELLO"),
		"too few arguments":   Exec("INSERT INTO orders (id) VALUES (?)"),
		"an unknown argument": Exec("INSERT INTO orders (id) VALUES (?)", struct{}{}),
	} {
		err := commitWith(t, s, Exec("INSERT INTO orders (id) VALUES (1)"), bad, Exec("INSERT INTO audit VALUES (1)"))
		var refused *store.WriteError
		require.ErrorAs(t, err, &refused, name)
		assert.Equal(t, 1, refused.Index, name)
		assert.Equal(t, key, refused.Key, name)
		assert.ErrorIs(t, err, store.ErrNotApplied, name)
		assert.NotErrorIs(t, err, store.ErrWrite, name)
	}
	db := openSQL(t, s.Path())
	assert.Equal(t, int64(1), headOf(t, s).Number)
	assert.Zero(t, count(t, db, "SELECT (SELECT count(*) FROM orders) + (SELECT count(*) FROM audit)"))
	require.NoError(t, commitWith(t, s, Exec("INSERT INTO orders (id) VALUES (1)")))
}

func TestAStatementMayNotReachMilepostsTablesNorTheTransaction(t *testing.T) {
	s := withOrders(t)
	db := openSQL(t, s.Path())
	execSQL(t, db, "CREATE TRIGGER sneaky AFTER INSERT ON audit BEGIN UPDATE milepost_head SET version = 99; END")
	before := dump(t, db, "milepost_head")
	for _, query := range []string{
		"UPDATE milepost_head SET version = 9",
		"UPDATE MilePost_Head SET version = 9",
		`DELETE FROM "milepost_version"`,
		"INSERT INTO main.milepost_meta VALUES ('format', 9)",
		"DROP TABLE milepost_lease",
		"DROP INDEX milepost_version_expires_at",
		"ALTER TABLE milepost_head ADD COLUMN mine",
		"ALTER TABLE milepost_head RENAME TO theirs",
		"CREATE TRIGGER t AFTER INSERT ON milepost_head BEGIN SELECT 1; END",
		"CREATE INDEX i ON milepost_head (cursor)",
		"CREATE TABLE milepost_mine (id)",
		"WITH n AS (SELECT 1) UPDATE milepost_head SET version = 9",
		"INSERT INTO audit VALUES (1)", // fires the trigger
		"INSERT INTO orders (id) VALUES (1); COMMIT",
		"INSERT INTO orders (id) VALUES (1); ROLLBACK",
		"SAVEPOINT mine",
		"ATTACH ':memory:' AS other",
		"PRAGMA synchronous = OFF",
	} {
		err := commitWith(t, s, Exec("INSERT INTO orders (id) VALUES (7)"), Exec(query))
		require.ErrorIs(t, err, store.ErrWrite, query)
		assert.ErrorIs(t, err, store.ErrNotApplied, query)
		assert.ErrorContains(t, err, "write 1", query)
	}
	assert.Equal(t, before, dump(t, db, "milepost_head"))
	assert.Zero(t, count(t, db, "SELECT count(*) FROM orders"))
}

func TestAWriteOfAnotherEnginesIsRefused(t *testing.T) {
	s := withOrders(t)
	require.ErrorIs(t, commitWith(t, s, "INSERT INTO orders (id) VALUES (1)"), store.ErrWrite)
	require.ErrorIs(t, commitWith(t, s, nil), store.ErrWrite)

	many := make([]store.Write, store.MaxWrites+1)
	for i := range many {
		many[i] = Exec("INSERT INTO orders (id) VALUES (?)", i)
	}
	require.ErrorIs(t, commitWith(t, s, many...), store.ErrWrite)
	require.ErrorIs(t, commitWith(t, s, many...), store.ErrNotApplied)
	require.NoError(t, commitWith(t, s, many[1:]...))
}

func TestAStatementIsNotRunWhereTheFenceIsLost(t *testing.T) {
	s := withOrders(t)
	_, _, err := s.Raise(t.Context(), key, store.Fence{Epoch: 8, LeaseID: "lease-8"}, holder, false)
	require.NoError(t, err)
	var lost *store.ConflictError
	require.ErrorAs(t, commitWith(t, s, Exec("INSERT INTO orders (id) VALUES (1)")), &lost)
	assert.Equal(t, int64(8), lost.Head.Fence.Epoch)
	assert.Zero(t, count(t, openSQL(t, s.Path()), "SELECT count(*) FROM orders"))
}

func TestACommitSentAgainRunsNothingTwice(t *testing.T) {
	s := withOrders(t)
	write := Exec("INSERT INTO audit VALUES (1)")
	require.NoError(t, commitWith(t, s, write))
	var landed *store.ConflictError
	require.ErrorAs(t, commitWith(t, s, write), &landed)
	assert.Equal(t, "commit-2", landed.Head.CommitID)
	assert.Equal(t, 1, count(t, openSQL(t, s.Path()), "SELECT count(*) FROM audit"))
}
