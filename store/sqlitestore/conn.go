package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"modernc.org/sqlite"

	"github.com/milepost-dev/milepost/store"
)

const maxReaders = 4

// conn is one connection to the file, with its prepared statements. One goroutine uses it at a
// time.
type conn struct {
	db      *sql.DB
	conn    *sql.Conn
	stmts   map[string]*sql.Stmt // by their text
	guarded bool                 // while the caller's statements run; see guard
}

// access is how a connection may use the file.
type access string

const (
	toWrite   access = "mode=rw" // it never makes the file
	toRead    access = "mode=ro"
	immutable access = "mode=ro&immutable=1" // the file alone, without its log and without locks
)

// connect opens a connection and reads from the file, so that the connection also has the log and
// its index open. No pool replaces the connection, so its pragmas need not be in the DSN. In the
// DSN, no context would end their wait for a locked file.
func (s *Store) connect(ctx context.Context, how access, pragmas ...string) (_ *conn, err error) {
	path := uriPath(filepath.ToSlash(s.real))
	busy := fmt.Sprint(max(s.busyTimeout.Milliseconds(), 1))
	params := url.Values{"_busy_timeout": {busy}, "_error_rc": {"1"}}
	dsn := (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: params.Encode() + "&" + string(how)}).String()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	c := &conn{db: db, stmts: map[string]*sql.Stmt{}}
	if c.conn, err = db.Conn(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	for _, pragma := range slices.Concat([]string{"fullfsync(1)"}, pragmas, []string{"schema_version"}) { // on macOS, fsync alone does not reach the disk
		if _, err := c.conn.ExecContext(ctx, "PRAGMA "+pragma); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	if err := c.conn.Raw(c.guard); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *conn) close() error {
	if c == nil {
		return nil
	}
	for _, stmt := range c.stmts {
		stmt.Close()
	}
	return errors.Join(c.conn.Close(), c.db.Close())
}

func (c *conn) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt := c.stmts[query]; stmt != nil {
		return stmt, nil
	}
	stmt, err := c.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	c.stmts[query] = stmt
	return stmt, nil
}

// exec runs one of this package's statements and returns how many rows it changed.
func (c *conn) exec(ctx context.Context, query string, args ...any) (int64, error) {
	stmt, err := c.prepared(ctx, query)
	if err != nil {
		return 0, err
	}
	result, err := stmt.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// rows returns all the rows of one of this package's queries.
func (c *conn) rows(ctx context.Context, query string, args ...any) ([]*row, error) {
	stmt, err := c.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	found, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	columns, err := found.Columns()
	if err != nil {
		return nil, err
	}
	var all []*row
	values := make([]any, len(columns))
	targets := make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	for found.Next() {
		if err := found.Scan(targets...); err != nil {
			return nil, err
		}
		all = append(all, newRow(columns, values))
	}
	return all, found.Err()
}

// write runs apply in one immediate transaction of w, which is s.commits or s.beats, and commits
// it. An error before the COMMIT is definite.
func (s *Store) write(ctx context.Context, w *conn, op string, key store.Key, apply func(context.Context, *conn) error) (store.Clock, error) {
	if s.refusal != nil {
		return store.Clock{}, s.failed(op, key, s.refusal, true)
	}
	if err := s.enter(ctx); err != nil {
		return store.Clock{}, s.failed(op, key, err, true)
	}
	defer func() { <-s.gate }()
	committed := false
	defer func() {
		if !committed { // if no transaction is open, this fails and does no harm
			_, _ = w.exec(context.WithoutCancel(ctx), "ROLLBACK")
		}
	}()
	_, err := untilUnlocked(ctx, s.busyTimeout, func() (int64, error) { return w.exec(ctx, "BEGIN IMMEDIATE") })
	if gone := s.moved(ctx, w); gone != nil {
		err = gone
	}
	if err == nil {
		err = apply(ctx, w)
	}
	if err != nil {
		return store.Clock{}, s.failed(op, key, err, true)
	}
	// COMMIT waits for the disk only. To cancel it would only make its outcome unknown.
	if _, err := w.exec(context.WithoutCancel(ctx), "COMMIT"); err != nil {
		return store.Clock{}, s.failed(op, key, err, rolledBack(err))
	}
	committed = true
	return s.clock(), nil
}

// neverWait is for connections for which untilUnlocked waits. SQLite's own tries get 100 ms apart.
// A process that writes without a pause then starves the others and their heartbeats.
const neverWait = "busy_timeout(0)"

// untilUnlocked calls do again while the file is locked, until timeout or ctx ends the wait.
func untilUnlocked[T any](ctx context.Context, timeout time.Duration, do func() (T, error)) (T, error) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval, wait.Multiplier = 100*time.Microsecond, 2*time.Millisecond, 2
	done, err := backoff.Retry(ctx, func() (T, error) {
		done, err := do()
		if err != nil && !isBusy(err) {
			err = backoff.Permanent(err)
		}
		return done, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(timeout))
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return done, err
}

// enter waits for the gate, for at most the busy timeout.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.gate <- struct{}{}:
	default:
		timer := time.NewTimer(s.busyTimeout)
		defer timer.Stop()
		select {
		case s.gate <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return fmt.Errorf("%w: this process's other writes took longer than %v", store.ErrThrottled, s.busyTimeout)
		}
	}
	if s.closed.Load() {
		<-s.gate
		return errClosed
	}
	return nil
}

var errClosed = errors.New("the store is closed")

// read runs query on one snapshot of the file. The snapshot has all acknowledged writes.
func (s *Store) read(ctx context.Context, op string, key store.Key, query func(context.Context, *conn) error) error {
	if err := s.reading(ctx, query); err != nil {
		return s.failed(op, key, err, false)
	}
	return nil
}

func (s *Store) reading(ctx context.Context, query func(context.Context, *conn) error) (err error) {
	if s.closed.Load() {
		return errClosed
	}
	if s.refusal != nil {
		return s.readOnce(ctx, query)
	}
	var r *conn
	select {
	case r = <-s.readers:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { s.readers <- r }()
	if s.closed.Load() {
		return errClosed
	}
	if err := s.moved(ctx, r); err != nil {
		return err
	}
	if r == nil {
		if r, err = s.connectReader(ctx); err != nil {
			return err
		}
		if err := s.moved(ctx, nil); err != nil { // then r may have another log than the rest
			return err
		}
	}
	return r.snapshot(ctx, query)
}

func (s *Store) connectReader(ctx context.Context) (*conn, error) {
	c, err := s.connect(ctx, toRead)
	if err != nil {
		return nil, err
	}
	if err := c.conn.Raw(keepLog); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// keepLog makes a connection leave the log where it is when it is the last to close.
func keepLog(driverConn any) error {
	control, ok := driverConn.(sqlite.FileControl)
	if !ok {
		return fmt.Errorf("%T has no file control", driverConn)
	}
	_, err := control.FileControlPersistWAL("main", 1)
	return err
}

// snapshot runs query in a transaction that only reads.
func (c *conn) snapshot(ctx context.Context, query func(context.Context, *conn) error) error {
	defer func() { _, _ = c.exec(context.WithoutCancel(ctx), "ROLLBACK") }()
	if _, err := c.exec(ctx, "BEGIN"); err != nil {
		return err
	}
	return query(ctx, c)
}

// guard stops the caller's statements from changing Milepost's tables, from ending their
// transaction, and from reaching other files.
func (c *conn) guard(driverConn any) error {
	registerer, ok := driverConn.(sqlite.AuthorizerRegisterer)
	if !ok {
		return fmt.Errorf("%T has no authorizer", driverConn)
	}
	return registerer.RegisterAuthorizer(func(action sqlite.AuthorizerActionCode, arg1, arg2, _, _ string) sqlite.AuthorizerReturnCode {
		if c.guarded && forbidden(action, arg1, arg2) {
			return sqlite.AuthorizerDeny
		}
		return sqlite.AuthorizerOK
	})
}
