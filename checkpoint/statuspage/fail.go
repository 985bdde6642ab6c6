package statuspage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/store"
)

// statusError is an error of the page itself, not of the store. It has its own HTTP status and the
// kind of the sentinel.
type statusError struct {
	status int
	is     error
	error
}

func (e *statusError) Unwrap() []error { return []error{e.is, e.error} }

func notFoundf(format string, args ...any) error {
	return &statusError{http.StatusNotFound, store.ErrNotFound, fmt.Errorf(format, args...)}
}

// kindOf returns the kind of err. A read that took too long means that the store is unavailable.
func kindOf(err error) kinds.Kind {
	k := kinds.Of(err)
	if own, ok := errors.AsType[*statusError](err); ok {
		k.Status = own.status
	} else if errors.Is(err, context.DeadlineExceeded) && (k.Name == "error" || k.Name == "unavailable") {
		k = kinds.Of(store.ErrUnavailable)
		k.Status = http.StatusGatewayTimeout
	}
	return k
}

// fail answers with an error: as JSON under /api/, else as a page.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	k := kindOf(err)
	status := k.Status
	if status >= http.StatusInternalServerError {
		h.opts.Logger.Error("request failed", "path", r.URL.Path, "kind", k.Name, "error", err)
	}
	if status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout {
		w.Header().Set("Retry-After", "5")
	}
	if strings.HasPrefix(r.URL.Path, "/api/") {
		e := kinds.ToErrorJSON(err)
		e.Kind, e.Exit = k.Name, k.Exit
		body, _ := json.Marshal(e)
		writeBody(w, status, "application/json", append(body, '\n'))
		return
	}
	if failed := h.render(w, status, "error", errorView{frame: h.frame(http.StatusText(status)), Kind: k.Name, Status: status, Error: err.Error()}); failed != nil {
		writeText(w, status, http.StatusText(status)+"\n")
	}
}

type errorView struct {
	frame
	Kind   string
	Status int
	Error  string
}

func writeText(w http.ResponseWriter, status int, text string) {
	writeBody(w, status, "text/plain; charset=utf-8", []byte(text))
}

func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func writeJSON(w http.ResponseWriter, v any) error {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	writeBody(w, http.StatusOK, "application/json", []byte(b.String()))
	return nil
}
