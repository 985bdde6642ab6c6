package page_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	devtools "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/checkpoint/statuspage"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/memstore"
	"github.com/milepost-dev/milepost/store/sqlitestore"
	"github.com/milepost-dev/milepost/test/page"
)

// tab is one tab of the browser, with what went wrong in it.
type tab struct {
	context.Context
	t *testing.T

	mu    sync.Mutex
	wrong []string // dialogs, exceptions, and what the policy kept out
}

// open opens a tab, which looks like the first view. Nothing may go wrong in it until the test
// ends.
func open(t *testing.T) *tab {
	t.Helper()
	tabs, err := browser()
	require.NoError(t, err)
	ctx, done := chromedp.NewContext(tabs)
	ctx, expire := context.WithTimeout(ctx, 10*time.Minute)
	p := &tab{Context: ctx, t: t}
	t.Cleanup(func() {
		expire()
		done()
		p.mu.Lock()
		defer p.mu.Unlock()
		assert.Empty(t, p.wrong)
	})
	require.NoError(t, chromedp.Do(ctx))
	require.NoError(t, chromedp.Listen(ctx, func(ev any) {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch e := ev.(type) {
		case *devtools.EventJavascriptDialogOpening:
			p.wrong = append(p.wrong, "dialog: "+e.Message)
		case *runtime.EventExceptionThrown:
			p.wrong = append(p.wrong, "exception: "+e.ExceptionDetails.Text)
		}
	}))
	require.NoError(t, page.Views[0].Set(ctx))
	return p
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	require.NoError(p.t, chromedp.Do(p, steps...))
}

// click clicks, and waits until the page that this leads to is there.
func (p *tab) click(selector string) {
	p.t.Helper()
	p.leave(func() { p.do(chromedp.Click(chromedp.CSS(selector))) })
}

// leave does something that leads to another page, and waits until that is there.
func (p *tab) leave(do func()) {
	p.t.Helper()
	eval[bool](p, `window.left = true`)
	do()
	p.until(`!window.left && document.readyState === "complete" && !!document.querySelector("h1")`)
}

func (p *tab) visit(url string) {
	p.t.Helper()
	p.do(chromedp.Navigate(url), chromedp.WaitReady(chromedp.CSS("h1")))
}

// until waits for an expression to hold, on this page or on one that it leads to.
func (p *tab) until(expression string) {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		holds, err := chromedp.Run(p, chromedp.Evaluate[bool](expression))
		return err == nil && holds // between two pages there is nothing to ask
	}, time.Minute, 20*time.Millisecond, expression)
}

func (p *tab) text(selector string) string {
	p.t.Helper()
	return eval[string](p, fmt.Sprintf("document.querySelector(%q).innerText", selector))
}

func (p *tab) path() string {
	p.t.Helper()
	return eval[string](p, "location.pathname + location.search")
}

func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	v, err := chromedp.Run(p, chromedp.Evaluate[T](expression))
	require.NoError(p.t, err, expression)
	return v
}

// shown serves the page over a store.
func shown(t *testing.T, st store.Store, opts *statuspage.Options) string {
	t.Helper()
	handler, err := statuspage.Handler(checkpoint.Namespace{Store: st}, opts)
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func TestFromTheOverviewToADifferenceOnALiveJob(t *testing.T) {
	file := t.TempDir() + "/jobs.db"
	st, err := sqlitestore.Open(t.Context(), file, nil)
	require.NoError(t, err)
	defer st.Close()
	type state struct{ Page int }
	job, err := checkpoint.Open[state](t.Context(), checkpoint.Namespace{Store: st}, "orders/eu", nil)
	require.NoError(t, err)
	save := func(page int) {
		require.NoError(t, job.SaveStep(t.Context(), checkpoint.Step[state]{Cursor: fmt.Sprint(page * 100), Processed: 100, Update: func(s *state) { s.Page = page }}))
	}
	save(1)
	save(2)
	url := command(t, "serve", "--listen", "127.0.0.1:0", "--show-state", "--store", "sqlite:"+file)

	p := open(t)
	p.visit(url)
	assert.Equal(t, "orders/eu", p.text("tbody th a"))
	assert.Contains(t, p.text("tbody tr"), "running")
	p.click("tbody th a")
	assert.Equal(t, "/checkpoints/orders/eu", p.path())
	assert.Equal(t, "2", p.text(".figures dd"))

	eval[bool](p, `window.stays = true`)
	save(3)
	p.until(`document.querySelector(".figures dd").innerText === "3"`)
	assert.True(t, eval[bool](p, `window.stays`), "the page was updated in place")
	assert.Equal(t, 2, eval[int](p, `document.querySelectorAll("svg polyline").length`), "cursor and counts")

	p.click(`a[href="/diff/orders/eu?from=2&to=3"]`)
	assert.Equal(t, `-   "Page": 2`, p.text("pre.diff del"))
	assert.Equal(t, `+   "Page": 3`, p.text("pre.diff ins"))
	p.do(chromedp.SetValue(chromedp.CSS("[name=from]"), "1"))
	p.click(".compare button")
	assert.Equal(t, "/diff/orders/eu?from=1&to=3", p.path())
	assert.Equal(t, `-   "Page": 1`, p.text("pre.diff del"))
	require.NoError(t, job.Close(t.Context(), nil))
	p.click(`.crumbs a[href="/checkpoints/orders/eu"]`)
	p.until(`document.querySelector("[data-part=runs]").innerText.includes("done")`)
}

func TestTenThousandCheckpointsHavePages(t *testing.T) {
	st := memstore.New(nil)
	const n = 10_000
	for i := range n {
		commit(t, st, fmt.Sprintf("jobs/%06d", i), store.Version{Content: store.Content{Cursor: fmt.Sprint(i)}})
	}
	url := shown(t, st, nil)
	p := open(t)
	p.visit(url)
	assert.Contains(t, p.text(".pager"), "1–50 of 10,000")
	assert.Equal(t, 50, eval[int](p, `document.querySelectorAll("tbody tr").length`))
	p.click("a[rel=next]")
	assert.Contains(t, p.text(".pager"), "51–100 of 10,000")
	p.click("a[rel=prev]")
	assert.Contains(t, p.text(".pager"), "1–50 of 10,000")
	p.visit(url + "/?page=200")
	assert.Contains(t, p.text(".pager"), "9,951–10,000 of 10,000")
	assert.Zero(t, eval[int](p, `document.querySelectorAll("a[rel=next]").length`))

	p.do(chromedp.SendKeys(chromedp.CSS("#q"), "00777"))
	p.leave(func() { p.do(chromedp.KeyEvent(kb.Enter)) })
	assert.Contains(t, p.text(".pager"), "1–11 of 11")
	seen := map[string]bool{}
	p.visit(url + "/?sort=name&q=jobs/0001")
	for {
		for _, name := range eval[[]string](p, `[...document.querySelectorAll("tbody th a")].map(a => a.innerText)`) {
			seen[name] = true
		}
		if eval[int](p, `document.querySelectorAll("a[rel=next]").length`) == 0 {
			break
		}
		p.click("a[rel=next]")
	}
	assert.Len(t, seen, 100, "each checkpoint is on one page")
}

var hostile = []string{
	`<script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `"><svg onload=alert(1)>`, `' onfocus='alert(1)' autofocus='`, `javascript:alert(1)`,
	"gpj.exe\u202etxt", `{{alert(1)}}`, `</title><script>alert(1)</script>`, strings.Repeat("w", 512), "a b/c?d#e%2Ff&g=h+i",
}

func TestHostileTextsAreInert(t *testing.T) {
	st := memstore.New(nil)
	large := `{"rows":["` + strings.Repeat(`<script>alert(1)</script>`, 13_000) + "\xff\xfe" + `"]}`
	require.Greater(t, len(large), 300<<10)
	for _, name := range hostile {
		commit(t, st, name, store.Version{Content: store.Content{Cursor: name, Identity: name, State: raw(large)}, LastError: name + "\xff\x00", Reason: name, By: store.Holder{ID: name, Host: name, RunID: name}})
	}
	url := shown(t, st, &statuspage.Options{ShowState: true, Title: hostile[0]})
	p := open(t)
	p.visit(url)
	links := eval[[]string](p, `[...document.querySelectorAll("tbody th a")].map(a => a.href)`)
	require.Len(t, links, len(hostile))
	pages := []string{url, url + "/?q=%3Cscript%3Ealert(1)%3C/script%3E", url + "/%3Cscript%3Ealert(1)%3C/script%3E"}
	for _, link := range links {
		pages = append(pages, link, strings.Replace(link, "/checkpoints/", "/version/", 1), strings.Replace(link, "/checkpoints/", "/versions/", 1))
	}
	for _, at := range pages {
		p.visit(at)
		assert.Equal(t, 1, eval[int](p, `document.querySelectorAll("script").length`), "%s: the page's own", at)
		assert.Zero(t, eval[int](p, `document.querySelectorAll("img, main svg[onload], [onfocus], [onerror]").length`), at)
		assert.Zero(t, eval[int](p, `Math.max(document.documentElement.scrollWidth - innerWidth, 0)`), "%s: nothing pushes the page out of its window", at)
	}
	p.visit(strings.Replace(links[0], "/checkpoints/", "/version/", 1))
	assert.Contains(t, eval[string](p, `document.querySelector("pre.state").textContent`), "<script>alert(1)</script>")
}

// demo is a store in which each page has all its parts.
func demo(t *testing.T) *memstore.Store {
	t.Helper()
	st, err := page.Demo(t.Context())
	require.NoError(t, err)
	commit(t, st, "hostile/"+hostile[0], store.Version{Content: store.Content{Cursor: hostile[0]}, LastError: hostile[5]})
	return st
}

var paths = []string{
	"/", "/?is=overdue", "/?q=nothing", "/?sort=name", "/checkpoints/orders/eu", "/checkpoints/payments/settlement", "/checkpoints/invoices/nightly", "/checkpoints/reports/quarterly",
	"/versions/orders/eu?limit=20", "/version/orders/eu?version=12", "/diff/orders/eu?from=100&to=159", "/checkpoints/nothing", "/login", "/diff/orders/eu?from=x",
}

func TestAxeFindsNothing(t *testing.T) {
	source, err := axe()
	require.NoError(t, err)
	url := shown(t, demo(t), &statuspage.Options{ShowState: true})
	p := open(t)
	for _, view := range page.Views {
		require.NoError(t, view.Set(p))
		for _, path := range paths {
			p.visit(url + path)
			eval[bool](p, source+"; true")
			type violation struct {
				ID, Help string
				Nodes    []struct {
					HTML    string
					Summary string `json:"failureSummary"`
				}
			}
			found, err := chromedp.Run(p, chromedp.Evaluate[string](`axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify({violations: r.violations, rules: r.passes.length}))`, chromedp.EvalAwaitPromise))
			require.NoError(t, err)
			var result struct {
				Violations []violation
				Rules      int
			}
			require.NoError(t, json.Unmarshal([]byte(found), &result))
			assert.Greater(t, result.Rules, 10, "%s: the rules were applied", path)
			for _, v := range result.Violations {
				t.Errorf("%s, %s: %s (%s): %+v", path, view.Name, v.ID, v.Help, v.Nodes[:min(len(v.Nodes), 3)])
			}
			assert.Zero(t, eval[int](p, `Math.max(document.documentElement.scrollWidth - innerWidth, 0)`), "%s, %s: it fits", path, view.Name)
		}
	}
	// axe finds planted mistakes.
	eval[bool](p, `document.querySelector("main").innerHTML = '<input><p style="color:#aaa">pale</p>'; true`)
	found, err := chromedp.Run(p, chromedp.Evaluate[[]string](`axe.run(document).then(r => r.violations.map(v => v.id))`, chromedp.EvalAwaitPromise))
	require.NoError(t, err)
	assert.Contains(t, found, "label")
}

func TestThePageWorksWithTheKeyboardAlone(t *testing.T) {
	url := shown(t, demo(t), &statuspage.Options{ShowState: true})
	p := open(t)
	p.visit(url)
	focused := func() string {
		return eval[string](p, `(() => { const e = document.activeElement; return e.id || e.getAttribute("href") || e.innerText || e.tagName; })()`)
	}
	// tabTo presses Tab until something has the focus, which has to be seen.
	tabTo := func(want string) {
		t.Helper()
		for range 150 {
			p.do(chromedp.KeyEvent(kb.Tab))
			require.Equal(t, "solid", eval[string](p, `getComputedStyle(document.activeElement).outlineStyle`), "%s shows that it has the focus", focused())
			if focused() == want {
				return
			}
		}
		t.Fatalf("Tab never reaches %s", want)
	}
	p.do(chromedp.KeyEvent(kb.Tab))
	assert.Equal(t, "#main", focused(), "the first Tab offers to skip what each page begins with")
	p.do(chromedp.KeyEvent(kb.Enter))
	assert.Equal(t, "main", focused())
	tabTo("q")
	p.do(chromedp.KeyEvent("orders"))
	p.leave(func() { p.do(chromedp.KeyEvent(kb.Enter)) })
	assert.Equal(t, "/?q=orders", p.path())
	tabTo("/checkpoints/orders/eu")
	p.leave(func() { p.do(chromedp.KeyEvent(kb.Enter)) })
	assert.Equal(t, "/checkpoints/orders/eu", p.path())
	tabTo("/diff/orders/eu?from=158&to=159")
	p.leave(func() { p.do(chromedp.KeyEvent(kb.Enter)) })
	assert.Contains(t, p.text("h1"), "Version 158 to 159")
}

func TestAnUpdateLeavesTheFocusWhereItWas(t *testing.T) {
	st := memstore.New(nil)
	for _, name := range []string{"a", "b"} {
		commit(t, st, name, store.Version{Content: store.Content{Cursor: "1"}})
	}
	p := open(t)
	p.visit(shown(t, st, nil))
	p.do(chromedp.Focus(chromedp.CSS(`a[href="/checkpoints/b"]`)))
	eval[bool](p, `window.old = document.activeElement; true`)
	commit(t, st, "c", store.Version{Content: store.Content{Cursor: "1"}})
	p.until(`document.querySelectorAll("tbody tr").length === 3`)
	assert.True(t, eval[bool](p, `document.activeElement !== window.old && document.activeElement.getAttribute("href") === "/checkpoints/b"`))

	p.do(chromedp.Click(chromedp.CSS(".live")))
	assert.Equal(t, "Resume updates", p.text(".live"))
}

func TestThePageWorksWithoutJavaScript(t *testing.T) {
	p := open(t)
	_, err := chromedp.Call(p, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	require.NoError(t, err)
	p.do(chromedp.Navigate(shown(t, demo(t), &statuspage.Options{ShowState: true})))
	follow := func(selector, then string) {
		t.Helper()
		p.do(chromedp.Click(chromedp.CSS(selector)), chromedp.WaitVisible(chromedp.CSS(then)))
	}
	p.do(chromedp.SendKeys(chromedp.CSS("#q"), "orders/eu"+kb.Enter), chromedp.WaitVisible(chromedp.CSS(`a[aria-current][href="/?q=orders%2Feu"]`)))
	follow(`a[href="/checkpoints/orders/eu"]`, ".figures")
	follow(`a[href="/diff/orders/eu?from=158&to=159"]`, "pre.diff")
}

func TestATokenIsAskedForOnce(t *testing.T) {
	const token = "0123456789abcdef0123456789abcdef"
	url := shown(t, demo(t), &statuspage.Options{Token: token, Prefix: "/milepost"}) + "/milepost"
	p := open(t)
	p.visit(url + "/checkpoints/orders/eu")
	assert.Equal(t, "Log in", p.text("h1"))
	p.do(chromedp.SendKeys(chromedp.CSS("#token"), "nope"))
	p.click(".login button")
	assert.Equal(t, "The token is wrong.", p.text("#wrong"))
	p.do(chromedp.SendKeys(chromedp.CSS("#token"), token))
	p.click(".login button")
	assert.Equal(t, "/milepost/checkpoints/orders/eu", p.path(), "the login leads to the page that was asked for")
	assert.Equal(t, "orders/eu", p.text("h1"))
	assert.Empty(t, eval[string](p, "document.cookie"), "no script sees the cookie")
	p.click(".logout button")
	assert.Equal(t, "Log in", p.text("h1"))
	p.visit(url + "/")
	assert.Equal(t, "Log in", p.text("h1"))

	p.do(chromedp.Navigate(url + "/?q=orders&token=" + token))
	p.until(`location.search === "?q=orders" && document.querySelectorAll("tbody tr").length === 2`)
	p.click(".logout button")
}
