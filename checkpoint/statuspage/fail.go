package statuspage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

var errUsage = errors.New("wrong usage")

// kinds are those of the command's ends that reading can come to, with the status of HTTP that says so. An error is of the first that it matches.
var kinds = []struct {
	name   string
	status int
	is     error
}{
	{"store_regressed", http.StatusInternalServerError, lease.ErrStoreRegressed},
	{"refused", http.StatusConflict, checkpoint.ErrRefused},
	{"body_missing", http.StatusInternalServerError, checkpoint.ErrBodyMissing},
	{"bad_record", http.StatusInternalServerError, store.ErrBadRecord},
	{"newer_format", http.StatusInternalServerError, store.ErrNewerFormat},
	{"no_table", http.StatusServiceUnavailable, store.ErrNoTable},
	{"no_table", http.StatusServiceUnavailable, archive.ErrNoArchive},
	{"credentials", http.StatusBadGateway, store.ErrCredentials},
	{"usage", http.StatusBadRequest, store.ErrName},
	{"usage", http.StatusBadRequest, errUsage},
	{"not_found", http.StatusNotFound, store.ErrNotFound},
	{"unavailable", http.StatusGatewayTimeout, context.DeadlineExceeded},
	{"unavailable", http.StatusServiceUnavailable, store.ErrUnavailable},
	{"unavailable", http.StatusServiceUnavailable, store.ErrThrottled},
}

// statusError is an error of the page's own, not of the store's.
type statusError struct {
	status int
	kind   string
	error
}

func (e *statusError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errUsage, fmt.Errorf(format, args...))
}

func notFoundf(format string, args ...any) error {
	return &statusError{http.StatusNotFound, "not_found", fmt.Errorf(format, args...)}
}

func kindOf(err error) (kind string, status int) {
	if own, ok := errors.AsType[*statusError](err); ok {
		return own.kind, own.status
	}
	for _, k := range kinds {
		if errors.Is(err, k.is) {
			return k.name, k.status
		}
	}
	return "error", http.StatusInternalServerError
}

// failure is an error as JSON: the kind is the command's.
type failure struct {
	Kind  string `json:"kind"`
	Error string `json:"error"`
}

// fail answers with an error: as JSON under /api/, else as a page.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	kind, status := kindOf(err)
	if status >= http.StatusInternalServerError {
		h.opts.Logger.Error("request failed", "path", r.URL.Path, "kind", kind, "error", err)
	}
	if status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout {
		w.Header().Set("Retry-After", "5")
	}
	if strings.HasPrefix(r.URL.Path, "/api/") {
		body, _ := json.Marshal(failure{kind, strings.ToValidUTF8(err.Error(), "\uFFFD")})
		writeBody(w, status, "application/json", append(body, '\n'))
		return
	}
	if failed := h.render(w, status, "error", errorView{frame: h.frame(http.StatusText(status)), Kind: kind, Status: status, Error: err.Error()}); failed != nil {
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
