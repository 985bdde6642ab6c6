package statuspage_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/checkpoint/statuspage"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// decoded parses a reply's JSON.
func decoded(t testing.TB, body string) (v map[string]any) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(body), &v), body)
	return v
}

func TestRepliesMatchTheAPIDocument(t *testing.T) {
	st := filled(t, 3)
	savedOf(t, st, "orders/eu", 5, errors.New("the warehouse is closed"))
	savedOf(t, st, "orders/eu", 3, nil)
	savedOf(t, st, "hostile/"+hostile["bidi"], 2, nil)
	key := func(name string) store.Key { return store.Key{Namespace: "default", Name: name} }
	commit(t, st, "binary", store.Version{Content: store.Content{State: rawState("\xff\x00")}})
	require.NoError(t, st.Expect(t.Context(), key("never"), nil, &store.Expectation{Every: time.Hour, Grace: time.Minute, SetBy: "me", SetAt: time.Now()}))
	held, err := checkpoint.Open[state](t.Context(), checkpoint.Namespace{Store: st}, "held", &checkpoint.Options{Lease: lease.Options{Holder: store.Holder{ID: "me"}}})
	require.NoError(t, err)
	defer func() { require.NoError(t, held.Close(t.Context(), nil)) }()
	require.NoError(t, held.Save(t.Context(), "1", state{}))
	_, err = checkpoint.Namespace{Store: st}.Rollback(t.Context(), "orders/eu", 3, &checkpoint.EditOptions{Reason: "go over it again"})
	require.NoError(t, err)
	st.Damage(key("jobs/000001"), "HEAD", errors.New("odd"))
	st.Damage(key("orders/eu"), store.CopyRecord(4), errors.New("odd"))

	for _, showState := range []bool{false, true} {
		page := pageOf(t, st, &statuspage.Options{ShowState: showState})
		document := documentOf(t, page)
		documented := map[string]bool{}
		for _, c := range []struct {
			url    string
			status int
		}{
			{"/api/v1/status", 200}, {"/api/v1/status?limit=2&offset=1&prefix=orders", 200}, {"/api/v1/checkpoints", 200}, {"/api/v1/checkpoints?limit=2", 200},
			{"/api/v1/checkpoints/orders%2Feu", 200}, {"/api/v1/checkpoints/binary", 200}, {"/api/v1/checkpoints/held", 200}, {"/api/v1/checkpoints/jobs%2F000001", 500}, {"/api/v1/checkpoints/nothing", 404},
			{"/api/v1/versions/orders%2Feu", 200}, {"/api/v1/versions/orders%2Feu?limit=2&before=6", 200}, {"/api/v1/versions/nothing", 404},
			{"/api/v1/version/orders%2Feu?version=2", 200}, {"/api/v1/version/orders%2Feu?version=4", 500},
			{"/api/v1/runs/orders%2Feu", 200}, {"/api/v1/runs/held", 200}, {"/api/v1/runs/orders%2Feu?limit=2", 200},
			{"/api/v1/lease/orders%2Feu", 200}, {"/api/v1/lease/held", 200}, {"/api/v1/lease/binary", 404},
			{"/api/v1/diff/orders%2Feu", 200}, {"/api/v1/diff/orders%2Feu?from=1&to=3", 200}, {"/api/v1/diff/orders%2Feu?from=1&to=99", 404},
		} {
			got := ask(t, page, "GET", c.url)
			require.Equal(t, c.status, got.StatusCode, "%s: %s", c.url, got.body)
			path, _, _ := strings.Cut(strings.TrimPrefix(c.url, "/api/v1/"), "?")
			path, name, named := strings.Cut(path, "/")
			if named {
				path += "/{name}"
			}
			path = "/api/v1/" + path
			documented[path] = named == (name != "")
			assert.NoError(t, document.check(t, path, got), "%s: %s", c.url, got.body)
		}
		for path := range document.paths {
			assert.True(t, documented[path], "%s is documented but was not tried", path)
		}

		// The check finds deviations from the document.
		for _, wrong := range []string{`{"checkpoints":[{"namespace":"default"}]}`, `{"checkpoints":[],"more":1}`, `[]`} {
			assert.Error(t, document.check(t, "/api/v1/checkpoints", reply{&http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}}, wrong}), wrong)
		}
	}
}

// document is the description of the API.
type document struct {
	compiler *jsonschema.Compiler
	paths    map[string]any
}

// documentOf reads the document that the page serves, and validates it as an OpenAPI document.
func documentOf(t testing.TB, page http.Handler) document {
	t.Helper()
	content, err := jsonschema.UnmarshalJSON(strings.NewReader(get(t, page, "/api/v1/openapi.json")))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	rules, err := c.Compile("testdata/openapi-3.1.schema.json")
	require.NoError(t, err)
	require.NoError(t, rules.Validate(content), "the document itself must be valid")
	require.NoError(t, c.AddResource("api.json", content))
	return document{c, content.(map[string]any)["paths"].(map[string]any)}
}

// check validates a reply against the document.
func (d document) check(t testing.TB, path string, r reply) error {
	t.Helper()
	at := fmt.Sprintf("api.json#/paths/%s/get/responses/%d", strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(path), r.StatusCode)
	if r.StatusCode != http.StatusOK {
		responses := d.paths[path].(map[string]any)["get"].(map[string]any)["responses"].(map[string]any)
		require.Contains(t, responses, fmt.Sprint(r.StatusCode))
		at = "api.json#/components/responses/Error"
	}
	schema, err := d.compiler.Compile(at + "/content/application~1json/schema")
	require.NoError(t, err)
	assert.Equal(t, "application/json", r.Header.Get("Content-Type"))
	answer, err := jsonschema.UnmarshalJSON(strings.NewReader(r.body))
	require.NoError(t, err)
	return schema.Validate(answer)
}

func TestTheAPIPagesToTheEnd(t *testing.T) {
	st := filled(t, 25)
	savedOf(t, st, "orders/eu", 25, nil)
	page := pageOf(t, st, nil)
	var names []string
	for after := ""; ; {
		answer := decoded(t, get(t, page, "/api/v1/checkpoints?limit=10&prefix=jobs/&after="+after))
		for _, c := range answer["checkpoints"].([]any) {
			names = append(names, c.(map[string]any)["name"].(string))
		}
		next, more := answer["next"].(string)
		if !more {
			break
		}
		after = next
	}
	require.Len(t, names, 25)
	assert.Equal(t, "jobs/000000", names[0])
	assert.Equal(t, "jobs/000024", names[24])

	var versions []float64
	for before := ""; ; {
		answer := decoded(t, get(t, page, "/api/v1/versions/orders/eu?limit=10"+before))
		for _, v := range answer["versions"].([]any) {
			versions = append(versions, v.(map[string]any)["version"].(float64))
		}
		next, more := answer["next"].(float64)
		if !more {
			break
		}
		before = fmt.Sprintf("&before=%.0f", next)
	}
	require.Len(t, versions, 25)
	assert.Equal(t, 25.0, versions[0])
	assert.Equal(t, 1.0, versions[24])

	status := decoded(t, get(t, page, "/api/v1/status?limit=5&offset=24"))
	assert.Equal(t, 26.0, status["total"])
	assert.Len(t, status["checkpoints"], 2)
	for _, url := range []string{"/api/v1/checkpoints?limit=1001", "/api/v1/checkpoints?limit=0", "/api/v1/versions/orders/eu?limit=501", "/api/v1/status?offset=-1", "/api/v1/status?limit=x"} {
		r := ask(t, page, "GET", url)
		assert.Equal(t, http.StatusBadRequest, r.StatusCode, url)
		assert.Equal(t, "usage", decoded(t, r.body)["kind"], url)
	}
}

func TestAVersionWithItsStateReadsBackAndOneWithoutIsRefused(t *testing.T) {
	st := filled(t, 1)
	savedOf(t, st, "orders/eu", 3, nil)
	var cp checkpoint.Checkpoint
	require.NoError(t, json.Unmarshal([]byte(get(t, pageOf(t, st, &statuspage.Options{ShowState: true}), "/api/v1/version/orders/eu?version=2")), &cp))
	assert.JSONEq(t, `{"sum":200,"note":"at 2"}`, string(cp.State))
	hidden := get(t, pageOf(t, st, nil), "/api/v1/version/orders/eu?version=2")
	assert.ErrorContains(t, json.Unmarshal([]byte(hidden), &cp), "state_hidden", "otherwise milepost set would save an empty state")
}
