package sqlitestore

import (
	"fmt"
	"strings"
)

// upsert is a statement that writes a whole row. The first columns are its key.
func upsert(table string, keys int, columns []string) string {
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s) ON CONFLICT (%s) DO UPDATE SET %s",
		table, strings.Join(columns, ", "), strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", "),
		strings.Join(columns[:keys], ", "), assignments(columns[keys:], "%[1]s = excluded.%[1]s"))
}

func assignments(columns []string, format string) string {
	all := make([]string, len(columns))
	for i, column := range columns {
		all[i] = fmt.Sprintf(format, column)
	}
	return strings.Join(all, ", ")
}
