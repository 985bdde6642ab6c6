package statuspage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/internal/later"
	"github.com/milepost-dev/milepost/store"
)

// Limits of one request. A client that wants more asks for the next page.
const (
	requestWithin = 30 * time.Second // then its reads are cancelled
	parallel      = 16               // requests that read at once; others wait
)

// Options of a [Handler]. The zero value shows everything except states to everyone.
type Options struct {
	Title string // which store this is, for people who look at several

	// Prefix is the path under which the page is mounted, such as /milepost. Requests may
	// come with it, or without, as from a proxy that strips it.
	Prefix string

	// ShowState shows states. Otherwise only their size and type are shown.
	ShowState bool

	// Token is required of every request: as a bearer token, or once by the login form or as
	// ?token=, which give a cookie. The cookie is valid for twelve hours, and no longer than the
	// token. /healthz, /readyz and the assets need no token. "": anyone may read.
	Token string

	// Hosts are the host names that requests may use, without ports. On a loopback address they
	// keep out web pages whose own host name resolves to that address. Nil: any.
	Hosts []string

	// Metrics answers /metrics. Nil: there is no such page.
	Metrics http.Handler

	Logger *slog.Logger // for failures of the server; nil: none
}

// Handler returns the page and its API of a namespace. It changes nothing there. It accepts only GET and
// HEAD, except for the forms to log in and out. The reads of a request end when its context does,
// and after thirty seconds. An error says which option is invalid.
func Handler(ns checkpoint.Namespace, opts *Options) (http.Handler, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	ns.Name = cmp.Or(ns.Name, store.DefaultNamespace)
	if err := store.ValidateNamespace(ns.Name); err != nil {
		return nil, fmt.Errorf("make a status page: %w", err)
	}
	if o.Prefix = strings.TrimSuffix(o.Prefix, "/"); o.Prefix != "" && (o.Prefix[0] != '/' || path.Clean(o.Prefix) != o.Prefix || strings.ContainsAny(o.Prefix, "%?#\\")) {
		return nil, fmt.Errorf("make a status page: prefix %q must be a path such as /milepost", o.Prefix)
	}
	o.Logger = later.Logger(o.Logger)
	h := &handler{ns: ns, opts: o, turns: make(chan struct{}, parallel)}
	h.looks.look = h.survey
	h.route()
	return h, nil
}

type handler struct {
	ns    checkpoint.Namespace
	opts  Options
	mux   http.ServeMux
	turns chan struct{}
	looks looks
	ready readiness
}

// route sets up the paths. Names of checkpoints contain slashes, so they come last.
func (h *handler) route() {
	page := func(pattern string, do func(*request) error) {
		h.mux.Handle("GET "+pattern, h.reading(do))
	}
	page("/{$}", h.overviewPage)
	page("/checkpoints/{name...}", h.checkpointPage)
	page("/versions/{name...}", h.versionsPage)
	page("/version/{name...}", h.versionPage)
	page("/diff/{name...}", h.diffPage)

	page("/api/v1/status", h.apiStatus)
	page("/api/v1/checkpoints", h.apiList)
	page("/api/v1/checkpoints/{name...}", h.apiCheckpoint)
	page("/api/v1/versions/{name...}", h.apiVersions)
	page("/api/v1/version/{name...}", h.apiVersion)
	page("/api/v1/runs/{name...}", h.apiRuns)
	page("/api/v1/lease/{name...}", h.apiLease)
	page("/api/v1/diff/{name...}", h.apiDiff)
	h.mux.HandleFunc("GET /api/v1/openapi.json", h.apiDocument)

	h.mux.HandleFunc("GET /assets/{file}", h.asset)
	h.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok\n") })
	h.mux.HandleFunc("GET /readyz", h.readyz)
	h.mux.HandleFunc("GET /login", h.loginPage)
	h.mux.HandleFunc("POST /login", h.login)
	h.mux.HandleFunc("POST /logout", h.logout)
	if h.opts.Metrics != nil {
		h.mux.Handle("GET /metrics", h.opts.Metrics)
	}
	h.mux.Handle("/", h.reading(func(r *request) error { return notFoundf("there is no page %s", r.URL.Path) }))
}

// ServeHTTP implements [http.Handler].
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	harden(w.Header())
	if !h.hostAllowed(r.Host) {
		h.fail(w, r, &statusError{http.StatusMisdirectedRequest, kinds.ErrUsage, fmt.Errorf("the host name %q is not allowed: use one of %s, or allow it with milepost serve --allow-host",
			r.Host, strings.Join(h.opts.Hosts, ", "))})
		return
	}
	r, ok := h.stripped(r)
	if !ok {
		http.Redirect(w, r, h.opts.Prefix+"/", http.StatusPermanentRedirect)
		return
	}
	switch {
	case path.Clean(r.URL.Path) != strings.TrimSuffix(r.URL.Path, "/") && r.URL.Path != "/":
		h.fail(w, r, notFoundf("there is no page %s", r.URL.Path))
	case !takes(r.Method, r.URL.Path):
		w.Header().Set("Allow", "GET, HEAD")
		h.fail(w, r, &statusError{http.StatusMethodNotAllowed, kinds.ErrUsage, fmt.Errorf("%s is not allowed: this page is read-only and accepts GET and HEAD", r.Method)})
	case !h.admit(w, r):
	default:
		h.mux.ServeHTTP(w, r)
	}
}

// takes reports whether a path accepts a method: GET and HEAD everywhere, POST for the two forms.
func takes(method, path string) bool {
	switch method {
	case http.MethodGet, http.MethodHead:
		return true
	case http.MethodPost:
		return path == "/login" || path == "/logout"
	}
	return false
}

// stripped removes the prefix. It reports false for the prefix without a slash after it.
func (h *handler) stripped(r *http.Request) (*http.Request, bool) {
	p := h.opts.Prefix
	if p == "" || r.URL.Path != p && !strings.HasPrefix(r.URL.Path, p+"/") {
		return r, true
	}
	if r.URL.Path == p {
		return r, false
	}
	clone, u := *r, *r.URL
	u.Path, u.RawPath = strings.TrimPrefix(u.Path, p), strings.TrimPrefix(u.RawPath, p)
	clone.URL = &u
	return &clone, true
}

// harden sets the headers of every reply.
func harden(header http.Header) {
	for name, value := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
			"form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		"X-Content-Type-Options":       "nosniff",
		"X-Frame-Options":              "DENY",
		"Referrer-Policy":              "no-referrer",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Cache-Control":                "no-store",
	} {
		header.Set(name, value)
	}
}

// request is a request that reads the store.
type request struct {
	*http.Request
	w    http.ResponseWriter
	ctx  context.Context
	name string // the checkpoint's name; "": the path has none
}

// reading limits a request that reads the store, and answers its error.
func (h *handler) reading(do func(*request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), requestWithin)
		defer cancel()
		select {
		case h.turns <- struct{}{}:
		case <-ctx.Done():
			h.fail(w, r, fmt.Errorf("wait for a turn: %w", ctx.Err()))
			return
		}
		done := sync.OnceFunc(func() { <-h.turns })
		defer done()
		w = &answering{w, done}
		q := &request{Request: r, w: w, ctx: ctx, name: r.PathValue("name")}
		err := r.ParseForm()
		if err != nil {
			err = kinds.Usagef("the query cannot be read: %w", err)
		} else {
			err = q.do(h, do)
		}
		gone := errors.Is(err, context.Canceled) && r.Context().Err() != nil // the client is gone
		if err != nil && !gone {
			h.fail(w, r, err)
		}
	})
}

// answering releases the turn once the answer begins, so that a slow client blocks no other
// request.
type answering struct {
	http.ResponseWriter
	done func()
}

// WriteHeader implements [http.ResponseWriter].
func (w *answering) WriteHeader(status int) {
	w.done()
	w.ResponseWriter.WriteHeader(status)
}

func (r *request) do(h *handler, do func(*request) error) error {
	if r.name != "" {
		if err := h.key(r.name).Validate(); err != nil {
			return err
		}
	}
	return do(r)
}

func (h *handler) key(name string) store.Key {
	return store.Key{Namespace: h.ns.Name, Name: name}
}

// withoutArchive is the namespace for a read that must not load a body.
func (h *handler) withoutArchive() checkpoint.Namespace {
	ns := h.ns
	ns.Archive = nil
	return ns
}
