package main

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/milepost-dev/milepost/internal/kinds"
)

// storeURL names a store, as --store and MILEPOST_STORE do. Exactly one of Path and
// Table is set.
type storeURL struct {
	Path string // sqlite:PATH

	Table    string // dynamodb://TABLE?…, a name or an ARN
	Region   string
	Endpoint string
	Profile  string
}

const storeForms = "write sqlite:PATH, or dynamodb://TABLE?region=…&endpoint=…&profile=…"

var tableName = regexp.MustCompile(`^([A-Za-z0-9_.-]{3,255}|arn:[^/]+:dynamodb:[^/]+:table/[A-Za-z0-9_.-]{3,255})$`)

func parseStore(text string) (storeURL, error) {
	bad := func(why string) (storeURL, error) {
		return storeURL{}, kinds.Usagef("store %q: %s", text, why)
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
			return bad("a path follows the colon, without slashes of its own: sqlite:" + strings.TrimPrefix(rest, "//"))
		}
		return storeURL{Path: rest}, nil
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

func parseTable(rest string, bad func(string) (storeURL, error)) (storeURL, error) {
	table, query, _ := strings.Cut(rest, "?")
	if !tableName.MatchString(table) {
		return bad(fmt.Sprintf("%q is no table's name (3 to 255 of A–Z a–z 0–9 _ . -) or ARN: %s", table, storeForms))
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return bad(err.Error())
	}
	for name, values := range params {
		if !slices.Contains([]string{"region", "endpoint", "profile"}, name) {
			return bad(fmt.Sprintf("unknown parameter %q: %s", name, storeForms))
		}
		if len(values) != 1 || values[0] == "" {
			return bad(fmt.Sprintf("parameter %q wants one value", name))
		}
	}
	u := storeURL{Table: table, Region: params.Get("region"), Endpoint: params.Get("endpoint"), Profile: params.Get("profile")}
	if u.Endpoint != "" {
		e, err := url.Parse(u.Endpoint)
		if err != nil || e.Host == "" || e.Scheme != "http" && e.Scheme != "https" {
			return bad(fmt.Sprintf("endpoint %q is no URL such as http://localhost:8000", u.Endpoint))
		}
	}
	return u, nil
}

// String is the URL again.
func (u storeURL) String() string {
	if u.Path != "" {
		return "sqlite:" + u.Path
	}
	return "dynamodb://" + u.Table + queryOf([][2]string{{"region", u.Region}, {"endpoint", u.Endpoint}, {"profile", u.Profile}})
}
