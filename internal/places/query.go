package places

import (
	"fmt"
	"net/url"
	"slices"
)

// parameters reads the query of a URL. Each parameter has an allowed name and one value. example is
// an endpoint, and forms says how to write the URL.
func parameters(query, example, forms string, allowed ...string) (url.Values, error) {
	params, err := url.ParseQuery(query)
	if err != nil {
		return nil, err
	}
	for name, values := range params {
		if !slices.Contains(allowed, name) {
			return nil, fmt.Errorf("unknown parameter %q: %s", name, forms)
		}
		if len(values) != 1 || values[0] == "" {
			return nil, fmt.Errorf("parameter %q needs exactly one value", name)
		}
	}
	if endpoint := params.Get("endpoint"); endpoint != "" {
		e, err := url.Parse(endpoint)
		if err != nil || e.Host == "" || e.Scheme != "http" && e.Scheme != "https" {
			return nil, fmt.Errorf("endpoint %q is not a URL such as %s", endpoint, example)
		}
	}
	return params, nil
}

// queryOf writes the parameters that have a value, without escapes.
func queryOf(params [][2]string) string {
	query, separator := "", "?"
	for _, param := range params {
		if param[1] != "" {
			query += separator + param[0] + "=" + param[1]
			separator = "&"
		}
	}
	return query
}
