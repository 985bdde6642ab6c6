package statuspage_test

import (
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/checkpoint/statuspage"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/memstore"
)

func TestTheOverviewListsTheWorstFirstAndPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the page says how long ago things were
		st := filled(t, 120)
		savedOf(t, st, "zz/failing", 3, errors.New("the warehouse is closed"))
		require.NoError(t, st.Expect(t.Context(), store.Key{Namespace: "default", Name: "zz/late"}, nil, &store.Expectation{Every: time.Second, SetAt: time.Now().Add(-time.Hour)}))
		page := pageOf(t, st, nil)

		first := get(t, page, "/")
		assert.Contains(t, first, "1–50 of 122")
		late, failing, quiet := strings.Index(first, "zz/late"), strings.Index(first, "zz/failing"), strings.Index(first, "jobs/")
		assert.True(t, 0 < late && late < failing && failing < quiet, "%d, %d, %d: the worst first", late, failing, quiet)
		assert.Contains(t, first, "the warehouse is closed")
		assert.Contains(t, first, "overdue 59 min 59 s")
		assert.Contains(t, get(t, page, "/?page=3"), "101–122 of 122")
		assert.Contains(t, get(t, page, "/?q=FAIL"), "1–1 of 1", "anywhere in the name, in upper or lower case")
		assert.Contains(t, get(t, page, "/?is=overdue"), "1–1 of 1")
		assert.Contains(t, get(t, page, "/?q=nothing"), "No checkpoint matches.")

		byName := get(t, page, "/?sort=name&q=jobs/")
		assert.Contains(t, byName, "jobs/000049")
		assert.NotContains(t, byName, "jobs/000050")
		assert.Contains(t, byName, `href="/?after=jobs%2F000049&amp;q=jobs%2F&amp;sort=name"`)
		assert.Contains(t, get(t, page, "/?after=jobs%2F000049&q=jobs%2F&sort=name"), "jobs/000050")
		assert.Equal(t, http.StatusBadRequest, ask(t, page, "GET", "/?page=0").StatusCode)
	})
}

func TestACheckpointsPageHasItsHistoryLeaseRunsAndErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the page says how long ago things were
		st := memstore.New(nil)
		savedOf(t, st, "orders/eu", 5, errors.New("the warehouse is closed"))
		savedOf(t, st, "orders/eu", 30, nil)
		page := pageOf(t, st, nil)
		body := get(t, page, "/checkpoints/orders/eu")
		for _, want := range []string{
			"nightly@etl-7", "4121", "run-1", "The run ended: error", "the warehouse is closed", "The run ended: done", `<polyline class="line"`,
			`class="begun"`, `href="/version/orders/eu?version=35"`, `href="/diff/orders/eu?from=34&amp;to=35"`, `href="/versions/orders/eu"`, `href="/?q=orders%2F"`,
			"Cursor over time: from 100 at ",
		} {
			assert.Contains(t, body, want)
		}
		assert.Equal(t, body, get(t, page, "/checkpoints/orders%2Feu"), "a slash may be escaped")

		versions := get(t, page, "/versions/orders/eu?limit=10")
		assert.Contains(t, versions, ">35<")
		assert.Contains(t, versions, `href="/versions/orders/eu?before=26"`)
		assert.Contains(t, get(t, page, "/versions/orders/eu?before=6"), ">5<")
		assert.Equal(t, http.StatusNotFound, ask(t, page, "GET", "/checkpoints/orders").StatusCode)
		assert.Equal(t, http.StatusNotFound, ask(t, page, "GET", "/version/orders/eu?version=36").StatusCode)
		assert.Equal(t, http.StatusNotFound, ask(t, page, "GET", "/diff/orders/eu?from=1&to=99").StatusCode)
		assert.Equal(t, http.StatusBadRequest, ask(t, page, "GET", "/diff/orders/eu?from=x").StatusCode)
		assert.Equal(t, http.StatusBadRequest, ask(t, page, "GET", "/versions/orders/eu?limit=501").StatusCode, "pages are capped")
	})
}

func TestStatesAreShownOnlyWhenAskedFor(t *testing.T) {
	st := memstore.New(nil)
	savedOf(t, st, "orders/eu", 5, nil)
	hidden, shown := pageOf(t, st, nil), pageOf(t, st, &statuspage.Options{ShowState: true})
	for _, url := range []string{"/", "/checkpoints/orders/eu", "/versions/orders/eu", "/version/orders/eu?version=2", "/diff/orders/eu?from=1&to=2",
		"/api/v1/checkpoints", "/api/v1/checkpoints/orders/eu", "/api/v1/versions/orders/eu", "/api/v1/version/orders/eu?version=2", "/api/v1/diff/orders/eu?from=1&to=2", "/api/v1/status"} {
		body := get(t, hidden, url)
		assert.NotContains(t, body, "at 1", url)
		assert.NotRegexp(t, `\bsum\b`, body, url) // a whole word: a commit id is random letters
	}
	assert.Contains(t, get(t, hidden, "/version/orders/eu"), "--show-state")
	assert.Contains(t, get(t, hidden, "/diff/orders/eu"), "--show-state")
	assert.Contains(t, get(t, shown, "/version/orders/eu?version=2"), "&#34;note&#34;: &#34;at 2&#34;")
	diff := get(t, shown, "/diff/orders/eu?from=1&to=3")
	assert.Contains(t, diff, "<del>-   &#34;sum&#34;: 100,</del>")
	assert.Contains(t, diff, "<ins>+   &#34;sum&#34;: 300,</ins>")
	assert.Contains(t, get(t, shown, "/diff/orders/eu?from=4&to=5"), "The states are the same.", "the closing commit changed none")
}

var hostile = map[string]string{
	"script":     `<script>alert(1)</script>`,
	"attribute":  `" onmouseover="alert(1)`,
	"template":   `{{.}}</title><img src=x onerror=alert(1)>`,
	"bidi":       "invoice\u202egpj.exe\u2066",
	"joined":     "a\u200bb\ufeffc",
	"query":      "a?b=c&d#e%2Ff+g",
	"backslash":  `..\..\etc`,
	"javascript": "javascript:alert(1)",
	"long":       strings.Repeat("ö", 256),
	"deep":       strings.TrimSuffix(strings.Repeat("a/", 200), "/"),
	"asset":      "assets/page.css",
}

func TestHostileNamesAndTextsAreInertAndTheirLinksWork(t *testing.T) {
	st := memstore.New(nil)
	for _, name := range hostile {
		commit(t, st, name, store.Version{Content: store.Content{Cursor: name, Identity: name, State: rawState(name)}, LastError: name + "\x00\x1b[2J", Reason: name, By: store.Holder{ID: name, Host: name, RunID: name}})
	}
	page := pageOf(t, st, &statuspage.Options{ShowState: true, Title: hostile["template"]})
	escaped := func(name, body string) {
		t.Helper()
		assert.NotContains(t, body, "<script>alert", name)
		assert.NotContains(t, body, "<img", name)
		assert.NotContains(t, body, ` onmouseover="`, name)
	}
	inert := func(name, body string) {
		t.Helper()
		escaped(name, body)
		assert.NotContains(t, body, "\u202e", name)
		assert.NotContains(t, body, "\u200b", name)
		assert.NotContains(t, body, "\x1b", name)
		assert.NotContains(t, body, "\x00", name)
	}
	overview := get(t, page, "/")
	inert("overview", overview)
	links := 0
	for part := range strings.SplitSeq(overview, `href="`) {
		link, _, _ := strings.Cut(part, `"`)
		if strings.HasPrefix(link, "/checkpoints/") {
			links++
			inert(link, get(t, page, html.UnescapeString(link)))
		}
	}
	assert.Equal(t, len(hostile), links, "each checkpoint has a page, and its link works")
	for kind, name := range hostile {
		path := escapedPath(name)
		for _, at := range []string{"/checkpoints/", "/versions/", "/version/", "/api/v1/checkpoints/", "/api/v1/versions/", "/api/v1/runs/"} {
			body := get(t, page, at+path)
			if !strings.HasPrefix(at, "/api/") {
				inert(kind+" "+at, body)
			}
		}
		escaped(kind, get(t, page, "/?q="+url.QueryEscape(name))) // the search field shows the query as it is
		inert(kind, ask(t, page, "GET", "/nothing/"+path).body)
	}
	assert.Contains(t, overview, `invoice\u202egpj.exe\u2066`, "characters that turn text are made visible")
}

func TestStatesOfAnySizeAndBytesAreShown(t *testing.T) {
	st := memstore.New(nil)
	large := `{"rows":[` + strings.TrimSuffix(strings.Repeat(`{"id":"<script>alert(1)</script>"},`, 9000), ",") + `]}`
	require.Greater(t, len(large), 300<<10)
	for name, content := range map[string]string{
		"large": large, "invalid": "{\"a\":\"\xff\xfe\"}", "binary": "\x00\x01\xff\x7fELF", "text": "one\ntwo <b>\n", "oneline": `"` + strings.Repeat("x", 300<<10) + `"`, "empty": "",
		"enormous": `"` + strings.Repeat("x", 5<<20) + `"`,
	} {
		commit(t, st, name, store.Version{Content: store.Content{State: rawState(content)}})
	}
	page := pageOf(t, st, &statuspage.Options{ShowState: true})
	assert.Contains(t, get(t, page, "/version/large"), "&lt;script&gt;alert(1)&lt;/script&gt;")
	assert.Contains(t, get(t, page, "/version/invalid"), `\xff\xfe`)
	assert.Contains(t, get(t, page, "/version/binary"), "00 01 ff 7f 45 4c 46")
	assert.Contains(t, get(t, page, "/version/text"), "two &lt;b&gt;")
	assert.Contains(t, get(t, page, "/version/enormous"), "5,242,882 bytes, and at most 4,194,304 are shown here")
	for _, name := range []string{"large", "oneline", "enormous", "empty", "binary"} {
		assert.Less(t, len(get(t, page, "/version/"+name)), 4<<20, name)
	}
}

func TestAHugeDifferenceIsCut(t *testing.T) {
	st := memstore.New(nil)
	s, err := checkpoint.Open[[]string](t.Context(), checkpoint.Namespace{Store: st}, "big", nil)
	require.NoError(t, err)
	lines := func(word string) (all []string) {
		for i := range 5000 {
			all = append(all, fmt.Sprint(word, i))
		}
		return all
	}
	require.NoError(t, s.Save(t.Context(), "1", lines("a")))
	require.NoError(t, s.Save(t.Context(), "2", lines("b")))
	require.NoError(t, s.Close(t.Context(), nil))
	page := pageOf(t, st, &statuspage.Options{ShowState: true})
	body := get(t, page, "/diff/big?from=1&to=2")
	assert.Contains(t, body, "There are more changes than shown here.")
	assert.LessOrEqual(t, strings.Count(body, "<del>")+strings.Count(body, "<ins>"), 2000)
}

func TestADamagedRecordIsNamedAndDoesNotHideOthers(t *testing.T) {
	st := filled(t, 40)
	st.Damage(store.Key{Namespace: "default", Name: "jobs/000007"}, "HEAD", store.ErrNewerFormat)
	page := pageOf(t, st, nil)
	overview := get(t, page, "/")
	assert.Contains(t, overview, "jobs/000006")
	assert.Contains(t, overview, "unreadable <b>1</b>")
	assert.Contains(t, get(t, page, "/checkpoints/jobs/000007"), "written by a newer release")
	assert.Contains(t, get(t, page, "/api/v1/checkpoints?limit=40"), `"error":"record HEAD of jobs/000007: written by a newer release","name":"jobs/000007"`)
	r := ask(t, page, "GET", "/api/v1/checkpoints/jobs/000007")
	assert.Equal(t, http.StatusInternalServerError, r.StatusCode)
	assert.Contains(t, r.body, `"kind":"bad_record"`)
}
