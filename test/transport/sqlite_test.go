package transport_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
	"github.com/milepost-dev/milepost/store/sqlitestore"
)

// callFault is one way for a call of a store's method to go wrong. A local file only loses replies,
// when a call's context ends during the call. Late and repeated calls are tested by the engine's
// contract.
type callFault struct {
	plot
	fault func(*tale) faultstore.Fault
}

func each(f faultstore.Fault) func(*tale) faultstore.Fault {
	return func(*tale) faultstore.Fault { return f }
}

func overtakenCall(saves int, fault faultstore.Fault) func(*tale) faultstore.Fault {
	return func(t *tale) faultstore.Fault {
		return func(ctx context.Context, c *faultstore.Call) error {
			err := fault(ctx, c)
			t.overtakenBy(ctx, saves)
			return err
		}
	}
}

func deliver(ctx context.Context, c *faultstore.Call) error { return c.Deliver(ctx) }

var callFaults = []callFault{
	{plot{name: "the reply is lost"}, each(faultstore.LoseReply)},
	{plot{name: "the request is lost"}, each(faultstore.LoseRequest)},
	{plot{name: "the file is locked"}, each(faultstore.Throttle)},
	{plot{name: "a copy arrives after the next call", late: afterNextCall}, each(faultstore.Duplicate)},
	{plot{name: "a copy arrives after the next opening", late: afterNextOpening}, each(faultstore.Duplicate)},
	{plot{name: "a copy arrives at the end", late: atTheEnd}, each(faultstore.Duplicate)},
	{plot{name: "it arrives after the next call", late: afterNextCall}, each(faultstore.Hold)},
	{plot{name: "it arrives after the next opening", late: afterNextOpening}, each(faultstore.Hold)},
	{plot{name: "it arrives at the end", late: atTheEnd}, each(faultstore.Hold)},
	{plot{name: "it hangs", impatient: true}, each(faultstore.Hang)},
	{plot{name: "it hangs after it was applied", impatient: true}, each(faultstore.HangAfter)},

	{plot{name: "overtaken", ofFirst: true}, overtakenCall(0, deliver)},
	{plot{name: "overtaken, reply lost", ofFirst: true}, overtakenCall(0, faultstore.LoseReply)},
	{plot{name: "overtaken, reply lost, and the other saves", ofFirst: true}, overtakenCall(2, faultstore.LoseReply)},
	{plot{name: "overtaken, request lost", ofFirst: true}, overtakenCall(0, faultstore.LoseRequest)},
	{plot{name: "overtaken, request lost, and the other saves", ofFirst: true}, overtakenCall(2, faultstore.LoseRequest)},
	{plot{name: "overtaken, request lost, and the other saves once", ofFirst: true}, overtakenCall(1, faultstore.LoseRequest)},
	{plot{name: "overtaken, and it arrives after the next call", late: afterNextCall, ofFirst: true}, overtakenCall(0, faultstore.Hold)},
	{plot{name: "overtaken, and it arrives when the other has saved", late: afterNextCall, ofFirst: true}, overtakenCall(2, faultstore.Hold)},

	{plot{name: "overtaken, and the line is cut", impatient: true, cut: true}, overtakenCall(0, faultstore.LoseRequest)},
	{plot{name: "overtaken, and the line is cut once it was applied", impatient: true, cut: true}, overtakenCall(0, faultstore.LoseReply)},
	{plot{name: "overtaken, and it arrives when the cut has ended", impatient: true, cut: true, late: atTheEnd}, overtakenCall(1, faultstore.Hold)},
}

// file holds all tales of a test, and a table of the caller.
type file struct {
	store *sqlitestore.Store
	db    *sql.DB
}

func newFile(t *testing.T) file {
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "jobs.db"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	_, err = db.ExecContext(t.Context(), `CREATE TABLE ledger (job TEXT, cursor TEXT)`)
	require.NoError(t, err)
	st, err := sqlitestore.New(t.Context(), db, nil)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, st.Close()) })
	return file{st, db}
}

func (f file) tale(t *testing.T, name string) (*tale, *faultstore.Store) {
	faulty := faultstore.New(f.store)
	return &tale{
		key:      store.Key{Namespace: store.DefaultNamespace, Name: name},
		duration: 30 * time.Second,
		line: line{
			faulty: faulty, clean: f.store, heal: faulty.Clear,
			write: func(cursor string) store.Write {
				return sqlitestore.Exec(`INSERT INTO ledger (job, cursor) VALUES (?, ?)`, name, cursor)
			},
			rows: func() ([]string, error) { return f.rows(t.Context(), name) },
			deliver: func(ctx context.Context) error {
				for _, c := range faulty.Held() {
					if err := c.Deliver(ctx); err != nil && !errors.Is(err, store.ErrNotApplied) {
						return err
					}
				}
				return nil
			},
		},
	}, faulty
}

func (f file) rows(ctx context.Context, name string) ([]string, error) {
	rows, err := f.db.QueryContext(ctx, `SELECT cursor FROM ledger WHERE job = ?`, name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var cursors []string
	for rows.Next() {
		var cursor string
		if err := rows.Scan(&cursor); err != nil {
			return nil, err
		}
		cursors = append(cursors, cursor)
	}
	return cursors, rows.Err()
}

func TestEachCallOfASessionGoesWrongInTurnOnSQLite(t *testing.T) {
	f := newFile(t)
	plain, line := f.tale(t, "plain")
	require.NoError(t, plain.tell(t.Context()))
	plain.check(t, "without a fault")
	calls := line.Calls("")
	var openings []int
	for i, c := range calls {
		if c.Method == "Look" {
			openings = append(openings, i)
		}
	}
	require.Len(t, openings, 3)

	inTurn(t, func(yield func(string, func(*testing.T))) {
		for i, fault := range callFaults {
			for _, n := range fault.requests(i, len(calls), openings) {
				yield(fmt.Sprintf("%s, call %d, %s", fault.name, n, calls[n-1].Method), func(t *testing.T) {
					tale, line := f.tale(t, fmt.Sprintf("%d/%d", i, n))
					fault.set(tale)
					met := false
					line.On("", n, func(ctx context.Context, c *faultstore.Call) error {
						met = true
						if fault.cut {
							line.On("", 0, faultstore.LoseRequest)
						}
						return fault.fault(tale)(ctx, c)
					})
					tale.mustHold(t)
					assert.True(t, met, "the fault met no call")
				})
			}
		}
	})
}
