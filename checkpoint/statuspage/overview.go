package statuspage

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/survey"
	"github.com/milepost-dev/milepost/store"
)

const rowsPerPage = 50

// overviewView is the data of a page of the list.
type overviewView struct {
	frame
	Query  string
	Is     string // only those of this condition; "": all
	ByName bool
	Tabs   []tab
	Rows   []row
	Total  int // of those that match; not known for a list by name
	First  int // the number of the first row
	Last   int

	Newer, Older string // URLs of the pages before and after; "": there is none
	LookedAt     time.Time
	Keep         time.Duration
	TooMany      bool
	Archive      bool
}

// tab is a condition and the number of checkpoints in it.
type tab struct {
	Name, URL string
	Count     int
	Bad, Here bool
}

// row is one checkpoint.
type row struct {
	*survey.Item
	survey.Movement
	Mirror *survey.Mirroring
}

// Bad reports whether the checkpoint needs attention.
func (r row) Bad() bool { return bad(r.Condition()) }

func bad(c survey.Condition) bool { return c <= survey.Failing }

// Is returns the checkpoint's condition in a word or two.
func (r row) Is() string {
	if r.Overdue() && r.Err == nil {
		return "overdue " + human.Span(r.Age()-r.Expect.Every-r.Expect.Grace)
	}
	return r.Condition().String()
}

// LeaseText returns the lease's status, or how long it still runs.
func (r row) LeaseText() string {
	if r.Held && r.Left > 0 {
		return human.Span(r.Left)
	}
	if l := r.Item.LeaseStatus(); l != "never" {
		return l
	}
	return "–"
}

// HeldBy returns the holder of the lease, alive or dead.
func (r row) HeldBy() string {
	if r.Lease == nil || r.Lease.Status != store.Held {
		return "–"
	}
	return human.Visible(r.Lease.Holder.ID)
}

// ArchiveText returns how far the mirror is behind.
func (r row) ArchiveText() string {
	switch {
	case r.Mirror == nil || !r.Saved():
		return "–"
	case r.Mirror.Gap:
		return "gap"
	case r.Mirror.Lag > 0:
		return human.Span(r.Mirror.Lag) + " behind"
	}
	return "ok"
}

// Link returns the overview's URL with some parameters; empty ones are left out.
func (v *overviewView) Link(parameters ...string) string {
	query := url.Values{}
	for i := 0; i+1 < len(parameters); i += 2 {
		if parameters[i+1] != "" {
			query.Set(parameters[i], parameters[i+1])
		}
	}
	if len(query) == 0 {
		return v.Root
	}
	return v.Root + "?" + query.Encode()
}

func (h *handler) overviewPage(r *request) error {
	v := &overviewView{frame: h.frame("Checkpoints"), Query: r.Form.Get("q"), Is: r.Form.Get("is"), ByName: r.Form.Get("sort") == "name"}
	v.Live = true
	var err error
	if !v.ByName {
		var seen *looked
		seen, err = h.looks.get(r.ctx)
		if err == nil {
			err = h.worstFirst(v, seen, r)
		}
		v.TooMany = tooMany(err)
	}
	if v.ByName || v.TooMany {
		err = h.byName(v, r)
	}
	if err != nil {
		return err
	}
	return h.render(r.w, http.StatusOK, "overview", v)
}

// worstFirst shows a page of the survey: the checkpoints whose names contain the query.
func (h *handler) worstFirst(v *overviewView, seen *looked, r *request) error {
	page, err := r.number("page", 1, 1, maxLook)
	if err != nil {
		return err
	}
	counts := map[survey.Condition]int{}
	all := 0
	skip := int(page-1) * rowsPerPage
	query := strings.ToLower(v.Query)
	for n := range seen.Items {
		i := &seen.Items[n]
		if query != "" && !strings.Contains(strings.ToLower(i.Key.Name), query) {
			continue
		}
		all++
		c := i.Condition()
		counts[c]++
		if v.Is != "" && v.Is != c.String() {
			continue
		}
		if v.Total >= skip && len(v.Rows) < rowsPerPage {
			item := row{Item: i, Movement: seen.Movements[n]}
			if seen.Mirrored != nil {
				item.Mirror, v.Archive = &seen.Mirrored[n], true
			}
			v.Rows = append(v.Rows, item)
		}
		v.Total++
	}
	v.LookedAt, v.Keep = seen.at, seen.keep
	v.Tabs = append(v.Tabs, tab{Name: "all", URL: v.Link("q", v.Query), Count: all, Here: v.Is == ""})
	for c := survey.Unreadable; c <= survey.Quiet; c++ {
		if counts[c] > 0 || v.Is == c.String() {
			v.Tabs = append(v.Tabs, tab{c.String(), v.Link("q", v.Query, "is", c.String()), counts[c], bad(c), v.Is == c.String()})
		}
	}
	if len(v.Rows) > 0 {
		v.First, v.Last = skip+1, skip+len(v.Rows)
	}
	if page > 1 {
		v.Newer = v.Link("q", v.Query, "is", v.Is, "page", pageText(page-1))
	}
	if v.Last > 0 && v.Last < v.Total {
		v.Older = v.Link("q", v.Query, "is", v.Is, "page", pageText(page+1))
	}
	return nil
}

// pageText returns the page's number; "" for the first page.
func pageText(page int64) string {
	if page <= 1 {
		return ""
	}
	return strconv.FormatInt(page, 10)
}

// byName shows a page of the names that begin with the query. It reads no more than that page
// shows.
func (h *handler) byName(v *overviewView, r *request) error {
	after := r.Form.Get("after")
	names, more, err := h.page(r.ctx, v.Query, after, rowsPerPage)
	if err != nil {
		return err
	}
	items, err := survey.LookAt(r.ctx, h.ns.Store, h.ns.Name, names)
	if err != nil {
		return err
	}
	var memory survey.Memory
	moves, err := memory.Recall(r.ctx, h.ns.Store, items)
	if err != nil {
		return err
	}
	for n := range items {
		v.Rows = append(v.Rows, row{Item: &items[n], Movement: moves[n]})
	}
	v.LookedAt = time.Now()
	sort := "name"
	if v.TooMany {
		sort = ""
	}
	if after != "" {
		v.Newer = v.Link("q", v.Query, "sort", sort)
	}
	if more {
		v.Older = v.Link("q", v.Query, "sort", sort, "after", names[len(names)-1])
	}
	return nil
}
