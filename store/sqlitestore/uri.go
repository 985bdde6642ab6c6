package sqlitestore

import "strings"

// uriPath returns the path of SQLite's URI for a path with slashes. SQLite does not know the prefix
// \\?\ of Windows, which names the same file.
func uriPath(path string) string {
	path = strings.TrimPrefix(path, "//?/")
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/jobs.db
	}
	return path
}
