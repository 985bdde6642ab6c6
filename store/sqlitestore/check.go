package sqlitestore

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/milepost-dev/milepost/store"
)

// Finding is one thing about the file that is not as it should be.
type Finding struct {
	Problem string // what is wrong: a clause such as "its journal mode is delete"
	Remedy  string // what mends it
}

func (f Finding) String() string { return f.Problem + ": " + f.Remedy }

// Check looks at the file's filesystem, format, encoding, journal mode and
// integrity, and returns what is not as it should be and how to mend it. It reads
// the whole file, and changes nothing. An error says that the file could not be
// looked at.
func (s *Store) Check(ctx context.Context) ([]Finding, error) {
	var found []Finding
	if name, network := s.filesystem(filepath.Dir(s.path)); network {
		found = append(found, Finding{
			"it lies on a network filesystem (" + name + "), where the write-ahead log does not work between machines",
			"move it to a local disk, or use a DynamoDB store",
		})
	}
	err := s.reading(ctx, func(ctx context.Context, r *conn) error {
		for _, check := range []struct{ query, want, problem, remedy string }{
			{"SELECT CAST(value AS TEXT) AS found FROM milepost_meta WHERE key = 'format'", fmt.Sprint(store.Format),
				"its format is %s, which this release does not know", "use the release that wrote it"},
			{"SELECT encoding AS found FROM pragma_encoding", "UTF-8",
				"its encoding is %s, in which names do not compare as bytes", "copy the rows to a UTF-8 file"},
			{"SELECT journal_mode AS found FROM pragma_journal_mode", "wal",
				"its journal mode is %s, in which readers and writers wait for one another", "open it again once the programs that use it have ended"},
			{"SELECT group_concat(quick_check, '; ') AS found FROM pragma_quick_check", "ok",
				"it is damaged: %s", "restore it from a backup, or what can be read of it with sqlite3's .recover"},
		} {
			rows, err := r.rows(ctx, check.query)
			if err != nil {
				return err
			}
			value := "missing"
			if len(rows) > 0 {
				value = rows[0].text("found")
			}
			if value != check.want {
				found = append(found, Finding{fmt.Sprintf(check.problem, value), check.remedy})
			}
		}
		return nil
	})
	if err != nil {
		return found, fmt.Errorf("check SQLite file %s: %w", s.path, explained(err))
	}
	return found, nil
}
