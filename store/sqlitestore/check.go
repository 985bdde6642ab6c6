package sqlitestore

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/milepost-dev/milepost/store"
)

// Finding is one thing about the file that is not as it should be.
type Finding struct {
	Risky   bool   // checkpoints work, but something that protects them is missing
	Problem string // what is wrong: a clause such as "its journal mode is delete"
	Remedy  string // how to fix it
}

func (f Finding) String() string { return f.Problem + ": " + f.Remedy }

const journalMode = "SELECT journal_mode AS found FROM pragma_journal_mode"

var checks = []struct{ query, want, problem, remedy string }{
	{"SELECT CAST(value AS TEXT) AS found FROM milepost_meta WHERE key = 'format'", fmt.Sprint(store.Format),
		"its format is %s, which this release does not know", "use the release that wrote the file"},
	{"SELECT encoding AS found FROM pragma_encoding", "UTF-8",
		"its encoding is %s, and then names are not compared as bytes", "copy the rows to a UTF-8 file"},
	{journalMode, "wal",
		"its journal mode is %s, and then readers and writers wait for one another", "open it again when the programs that use it have ended"},
	{"SELECT group_concat(quick_check, '; ') AS found FROM pragma_quick_check", "ok",
		"it is damaged: %s", "restore it from a backup, or save what can be read with sqlite3's .recover"},
}

// Check reads the file's links, directory, filesystem, format, encoding, journal mode and
// integrity. It returns what is wrong and how to fix it. It reads the whole file and changes
// nothing. An error says that the file could not be read.
func (s *Store) Check(ctx context.Context) ([]Finding, error) {
	found, err := s.hazards()
	if err != nil {
		return nil, fmt.Errorf("check SQLite file %s: %w", s.path, err)
	}
	if name, network := s.filesystem(filepath.Dir(s.real)); network {
		found = append(found, Finding{
			Problem: "it is on a network filesystem (" + name + "), where the write-ahead log does not work between machines",
			Remedy:  "move it to a local disk, or use a DynamoDB store",
		})
	}
	if s.refusal != nil && len(found) == 0 {
		found = append(found, Finding{
			Problem: "no run can save here: " + s.refusal.Error(),
			Remedy:  "let this user write to the file and its directory; where they are only read, that is as it should be",
		})
	}
	before := len(found)
	err = s.reading(ctx, func(ctx context.Context, r *conn) error {
		found = found[:before] // it may be called again
		for _, check := range checks {
			if check.query == journalMode && s.refusal != nil {
				continue // SQLite may read the file alone
			}
			rows, err := r.rows(ctx, check.query)
			if err != nil {
				return err
			}
			value := "missing"
			if len(rows) > 0 {
				value = rows[0].text("found")
			}
			if value != check.want {
				found = append(found, Finding{Problem: fmt.Sprintf(check.problem, value), Remedy: check.remedy})
			}
		}
		return nil
	})
	if err != nil {
		return found, fmt.Errorf("check SQLite file %s: %w", s.path, explained(err))
	}
	return found, nil
}
