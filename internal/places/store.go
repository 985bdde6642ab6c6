// Package places reads the names of stores and archives, as --store, --archive and their variables
// have them, and knows where the default store of a machine is.
//
// It opens nothing.
package places

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// Store names a store, as --store and MILEPOST_STORE do. Exactly one of Path and Table is set.
type Store struct {
	Path string // sqlite:PATH

	Table    string // dynamodb://TABLE?…, a name or an ARN
	Region   string
	Endpoint string
	Profile  string
}

const storeForms = "write sqlite:PATH, or dynamodb://TABLE?region=…&endpoint=…&profile=…"

var tableName = regexp.MustCompile(`^([A-Za-z0-9_.-]{3,255}|arn:[^/]+:dynamodb:[^/]+:table/[A-Za-z0-9_.-]{3,255})$`)

// ParseStore reads the name of a store. Its errors say what to write.
func ParseStore(text string) (Store, error) {
	bad := func(why string) (Store, error) {
		return Store{}, fmt.Errorf("store %q: %s", text, why)
	}
	scheme, rest, _ := strings.Cut(text, ":")
	switch scheme {
	case "sqlite":
		switch {
		case rest == "":
			return bad("the path of the file is missing: " + storeForms)
		case rest == ":memory:" || strings.HasPrefix(rest, "file:"):
			return bad("name a plain path of a file")
		case strings.HasPrefix(rest, "//") && !strings.HasPrefix(rest, "///"):
			return bad("the path follows the colon directly: write sqlite:" + strings.TrimPrefix(rest, "//"))
		}
		return Store{Path: rest}, nil
	case "dynamodb":
		rest, ok := strings.CutPrefix(rest, "//")
		if !ok {
			return bad("two slashes are missing: " + storeForms)
		}
		return parseTable(rest, bad)
	case "memory":
		return bad("a store in memory is gone when this process ends, so nothing could be resumed from it: " + storeForms)
	}
	return bad("unknown kind of store: " + storeForms)
}

func parseTable(rest string, bad func(string) (Store, error)) (Store, error) {
	table, query, _ := strings.Cut(rest, "?")
	if !tableName.MatchString(table) {
		return bad(fmt.Sprintf("%q is not a table name (3 to 255 of A–Z a–z 0–9 _ . -) or ARN: %s", table, storeForms))
	}
	params, err := parameters(query, "http://localhost:8000", storeForms, "region", "endpoint", "profile")
	if err != nil {
		return bad(err.Error())
	}
	return Store{Table: table, Region: params.Get("region"), Endpoint: params.Get("endpoint"), Profile: params.Get("profile")}, nil
}

// String returns the URL that names the store.
func (u Store) String() string {
	if u.Path != "" {
		return "sqlite:" + u.Path
	}
	return "dynamodb://" + u.Table + queryOf([][2]string{{"region", u.Region}, {"endpoint", u.Endpoint}, {"profile", u.Profile}})
}

// Short returns a name that people on call use: the file's or the table's.
func (u Store) Short() string {
	if u.Path != "" {
		return filepath.Base(u.Path)
	}
	return u.Table
}
