package sqlitestore

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/internal/protocoltest"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/storetest"
)

func TestConformance(t *testing.T) { storetest.Run(t, engine()) }

func TestProtocol(t *testing.T) { protocoltest.Run(t, engine()) }

func engine() storetest.Engine {
	return storetest.Engine{
		New: func(t testing.TB) store.Store { return openStore(t, newFile(t), nil) },
		Damage: map[storetest.Damage]func(testing.TB, store.Store, storetest.Record){
			storetest.NewerFormat: set("fmt", store.Format+1),
			storetest.UnknownField: func(t testing.TB, s store.Store, r storetest.Record) {
				db := openSQL(t, s.(*Store).Path())
				table := tableOf(r)
				if count(t, db, "SELECT count(*) FROM pragma_table_info(?) WHERE name = 'unknown'", table) == 0 {
					execSQL(t, db, "ALTER TABLE "+table+" ADD COLUMN unknown")
				}
				set("unknown", 1)(t, s, r)
			},
			storetest.WrongType: func(t testing.TB, s store.Store, r storetest.Record) {
				column := "epoch"
				if r.Version > 0 {
					column = "commit_epoch"
				}
				set(column, "no number")(t, s, r)
			},
			storetest.WithoutVersion: set("version", nil),
			storetest.NegativeCount:  set("processed", -1),
		},
		Writes: writesBeside,
	}
}

func set(column string, value any) func(testing.TB, store.Store, storetest.Record) {
	return func(t testing.TB, s store.Store, r storetest.Record) {
		t.Helper()
		where, args := "ns = ? AND name = ?", []any{value, r.Key.Namespace, r.Key.Name}
		if r.Version > 0 {
			where, args = where+" AND version = ?", append(args, r.Version)
		}
		db := openSQL(t, s.(*Store).Path())
		execSQL(t, db, fmt.Sprintf("UPDATE %s SET %s = ? WHERE %s", tableOf(r), column, where), args...)
	}
}

func tableOf(r storetest.Record) string {
	if r.Version > 0 {
		return "milepost_version"
	}
	return map[string]string{store.RecordHead: "milepost_head", store.RecordLease: "milepost_lease"}[r.Name]
}

var outputs atomic.Int64

// writesBeside has a table of its own each time.
func writesBeside(t testing.TB, s store.Store) storetest.Writes {
	db := openSQL(t, s.(*Store).Path())
	table := fmt.Sprintf("outputs_%d", outputs.Add(1))
	execSQL(t, db, "CREATE TABLE "+table+" (name TEXT PRIMARY KEY, amount INTEGER CHECK (amount > 0))")
	return storetest.Writes{
		Make:    func(name string) store.Write { return Exec("INSERT INTO "+table+" VALUES (?, 1)", name) },
		Refused: Exec("INSERT INTO " + table + " VALUES ('never', 0)"),
		Made: func(name string) bool {
			var found string
			err := db.QueryRowContext(context.Background(), "SELECT name FROM "+table+" WHERE name = ?", name).Scan(&found)
			if err != sql.ErrNoRows {
				require.NoError(t, err)
			}
			return err == nil
		},
	}
}
