package sqlitestore

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
)

// lockFile has another connection hold the file's write lock.
func lockFile(t *testing.T, path string) *sql.DB {
	t.Helper()
	db := openSQL(t, path)
	execSQL(t, db, "BEGIN IMMEDIATE")
	return db
}

func TestAWriteWaitsForALockedFileNoLongerThanTheBusyTimeout(t *testing.T) {
	path := newFile(t)
	s := openStore(t, path, &Options{BusyTimeout: 50 * time.Millisecond})
	committed(t, s, 1)
	other := lockFile(t, path)

	start := time.Now()
	_, err := s.Commit(t.Context(), key, commitOf(2))
	require.ErrorIs(t, err, store.ErrThrottled)
	require.ErrorIs(t, err, store.ErrNotApplied)
	assert.ErrorContains(t, err, "another process has locked the file")
	assert.ErrorContains(t, err, path)
	assert.Greater(t, time.Since(start), 25*time.Millisecond)
	assert.Equal(t, int64(1), headOf(t, s).Number, "readers do not wait for writers")

	execSQL(t, other, "ROLLBACK")
	_, err = s.Commit(t.Context(), key, commitOf(2))
	require.NoError(t, err)
}

func TestAWriteGoesOnOnceTheFileIsUnlocked(t *testing.T) {
	path := newFile(t)
	s := openStore(t, path, &Options{BusyTimeout: time.Minute})
	committed(t, s, 1)
	other := lockFile(t, path)
	done := make(chan error)
	go func() {
		_, err := s.Commit(t.Context(), key, commitOf(2))
		done <- err
	}()
	execSQL(t, other, "COMMIT")
	require.NoError(t, <-done)
	assert.Equal(t, int64(2), headOf(t, s).Number)
}

func TestAContextEndsTheWaitForALockedFile(t *testing.T) {
	path := newFile(t)
	s := openStore(t, path, &Options{BusyTimeout: time.Hour})
	committed(t, s, 1)
	lockFile(t, path)
	for name, write := range map[string]func(context.Context) error{
		"commit": func(ctx context.Context) error { _, err := s.Commit(ctx, key, commitOf(2)); return err },
		"beat": func(ctx context.Context) error {
			_, _, err := s.Renew(ctx, key, store.Renewal{Fence: fence, Beat: 1})
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		err := write(ctx)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded, name)
		require.ErrorIs(t, err, store.ErrNotApplied, name)
	}
	assert.Equal(t, int64(1), headOf(t, s).Number)
}

func TestAContextEndsTheWaitForThisProcessesOtherWrites(t *testing.T) {
	path := newFile(t)
	s := openStore(t, path, &Options{BusyTimeout: time.Hour})
	committed(t, s, 1)
	other := lockFile(t, path)
	first := make(chan error)
	go func() {
		_, err := s.Commit(t.Context(), key, commitOf(2))
		first <- err
	}()
	for len(s.gate) == 0 {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	err := s.Expect(ctx, key, nil, &store.Expectation{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, store.ErrNotApplied)
	execSQL(t, other, "ROLLBACK")
	require.NoError(t, <-first)
}

func TestThisProcessesOtherWritesCountTowardsTheBusyTimeout(t *testing.T) {
	s := openStore(t, newFile(t), &Options{BusyTimeout: 20 * time.Millisecond})
	committed(t, s, 1)
	s.gate <- struct{}{}
	_, err := s.Commit(t.Context(), key, commitOf(2))
	<-s.gate
	require.ErrorIs(t, err, store.ErrThrottled)
	require.ErrorIs(t, err, store.ErrNotApplied)
}

func TestAContextInterruptsAStatementOfTheCallers(t *testing.T) {
	s := openStore(t, newFile(t), nil)
	committed(t, s, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	commit := commitOf(2)
	commit.Writes = []store.Write{Exec("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n")}
	_, err := s.Commit(ctx, key, commit)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, store.ErrNotApplied)
	assert.Equal(t, int64(1), headOf(t, s).Number)
	_, err = s.Commit(t.Context(), key, commitOf(2))
	require.NoError(t, err, "the connection is as good as before")
}

func TestAContextThatHasEndedChangesNothing(t *testing.T) {
	s := openStore(t, newFile(t), nil)
	committed(t, s, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Commit(ctx, key, commitOf(2))
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, store.ErrNotApplied)
	_, err = s.Look(ctx, key)
	require.ErrorIs(t, err, context.Canceled)
}

func TestOpeningALockedFileEndsInTime(t *testing.T) {
	path := newFile(t)
	openSQLExec(t, path, "CREATE TABLE orders (id)") // not in WAL yet
	other := openSQL(t, path)
	execSQL(t, other, "BEGIN EXCLUSIVE")

	_, err := Open(t.Context(), path, &Options{BusyTimeout: 50 * time.Millisecond})
	require.ErrorIs(t, err, store.ErrThrottled)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = Open(ctx, path, &Options{BusyTimeout: time.Hour})
	require.ErrorIs(t, err, context.DeadlineExceeded)

	execSQL(t, other, "ROLLBACK")
	openStore(t, path, nil)
}

func TestAFullDiskIsADefiniteFailureAndNothingIsLost(t *testing.T) {
	path := newFile(t)
	s := openStore(t, path, nil)
	committed(t, s, 1)
	fill := func(pages int) {
		_, err := s.commits.conn.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages))
		require.NoError(t, err)
	}
	fill(1) // means: no more than there are now
	commit := commitOf(2)
	commit.Next.State = state(strings.Repeat("x", 1<<20))
	_, err := s.Commit(t.Context(), key, commit)
	require.ErrorIs(t, err, store.ErrNotApplied)
	require.ErrorContains(t, err, "the disk is full")
	require.ErrorContains(t, err, path)

	commit.Writes = []store.Write{Exec("CREATE TABLE orders (id)")}
	commit.Next.State = nil
	_, err = s.Commit(t.Context(), key, commit)
	require.ErrorContains(t, err, "the disk is full")
	var refused *store.WriteError
	require.NotErrorAs(t, err, &refused, "the caller's statement is not to blame")

	assert.Equal(t, int64(1), headOf(t, s).Number)
	fill(1 << 20)
	_, err = s.Commit(t.Context(), key, commit)
	require.NoError(t, err, "it goes on once there is room")
}

func TestARecordPastTheLimitIsRefusedWithItsSize(t *testing.T) {
	s := openStore(t, newFile(t), nil)
	committed(t, s, 1)
	s.maxRecord = 1000
	commit := commitOf(2)
	commit.Next.State = state(strings.Repeat("x", 1000))
	check := func(err error) {
		var large *store.SizeError
		require.ErrorAs(t, err, &large)
		assert.Equal(t, int64(1000), large.Limit)
		assert.Greater(t, large.Size, int64(1000))
		assert.ErrorIs(t, err, store.ErrNotApplied)
	}
	_, err := s.Commit(t.Context(), key, commit)
	check(err)
	check(s.Copy(t.Context(), key, store.Copy{Version: commit.Next}))
	check(s.KeepBase(t.Context(), key, commit.Next))
	assert.Equal(t, int64(1), headOf(t, s).Number)
}

func TestATableThatIsGoneIsNotAnEmptyOne(t *testing.T) {
	path := newFile(t)
	s := openStore(t, path, nil)
	committed(t, s, 1)
	execSQL(t, openSQL(t, path), "DROP TABLE milepost_head")
	_, err := s.Look(t.Context(), key)
	require.ErrorIs(t, err, store.ErrNoTable)
	_, err = s.Commit(t.Context(), key, commitOf(2))
	require.ErrorIs(t, err, store.ErrNoTable)
	require.ErrorIs(t, err, store.ErrNotApplied)
}
