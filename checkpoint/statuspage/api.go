package statuspage

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/internal/survey"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

//go:embed openapi.json
var openAPI []byte

// apiDocument serves the description of the API, with the prefix as its server.
func (h *handler) apiDocument(w http.ResponseWriter, _ *http.Request) {
	prefix, _ := json.Marshal(h.opts.Prefix + "/")
	writeBody(w, http.StatusOK, "application/json", []byte(strings.Replace(string(openAPI), `"url": "/"`, `"url": `+string(prefix), 1)))
}

// number reads a parameter that must be a number from least to most.
func (r *request) number(name string, usual, least, most int64) (int64, error) {
	text := r.Form.Get(name)
	if text == "" {
		return usual, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		return 0, kinds.Usagef("%s=%q: must be a number from %d to %d", name, human.Shorten(text, 40), least, most)
	}
	return n, nil
}

const (
	noMore   = 1<<63 - 1
	pageSize = 100  // the API's default
	maxPage  = 1000 // the most items of cheap answers
)

func (h *handler) apiStatus(r *request) error {
	limit, err := r.number("limit", pageSize, 1, maxPage)
	if err != nil {
		return err
	}
	offset, err := r.number("offset", 0, 0, noMore)
	if err != nil {
		return err
	}
	seen, err := h.looks.get(r.ctx)
	if tooMany(err) {
		return &statusError{http.StatusUnprocessableEntity, checkpoint.ErrRefused, fmt.Errorf("there are %w: list them with /api/v1/checkpoints", errTooMany)}
	}
	if err != nil {
		return err
	}
	prefix := r.Form.Get("prefix")
	all := []survey.StatusJSON{}
	total := int64(0)
	for n := range seen.Items {
		if !strings.HasPrefix(seen.Items[n].Key.Name, prefix) {
			continue
		}
		if total >= offset && total < offset+limit {
			all = append(all, survey.ToStatusJSON(seen.Seen, n))
		}
		total++
	}
	return writeJSON(r.w, map[string]any{"looked_at": survey.TimeJSON(seen.at), "total": total, "checkpoints": all})
}

func (h *handler) apiList(r *request) error {
	limit, err := r.number("limit", pageSize, 1, maxPage)
	if err != nil {
		return err
	}
	names, more, err := h.page(r.ctx, r.Form.Get("prefix"), r.Form.Get("after"), int(limit))
	if err != nil {
		return err
	}
	all := []json.RawMessage{}
	page := h.ns
	page.Store = listed{h.ns.Store, names}
	for l, err := range page.List(r.ctx, "") {
		var item json.RawMessage
		switch {
		case err != nil && l == nil:
			return err
		case err != nil:
			item, err = json.Marshal(map[string]any{"namespace": l.Namespace, "name": l.Name, "version": 0, "error": err.Error()})
		default:
			item, err = survey.ToListingJSON(l, withoutState)
		}
		if err != nil {
			return err
		}
		all = append(all, item)
	}
	answer := map[string]any{"checkpoints": all}
	if more {
		answer["next"] = names[len(names)-1]
	}
	return writeJSON(r.w, answer)
}

// show returns a version's JSON, with its state if states are shown.
func (h *handler) show(r *request, cp *checkpoint.Checkpoint) error {
	if !h.opts.ShowState {
		body, err := withoutState(cp)
		if err != nil {
			return err
		}
		return writeJSON(r.w, body)
	}
	if err := h.state(r.ctx, cp); errors.Is(err, errStateTooLarge) {
		body, err := withoutState(cp)
		if err != nil {
			return err
		}
		return writeJSON(r.w, body)
	} else if err != nil {
		return err
	}
	return writeJSON(r.w, cp)
}

func (h *handler) apiCheckpoint(r *request) error {
	cp, err := h.version(r.ctx, r.name, 0)
	if err != nil {
		return err
	}
	return h.show(r, cp)
}

func (h *handler) apiVersion(r *request) error {
	version, err := r.number("version", 0, 1, noMore)
	if err != nil {
		return err
	}
	cp, err := h.version(r.ctx, r.name, version)
	if err != nil {
		return err
	}
	return h.show(r, cp)
}

// window reads the part of the history that the parameters name.
func (h *handler) window(r *request, usual int64) (window, error) {
	limit, err := r.number("limit", usual, 1, maxVersions)
	if err != nil {
		return window{}, err
	}
	before, err := r.number("before", 0, 1, noMore)
	if err != nil {
		return window{}, err
	}
	return h.history(r.ctx, r.name, before, int(limit))
}

func (h *handler) apiVersions(r *request) error {
	w, err := h.window(r, pageSize)
	if err != nil {
		return err
	}
	all := []json.RawMessage{}
	for _, e := range w.entries {
		var item json.RawMessage
		if e.Err != nil {
			item, err = json.Marshal(map[string]any{"namespace": h.ns.Name, "name": r.name, "version": e.Version, "error": e.Err.Error()})
		} else {
			item, err = withoutState(e.Checkpoint)
		}
		if err != nil {
			return err
		}
		all = append(all, item)
	}
	return writeJSON(r.w, paged(map[string]any{"versions": all}, w))
}

func paged(answer map[string]any, w window) map[string]any {
	if w.next > 0 {
		answer["next"] = w.next
	}
	return answer
}

func (h *handler) apiRuns(r *request) error {
	w, err := h.window(r, maxVersions)
	if err != nil {
		return err
	}
	o, err := lease.Observe(r.ctx, h.ns.Store, h.key(r.name))
	if err != nil {
		return err
	}
	var live int64
	if held, _ := o.Lease.HeldAt(o.Clock); held {
		live = o.Lease.Epoch
	}
	all := []survey.RunJSON{}
	for _, run := range w.runs(live) {
		all = append(all, survey.ToRunJSON(h.key(r.name), run.RunInfo))
	}
	return writeJSON(r.w, paged(map[string]any{"runs": all}, w))
}

func (h *handler) apiLease(r *request) error {
	key := h.key(r.name)
	o, err := lease.Observe(r.ctx, h.ns.Store, key)
	if err != nil {
		return err
	}
	if o.Lease == nil {
		return fmt.Errorf("the lease of %s was never acquired: %w", key, store.ErrNotFound)
	}
	return writeJSON(r.w, survey.ToLeaseJSON(key, o))
}

func (h *handler) apiDiff(r *request) error {
	d, err := h.diff(r)
	if err != nil {
		return err
	}
	answer := map[string]any{"namespace": h.ns.Name, "name": r.name}
	for side, cp := range map[string]*checkpoint.Checkpoint{"from": d.From, "to": d.To} {
		if answer[side], err = withoutState(cp); err != nil {
			return err
		}
	}
	answer["state_diff"] = nil
	if d.Hidden == "" {
		answer["state_diff"] = d.unified
	} else {
		answer["state_hidden"] = d.Hidden
	}
	return writeJSON(r.w, answer)
}
