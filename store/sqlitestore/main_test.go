package sqlitestore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/milepost-dev/milepost/store"
)

// The test binary is also the program of the tests that need other processes.
const childVariable = "MILEPOST_SQLITESTORE_CHILD"

func TestMain(m *testing.M) {
	if child := os.Getenv(childVariable); child != "" {
		if err := children[child](context.Background(), os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

var (
	key    = store.Key{Namespace: "default", Name: "orders/eu"}
	fence  = store.Fence{Epoch: 7, LeaseID: "lease-7"}
	holder = store.Holder{ID: "nightly", Host: "etl-7", PID: 4121, RunID: "2026-11-24T02:00:01Z"}
	when   = time.Date(2026, 11, 24, 2, 0, 1, 123456000, time.UTC)
)

func newFile(t testing.TB) string { return filepath.Join(t.TempDir(), "jobs.db") }

func openStore(t testing.TB, path string, opts *Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// openSQL is a person, or another program, at the file.
func openSQL(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: "_pragma=busy_timeout(5000)"}).String())
	require.NoError(t, err)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func execSQL(t testing.TB, db *sql.DB, query string, args ...any) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), query, args...)
	require.NoError(t, err, query)
}

func count(t testing.TB, db *sql.DB, query string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), query, args...).Scan(&n))
	return n
}

func version(n int64) store.Version {
	return store.Version{
		Number: n, CommitID: fmt.Sprintf("commit-%d", n), CommitEpoch: fence.Epoch, By: holder, SavedAt: when,
		Content: store.Content{Cursor: fmt.Sprint(n * 1000), Processed: n * 1000}, Born: 1,
	}
}

func commitOf(n int64) store.Commit { return store.Commit{Fence: fence, Base: n - 1, Next: version(n)} }

// raised has the fence of these tests on HEAD.
func raised(t testing.TB, s *Store) {
	t.Helper()
	_, _, err := s.Raise(t.Context(), key, fence, holder, true)
	require.NoError(t, err)
}

func committed(t testing.TB, s *Store, upTo int64) {
	t.Helper()
	raised(t, s)
	for n := int64(1); n <= upTo; n++ {
		_, err := s.Commit(t.Context(), key, commitOf(n))
		require.NoError(t, err)
	}
}

func headOf(t testing.TB, s *Store) *store.Head {
	t.Helper()
	found, err := s.Look(t.Context(), key)
	require.NoError(t, err)
	return found.Head
}

func state(data string) *store.State {
	sum := sha256.Sum256([]byte(data))
	return &store.State{Data: []byte(data), ContentType: "text/plain", Encoding: "zstd", Size: int64(len(data)) * 3, SHA256: sum[:]}
}

func isNewer(err error) bool      { return errors.Is(err, store.ErrNewerFormat) }
func isNotApplied(err error) bool { return errors.Is(err, store.ErrNotApplied) }

// dump is the content of a table.
func dump(t testing.TB, db *sql.DB, table string) (all [][]any) {
	t.Helper()
	found, err := db.QueryContext(t.Context(), "SELECT * FROM "+table)
	require.NoError(t, err)
	defer found.Close()
	columns, err := found.Columns()
	require.NoError(t, err)
	for found.Next() {
		values, targets := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		require.NoError(t, found.Scan(targets...))
		all = append(all, values)
	}
	require.NoError(t, found.Err())
	return all
}

var children = map[string]func(context.Context, []string) error{}
