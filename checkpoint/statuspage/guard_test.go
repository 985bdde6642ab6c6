package statuspage_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
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
	"github.com/milepost-dev/milepost/store/faultstore"
	"github.com/milepost-dev/milepost/store/memstore"
)

const token = "0123456789abcdef0123456789abcdef"

func TestEveryReplyIsHardened(t *testing.T) {
	page := pageOf(t, filled(t, 1), &statuspage.Options{Token: token, Hosts: []string{"example.com"}})
	for _, r := range []reply{
		ask(t, page, "GET", "/"), ask(t, page, "GET", "/", "Authorization", "Bearer "+token), ask(t, page, "POST", "/"), ask(t, page, "GET", "/healthz"),
		ask(t, page, "GET", "/api/v1/status"), ask(t, page, "GET", "/assets/page.css"), ask(t, page, "GET", "/nothing", "Authorization", "Bearer "+token),
		ask(t, page, "GET", "http://evil.test/"), ask(t, page, "GET", "/?token="+token),
	} {
		csp := r.Header.Get("Content-Security-Policy")
		assert.Contains(t, csp, "default-src 'none'; script-src 'self'; style-src 'self'")
		assert.Contains(t, csp, "frame-ancestors 'none'")
		assert.NotContains(t, csp, "unsafe")
		assert.Equal(t, "nosniff", r.Header.Get("X-Content-Type-Options"))
		assert.Equal(t, "no-referrer", r.Header.Get("Referrer-Policy"))
		assert.NotContains(t, r.body, token)
	}
}

func TestThePageIsReadOnly(t *testing.T) {
	page := pageOf(t, filled(t, 1), nil)
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"} {
		for _, path := range []string{"/", "/checkpoints/jobs/000000", "/api/v1/checkpoints/jobs/000000"} {
			r := ask(t, page, method, path)
			assert.Equal(t, http.StatusMethodNotAllowed, r.StatusCode, method)
			assert.Equal(t, "GET, HEAD", r.Header.Get("Allow"))
		}
	}
	head := ask(t, page, "HEAD", "/checkpoints/jobs/000000")
	assert.Equal(t, http.StatusOK, head.StatusCode)
}

func TestEveryRequestNeedsTheTokenAndTheFormGivesACookieForIt(t *testing.T) {
	page := pageOf(t, filled(t, 1), &statuspage.Options{Token: token, Prefix: "/milepost"})
	for _, path := range []string{"/", "/checkpoints/jobs/000000", "/nothing", "/?token=wrong"} {
		r := ask(t, page, "GET", path)
		assert.Equal(t, http.StatusUnauthorized, r.StatusCode, path)
		assert.Contains(t, r.body, `action="/milepost/login"`)
		assert.NotContains(t, r.body, "quiet", path)
	}
	for _, path := range []string{"/api/v1/status", "/api/v1/openapi.json", "/metrics", "/api/v1/status?token=" + token} {
		r := ask(t, page, "GET", path)
		assert.Equal(t, http.StatusUnauthorized, r.StatusCode, path)
		assert.NotEmpty(t, r.Header.Get("WWW-Authenticate"), path)
	}
	assert.Contains(t, ask(t, page, "GET", "/api/v1/status").body, `"kind":"credentials"`)
	for _, path := range []string{"/healthz", "/readyz", "/assets/page.css", "/assets/page.js", "/login"} {
		assert.Equal(t, http.StatusOK, ask(t, page, "GET", path).StatusCode, path)
	}
	assert.Equal(t, http.StatusUnauthorized, ask(t, page, "GET", "/", "Authorization", "Bearer "+token+"x").StatusCode)
	assert.Equal(t, http.StatusOK, ask(t, page, "GET", "/", "Authorization", "Bearer "+token).StatusCode)

	post := func(form url.Values) reply {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/milepost/login", strings.NewReader(form.Encode()))
		return send(t, page, r, "Content-Type", "application/x-www-form-urlencoded")
	}
	wrong := post(url.Values{"token": {"nope"}, "next": {"/versions/a"}})
	assert.Equal(t, http.StatusUnauthorized, wrong.StatusCode)
	assert.Contains(t, wrong.body, "The token is wrong.")
	assert.Contains(t, wrong.body, `value="/versions/a"`, "the login keeps the target page")
	assert.Empty(t, wrong.Cookies())

	right := post(url.Values{"token": {token}, "next": {"/checkpoints/jobs/000000"}})
	assert.Equal(t, http.StatusSeeOther, right.StatusCode)
	assert.Equal(t, "/milepost/checkpoints/jobs/000000", right.Header.Get("Location"))
	require.Len(t, right.Cookies(), 1)
	cookie := right.Cookies()[0]
	assert.True(t, cookie.HttpOnly)
	assert.Equal(t, http.SameSiteStrictMode, cookie.SameSite)
	assert.Equal(t, "/milepost/", cookie.Path)
	assert.NotContains(t, cookie.Value, token)
	assert.False(t, cookie.Secure, "the request used plain HTTP")
	assert.True(t, ask(t, page, "GET", "/?token="+token, "X-Forwarded-Proto", "https").Cookies()[0].Secure)
	in := cookie.Name + "=" + cookie.Value
	assert.Equal(t, http.StatusOK, ask(t, page, "GET", "/milepost/", "Cookie", in).StatusCode)
	assert.Equal(t, http.StatusOK, ask(t, page, "GET", "/milepost/api/v1/status", "Cookie", in).StatusCode)
	assert.Equal(t, http.StatusUnauthorized, ask(t, page, "GET", "/milepost/", "Cookie", in+"0").StatusCode)
	other := pageOf(t, filled(t, 1), &statuspage.Options{Token: token + "2"})
	assert.Equal(t, http.StatusUnauthorized, ask(t, other, "GET", "/", "Cookie", in).StatusCode, "another token's cookie")

	for _, next := range []string{"//evil.test/", "https://evil.test/", `/\evil.test`, "/\t/evil.test", "javascript:alert(1)", ""} {
		assert.Equal(t, "/milepost/", post(url.Values{"token": {token}, "next": {next}}).Header.Get("Location"), next)
	}
	out := ask(t, page, "POST", "/milepost/logout")
	assert.Equal(t, "/milepost/login", out.Header.Get("Location"))
	require.Len(t, out.Cookies(), 1)
	assert.Negative(t, out.Cookies()[0].MaxAge)
}

func TestATokenInTheURLIsReplacedByACookie(t *testing.T) {
	page := pageOf(t, filled(t, 1), &statuspage.Options{Token: token})
	r := ask(t, page, "GET", "/versions/jobs/000000?token="+token+"&limit=5")
	assert.Equal(t, http.StatusOK, r.StatusCode)
	assert.Contains(t, r.body, `content="0; url=/versions/jobs/000000?limit=5"`)
	require.Len(t, r.Cookies(), 1)

	link := ask(t, page, "GET", "/versions/jobs/000000", "Sec-Fetch-Site", "cross-site")
	assert.Contains(t, link.body, `content="0; url=/versions/jobs/000000"`, "a link from another site comes without the cookie, so the browser asks again from this site")
	assert.Empty(t, link.Cookies())
}

func TestACookieIsGoodForTwelveHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page := pageOf(t, filled(t, 1), &statuspage.Options{Token: token})
		c := ask(t, page, "GET", "/?token="+token).Cookies()[0]
		time.Sleep(12*time.Hour - 2*time.Second)
		assert.Equal(t, http.StatusOK, ask(t, page, "GET", "/", "Cookie", c.Name+"="+c.Value).StatusCode)
		time.Sleep(3 * time.Second)
		assert.Equal(t, http.StatusUnauthorized, ask(t, page, "GET", "/", "Cookie", c.Name+"="+c.Value).StatusCode)
		later := strings.Replace(c.Value, ".", "0.", 1)
		assert.Equal(t, http.StatusUnauthorized, ask(t, page, "GET", "/", "Cookie", c.Name+"="+later).StatusCode)
	})
}

func TestOnlyKnownHostsAreAnswered(t *testing.T) {
	page := pageOf(t, filled(t, 1), &statuspage.Options{Hosts: []string{"localhost", "127.0.0.1", "::1"}})
	for host, want := range map[string]int{
		"localhost:8080": 200, "LOCALHOST": 200, "localhost.": 200, "127.0.0.1:9": 200, "[::1]:8080": 200, "[::1]": 200,
		"evil.test": 421, "evil.test:8080": 421, "127.0.0.1.evil.test": 421, "localhost.evil.test:80": 421, "": 421,
	} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		r.Host = host
		assert.Equal(t, want, send(t, page, r).StatusCode, host)
	}
}

func TestThePageWorksUnderAPrefixThatAProxyMayStrip(t *testing.T) {
	st := memstore.New(nil)
	savedOf(t, st, "orders/eu", 3, nil)
	page := pageOf(t, st, &statuspage.Options{Prefix: "/ops/milepost/"})
	for _, path := range []string{"/ops/milepost/", "/", "/ops/milepost/checkpoints/orders/eu", "/checkpoints/orders%2Feu", "/ops/milepost/checkpoints/orders%2Feu"} {
		body := get(t, page, path)
		for part := range strings.SplitSeq(body, `href="/`) {
			if part != body && !strings.HasPrefix(part, "<!doctype") {
				assert.True(t, strings.HasPrefix(part, "ops/milepost/"), "%s: /%.40s", path, part)
			}
		}
	}
	r := ask(t, page, "GET", "/ops/milepost")
	assert.Equal(t, "/ops/milepost/", r.Header.Get("Location"))
	assert.Contains(t, get(t, page, "/ops/milepost/api/v1/openapi.json"), `"url": "/ops/milepost/"`)
	for _, prefix := range []string{"milepost", "/a/../b", "/a//b", "/%41", "/a?b"} {
		_, err := statuspage.Handler(checkpoint.Namespace{Store: st}, &statuspage.Options{Prefix: prefix})
		assert.ErrorContains(t, err, "prefix", prefix)
	}
	_, err := statuspage.Handler(checkpoint.Namespace{Store: st, Name: "a/b"}, nil)
	assert.ErrorIs(t, err, store.ErrName)
}

func TestReadyzReadsTheStoreAtMostOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := faultstore.New(filled(t, 1))
		page := pageOf(t, st, nil)
		assert.Equal(t, http.StatusOK, ask(t, page, "GET", "/readyz").StatusCode)
		st.On("Look", 0, faultstore.Fail(store.ErrUnavailable))
		assert.Equal(t, http.StatusOK, ask(t, page, "GET", "/readyz").StatusCode, "the last answer is kept for a second")
		time.Sleep(time.Second)
		r := ask(t, page, "GET", "/readyz")
		assert.Equal(t, http.StatusServiceUnavailable, r.StatusCode)
		assert.Equal(t, "the store does not answer: unavailable\n", r.body)
		assert.Equal(t, http.StatusOK, ask(t, page, "GET", "/healthz").StatusCode, "the process lives")
	})
}

func TestErrorsHaveTheCommandsKindsAndAStatus(t *testing.T) {
	for kind, c := range map[string]struct {
		err    error
		status int
	}{
		"unavailable": {store.ErrUnavailable, 503}, "no_table": {store.ErrNoTable, 503}, "credentials": {store.ErrCredentials, 502},
		"bad_record": {store.ErrBadRecord, 500}, "newer_format": {store.ErrNewerFormat, 500}, "error": {errors.New("odd"), 500},
	} {
		st := faultstore.New(filled(t, 1))
		st.On("Look", 0, faultstore.Fail(c.err))
		r := ask(t, pageOf(t, st, nil), "GET", "/api/v1/lease/jobs/000000")
		assert.Equal(t, c.status, r.StatusCode, kind)
		assert.Contains(t, r.body, `"kind":"`+kind+`"`)
		assert.Equal(t, "application/json", r.Header.Get("Content-Type"))
	}
	page := pageOf(t, filled(t, 1), nil)
	assert.Contains(t, ask(t, page, "GET", "/api/v1/lease/a%00b").body, `"kind":"usage"`)
	assert.Contains(t, ask(t, page, "GET", "/api/v1/nothing").body, `"kind":"not_found"`)
	assert.Contains(t, ask(t, page, "GET", "/api/v1/lease/a?%zz").body, `"kind":"usage"`)
}

func TestReadsOfAHungStoreAndOfClosedRequestsAreCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := faultstore.New(filled(t, 1))
		for _, method := range []string{"Names", "Peek", "Look"} {
			st.On(method, 0, faultstore.Hang)
		}
		page := pageOf(t, st, nil)
		for _, path := range []string{"/", "/?sort=name", "/checkpoints/jobs/000000", "/api/v1/status", "/api/v1/checkpoints", "/api/v1/versions/jobs/000000"} {
			began := time.Now()
			assert.Equal(t, http.StatusGatewayTimeout, ask(t, page, "GET", path).StatusCode, path)
			assert.Equal(t, 30*time.Second, time.Since(began), path)

			ctx, cancel := context.WithCancel(t.Context())
			left := make(chan struct{})
			go func() {
				defer close(left)
				page.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", path, nil))
			}()
			synctest.Wait()
			began = time.Now()
			cancel()
			<-left
			synctest.Wait() // the bubble also only ends when no goroutine is left
			assert.Zero(t, time.Since(began), path)
		}
	})
}

func TestASurveyIsSharedAndKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := faultstore.New(filled(t, 500))
		st.On("Peek", 0, faultstore.Delay(time.Millisecond))
		peeks := func() int { return len(st.Calls("Peek")) }
		page := pageOf(t, st, nil)
		statuses := make(chan int)
		for range 8 {
			go func() { statuses <- ask(t, page, "GET", "/").StatusCode }()
		}
		for range 8 {
			assert.Equal(t, http.StatusOK, <-statuses)
		}
		assert.Equal(t, 16, peeks(), "one survey for all requests")
		time.Sleep(4 * time.Second)
		get(t, page, "/?page=2")
		assert.Equal(t, 16, peeks(), "500 checkpoints are surveyed at most every five seconds")
		time.Sleep(2 * time.Second)
		get(t, page, "/")
		assert.Equal(t, 32, peeks())
	})
}

// slow is a client that takes its answer when the test says so.
type slow struct {
	*httptest.ResponseRecorder
	take chan struct{}
}

func (s slow) Write(p []byte) (int, error) {
	<-s.take
	return s.ResponseRecorder.Write(p)
}

func TestSixteenRequestsReadAtOnceAndASlowClientBlocksNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := faultstore.New(filled(t, 1))
		page := pageOf(t, st, nil)
		take, done := make(chan struct{}), make(chan struct{})
		for range 40 {
			go func() {
				page.ServeHTTP(slow{httptest.NewRecorder(), take}, httptest.NewRequestWithContext(t.Context(), "GET", "/api/v1/checkpoints/jobs/000000", nil))
				done <- struct{}{}
			}()
		}
		synctest.Wait()
		assert.Equal(t, http.StatusOK, ask(t, page, "GET", "/api/v1/checkpoints/jobs/000000").StatusCode)
		close(take)
		for range 40 {
			<-done
		}

		before := len(st.Calls("Look"))
		st.On("Look", 0, faultstore.Delay(time.Second))
		for range 40 {
			go func() { ask(t, page, "GET", "/api/v1/checkpoints/jobs/000000"); done <- struct{}{} }()
		}
		synctest.Wait()
		assert.Equal(t, 16, len(st.Calls("Look"))-before)
		for range 40 {
			<-done
		}
	})
}
