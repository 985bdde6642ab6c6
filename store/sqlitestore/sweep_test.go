package sqlitestore

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
)

func TestCopiesRemoveWhatExpiredAWhileAgoAFewAtATimeAndNothingElse(t *testing.T) {
	ctx := t.Context()
	path := newFile(t)
	now := when
	s := openStore(t, path, &Options{Clock: func() store.Clock { return store.Clock{Wall: now} }})
	db := openSQL(t, path)
	committed(t, s, 1)
	_, err := s.Acquire(ctx, key, nil, fullLease())
	require.NoError(t, err)
	require.NoError(t, s.Expect(ctx, key, nil, &store.Expectation{Every: time.Hour}))
	var made int64
	copyOf := func(c store.Copy) int64 {
		made++
		c.Version = version(made)
		require.NoError(t, s.Copy(ctx, key, c))
		return made
	}
	pinned := copyOf(store.Copy{Label: "savepoint"})
	late := copyOf(store.Copy{ExpiresAt: when.Add(100 * time.Hour)})
	for range 3 * sweepMost {
		copyOf(store.Copy{ExpiresAt: when.Add(time.Hour)})
	}

	now = when.Add(time.Hour + sweepAfter)
	all := count(t, db, "SELECT count(*) FROM milepost_version")
	copyOf(store.Copy{})
	assert.Equal(t, all+1, count(t, db, "SELECT count(*) FROM milepost_version"), "who still settles may read them")

	now = now.Add(time.Second)
	for i := range 3 {
		before := count(t, db, "SELECT count(*) FROM milepost_version")
		_, err := s.Commit(ctx, key, commitOf(int64(i)+2))
		require.NoError(t, err)
		assert.Equal(t, before, count(t, db, "SELECT count(*) FROM milepost_version"), "a commit waits for no sweep")
		copyOf(store.Copy{})
		assert.Equal(t, before+1-sweepMost, count(t, db, "SELECT count(*) FROM milepost_version"))
	}
	for _, n := range []int64{pinned, late} {
		_, err := s.Version(ctx, key, n)
		assert.NoError(t, err)
	}
	assert.Zero(t, count(t, db, "SELECT count(*) FROM milepost_version WHERE expires_at < ?", now.UnixMicro()))
	for _, table := range []string{"milepost_head", "milepost_lease", "milepost_expect"} {
		assert.Equal(t, 1, count(t, db, "SELECT count(*) FROM "+table), table)
	}
}

func TestACopyThatHasExpiredIsReadUntilItIsRemoved(t *testing.T) {
	s := openStore(t, newFile(t), nil)
	want := store.Copy{Version: version(1), ExpiresAt: time.Unix(1000, 0).UTC()}
	require.NoError(t, s.Copy(t.Context(), key, want))
	found, err := s.Version(t.Context(), key, 1)
	require.NoError(t, err)
	assert.Equal(t, want, found)
}

func TestOnlyCopiesCanExpire(t *testing.T) {
	path := newFile(t)
	openStore(t, path, nil)
	db := openSQL(t, path)
	tables := count(t, db, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%expires_at%'")
	assert.Equal(t, 1, tables)
}

func TestVersionsAndNamesReadPastTheirPages(t *testing.T) {
	ctx := t.Context()
	path := newFile(t)
	s := openStore(t, path, nil)
	db := openSQL(t, path)
	const n = 2*namesPage + 17
	execSQL(t, db, fmt.Sprintf(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
		INSERT INTO milepost_expect SELECT 'default', printf('p/%%06d', i), 1, 1, 1, '', NULL FROM n`, n))
	execSQL(t, db, "INSERT INTO milepost_expect VALUES ('default', 'q', 1, 1, 1, '', NULL), ('other', 'p/000001', 1, 1, 1, '', NULL)")
	var names []string
	for name, err := range s.Names(ctx, "default", "p/", "p/000003") {
		require.NoError(t, err)
		names = append(names, name)
	}
	require.Len(t, names, n-3)
	assert.Equal(t, "p/000004", names[0])
	assert.Equal(t, fmt.Sprintf("p/%06d", n), names[len(names)-1])

	const copies = 2*versionsPage + 5
	for i := range int64(copies) {
		require.NoError(t, s.Copy(ctx, key, store.Copy{Version: version(i + 1)}))
	}
	next := int64(copies)
	for c, err := range s.Versions(ctx, key, copies, 1) {
		require.NoError(t, err)
		require.Equal(t, next, c.Number)
		next--
	}
	assert.Zero(t, next)
}

// Neither a page of names nor the sweep looks at what it does not want.
func TestNamesAndSweepSeekByAnIndex(t *testing.T) {
	s := openStore(t, newFile(t), nil)
	for query, seeks := range map[string]string{
		namesQuery: "(ns=? AND name>?)",
		sweepQuery: "milepost_version_expires_at (expires_at<?)",
	} {
		var plan string
		rows, err := s.commits.conn.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, 1, 2, 3)
		require.NoError(t, err)
		for rows.Next() {
			var id, parent, unused int
			var step string
			require.NoError(t, rows.Scan(&id, &parent, &unused, &step))
			plan += step + "\n"
		}
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
		assert.NotContains(t, plan, "SCAN milepost")
		assert.NotContains(t, plan, "TEMP B-TREE")
		assert.Contains(t, plan, seeks)
	}
}
