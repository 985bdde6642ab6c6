package statuspage

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/store"
)

const (
	cookieName = "milepost_page"
	cookieFor  = 12 * time.Hour
)

// hostAllowed reports whether requests may use that host name.
func (h *handler) hostAllowed(host string) bool {
	if h.opts.Hosts == nil {
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	return slices.ContainsFunc(h.opts.Hosts, func(allowed string) bool { return strings.ToLower(strings.Trim(allowed, "[]")) == host })
}

// open reports whether a path needs no token, because it shows nothing of any checkpoint.
func open(path string) bool {
	return path == "/healthz" || path == "/readyz" || path == "/login" || path == "/logout" || strings.HasPrefix(path, "/assets/")
}

// admit reports whether a request may go on, and answers it if not.
func (h *handler) admit(w http.ResponseWriter, r *http.Request) bool {
	if h.opts.Token == "" || open(r.URL.Path) {
		return true
	}
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && h.isToken(bearer) {
		return true
	}
	if cookie, err := r.Cookie(cookieName); err == nil && h.isCookie(cookie.Value, time.Now()) {
		return true
	}
	api := strings.HasPrefix(r.URL.Path, "/api/") || r.URL.Path == "/metrics"
	if query := r.URL.Query(); query.Has("token") && !api && h.isToken(query.Get("token")) {
		query.Del("token")
		h.giveCookie(w, r)
		h.goOn(w, here(r.URL.Path, query))
		return false
	}
	// The browser sends the cookie only with links on this page, not with links from other sites.
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" && !api {
		h.goOn(w, here(r.URL.Path, r.URL.Query()))
		return false
	}
	if api {
		w.Header().Set("WWW-Authenticate", `Bearer realm="milepost"`)
		h.fail(w, r, &statusError{http.StatusUnauthorized, store.ErrCredentials, errors.New("a token is required: send Authorization: Bearer TOKEN")})
		return false
	}
	h.showLogin(w, http.StatusUnauthorized, here(r.URL.Path, r.URL.Query()), r.URL.Query().Has("token"))
	return false
}

func here(path string, query url.Values) string {
	query.Del("token")
	u := url.URL{Path: path, RawQuery: query.Encode()}
	return u.RequestURI()
}

// isToken compares in constant time.
func (h *handler) isToken(given string) bool {
	want, have := sha256.Sum256([]byte(h.opts.Token)), sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(want[:], have[:]) == 1
}

// cookie returns the time until which the cookie is valid and a MAC of that time with the token as
// its key. The token itself is not in the cookie.
func (h *handler) cookie(until time.Time) string {
	at := strconv.FormatInt(until.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(h.opts.Token))
	mac.Write([]byte("milepost status page " + at))
	return at + "." + hex.EncodeToString(mac.Sum(nil))
}

func (h *handler) isCookie(value string, now time.Time) bool {
	at, _, _ := strings.Cut(value, ".")
	unix, err := strconv.ParseInt(at, 10, 64)
	until := time.Unix(unix, 0)
	return err == nil && hmac.Equal([]byte(value), []byte(h.cookie(until))) && now.Before(until)
}

func (h *handler) giveCookie(w http.ResponseWriter, r *http.Request) {
	h.setCookie(w, r, h.cookie(time.Now().Add(cookieFor)), int(cookieFor/time.Second))
}

func (h *handler) setCookie(w http.ResponseWriter, r *http.Request, value string, seconds int) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: value, Path: h.opts.Prefix + "/", MaxAge: seconds, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	})
}

// goOn makes the browser request the page again from this site. A redirect is not enough: after a
// link on another site, the browser would follow a redirect without the cookie.
func (h *handler) goOn(w http.ResponseWriter, to string) {
	_ = h.render(w, http.StatusOK, "goon", loginView{frame: h.frame("Milepost"), Next: h.opts.Prefix + to})
}

type loginView struct {
	frame
	Next  string
	Wrong bool
}

func (h *handler) showLogin(w http.ResponseWriter, status int, next string, wrong bool) {
	_ = h.render(w, status, "login", loginView{frame: h.frame("Log in"), Next: next, Wrong: wrong})
}

func (h *handler) loginPage(w http.ResponseWriter, r *http.Request) {
	h.showLogin(w, http.StatusOK, local(r.URL.Query().Get("next")), false)
}

func (h *handler) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	if err := r.ParseForm(); err != nil {
		h.fail(w, r, kinds.Usagef("the form cannot be read: %w", err))
		return
	}
	next := local(r.PostForm.Get("next"))
	if h.opts.Token != "" && !h.isToken(strings.TrimSpace(r.PostForm.Get("token"))) {
		h.showLogin(w, http.StatusUnauthorized, next, true)
		return
	}
	h.giveCookie(w, r)
	http.Redirect(w, r, h.opts.Prefix+next, http.StatusSeeOther)
}

func (h *handler) logout(w http.ResponseWriter, r *http.Request) {
	h.setCookie(w, r, "", -1)
	http.Redirect(w, r, h.opts.Prefix+"/login", http.StatusSeeOther)
}

// local returns next if it is a path on this page, so that no target leads to another site.
func local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Host != "" || u.Scheme != "" || u.Opaque != "" || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return (&url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}).RequestURI()
}

// readiness reads the store at most once a second, however often it is asked, since it needs no
// token.
type readiness struct {
	mu  sync.Mutex
	at  time.Time
	err error
}

const readyWithin = 5 * time.Second

func (h *handler) readyz(w http.ResponseWriter, r *http.Request) {
	h.ready.mu.Lock()
	defer h.ready.mu.Unlock()
	if time.Since(h.ready.at) >= time.Second {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), readyWithin)
		defer cancel()
		_, h.ready.err = h.ns.Store.Look(ctx, h.key("milepost-readiness"))
		h.ready.at = time.Now()
		if h.ready.err != nil {
			h.opts.Logger.Error("the store does not answer", "error", h.ready.err)
		}
	}
	if h.ready.err != nil {
		writeText(w, http.StatusServiceUnavailable, "the store does not answer: "+kindOf(h.ready.err).Name+"\n")
		return
	}
	writeText(w, http.StatusOK, "ok\n")
}
