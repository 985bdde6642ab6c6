package statuspage

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/store"
)

//go:embed templates/*.html
var templates embed.FS

//go:embed assets/*
var assets embed.FS

// pages holds the templates by name, each with the shared parts.
var pages = func() map[string]*template.Template {
	functions := template.FuncMap{
		"visible": human.Visible, "thousands": human.Thousands, "span": human.Span, "clock": human.Clock, "perSecond": human.Rate, "word": word,
		"shorten": func(most int, s string) string { return human.Shorten(s, most) },
		"when":    func(t, now time.Time) moment { return moment{t, now} },
		"who":     func(h store.Holder) string { return human.Visible(who(h)) },

		"thousands64": func(n int) string { return human.Thousands(int64(n)) },
		"before":      func(version int64) int64 { return version - 1 },
		"part":        func(page pager, name, here string) part { return part{Page: page, Name: name, Here: here} },
		"both": func(page pager, name string, from, to int64) part {
			return part{Page: page, Name: name, From: from, To: to}
		},
		"list": func(page pager, name string, entries []entry, label string) part {
			return part{Page: page, Name: name, Entries: entries, Label: label}
		},
	}
	shared := template.Must(template.New("").Funcs(functions).ParseFS(templates, "templates/shared.html"))
	all := map[string]*template.Template{}
	for _, name := range []string{"overview", "checkpoint", "versions", "version", "diff", "login", "goon", "error"} {
		all[name] = template.Must(template.Must(shared.Clone()).ParseFS(templates, "templates/"+name+".html"))
	}
	return all
}()

// pager is a page's view, as the shared parts see it.
type pager interface {
	URL(kind, name string, parameters ...any) string
	Crumbs(name string) []crumb
}

// part is the data that a shared part of a page needs.
type part struct {
	Page     pager
	Name     string
	Here     string // the page below the checkpoint's page; "": the checkpoint's page
	From, To int64
	Entries  []entry
	Label    string
}

// moment is a time and how long ago it is.
type moment struct{ At, now time.Time }

// Known reports whether the time is set.
func (m moment) Known() bool { return !m.At.IsZero() }

// Clock formats the time as a log does.
func (m moment) Clock() string { return human.Clock(m.At) }

// Ago formats how long ago the time is.
func (m moment) Ago() string { return human.Ago(m.At, m.now) }

// assetsVersion changes with the assets, and so does their URL.
var assetsVersion = func() string {
	sum := sha256.New()
	for _, name := range []string{"page.css", "page.js"} {
		content, err := assets.ReadFile("assets/" + name)
		if err != nil {
			panic(err)
		}
		sum.Write(content)
	}
	return hex.EncodeToString(sum.Sum(nil))[:12]
}()

var assetTypes = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

func (h *handler) asset(w http.ResponseWriter, r *http.Request) {
	content, err := assets.ReadFile("assets/" + r.PathValue("file"))
	if err != nil {
		h.fail(w, r, notFoundf("there is no asset %s", r.PathValue("file")))
		return
	}
	if r.URL.Query().Get("v") == assetsVersion {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	writeBody(w, http.StatusOK, assetTypes[path.Ext(r.PathValue("file"))], content)
}

// frame is the data that all pages show.
type frame struct {
	PageTitle string
	Store     string // which store it is
	Namespace string
	Now       time.Time
	Root      string // the URL of the overview
	Assets    string // the version of the assets
	LoggedIn  bool   // there is something to log out of
	ShowState bool
	Live      bool // the page is worth reading again
}

func (h *handler) frame(title string) frame {
	f := frame{
		PageTitle: title, Store: h.opts.Title, Namespace: h.ns.Name, Now: time.Now(), Root: h.opts.Prefix + "/",
		Assets: assetsVersion, LoggedIn: h.opts.Token != "", ShowState: h.opts.ShowState,
	}
	return f
}

// URL returns the URL of a checkpoint's page of a kind: checkpoints, versions, version or diff.
// Parameters come as name and value.
func (f frame) URL(kind, name string, parameters ...any) string {
	segments := strings.Split(name, "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	u := f.Root + kind + "/" + strings.Join(segments, "/")
	query := url.Values{}
	for i := 0; i+1 < len(parameters); i += 2 {
		query.Set(fmt.Sprint(parameters[i]), fmt.Sprint(parameters[i+1]))
	}
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	return u
}

// Command returns a command line for a checkpoint, whose name replaces %s.
func (f frame) Command(format, name string) string {
	line := "milepost " + strings.Replace(format, "%s", word(human.Visible(name)), 1)
	if f.Namespace != store.DefaultNamespace {
		line += " --namespace " + word(f.Namespace)
	}
	return line
}

// render writes a whole page, or nothing.
func (h *handler) render(w http.ResponseWriter, status int, name string, view any) error {
	var b bytes.Buffer
	if err := pages[name].ExecuteTemplate(&b, "page", view); err != nil {
		return fmt.Errorf("write the page %s: %w", name, err)
	}
	writeBody(w, status, "text/html; charset=utf-8", bytes.ToValidUTF8(b.Bytes(), []byte("\uFFFD")))
	return nil
}

// crumb is a step of a name's path, with a search for all names below it.
type crumb struct{ Text, URL string }

// Crumbs returns the steps above a name.
func (f frame) Crumbs(name string) []crumb {
	var all []crumb
	for i := range len(name) {
		if name[i] == '/' {
			prefix := name[:i+1]
			all = append(all, crumb{human.Visible(prefix[strings.LastIndex(name[:i], "/")+1:]), f.Root + "?" + url.Values{"q": {prefix}}.Encode()})
		}
	}
	return all
}

// historyView is a part of a history, with links to the parts before and after it.
type historyView struct {
	frame
	Name    string
	Entries []entry
	Older   string // URL; "": there are none
	Newest  string // URL; "": this is the newest part
	Before  int64
}

func (h *handler) versionsPage(r *request) error {
	w, err := h.window(r, pageSize)
	if err != nil {
		return err
	}
	v := historyView{frame: h.frame(r.name + ": versions"), Name: r.name, Entries: w.entries}
	if w.next > 0 {
		v.Older = v.URL("versions", r.name, "before", w.next)
	}
	if r.Form.Get("before") != "" {
		v.Newest = v.URL("versions", r.name)
	}
	return h.render(r.w, http.StatusOK, "versions", v)
}

// versionView is one version.
type versionView struct {
	frame
	Name   string
	CP     entry
	Hidden string // why the state is not shown; "": it is shown
	State  string
	Cut    bool
	Newer  bool // there may be a newer version
}

// maxShown is the most characters of a state that a page has.
const maxShown = 512 << 10

func (h *handler) versionPage(r *request) error {
	version, err := r.number("version", 0, 1, noMore)
	if err != nil {
		return err
	}
	cp, err := h.version(r.ctx, r.name, version)
	if err != nil {
		return err
	}
	v := versionView{
		frame: h.frame(fmt.Sprintf("%s: version %d", r.name, cp.Number)), Name: r.name,
		CP: entry{Version: cp.Number, Checkpoint: cp}, Newer: version != 0,
	}
	size := max(cp.StateSize, int64(len(cp.State)))
	switch {
	case size == 0 && cp.State == nil:
		v.Hidden = "none was saved"
	case !h.opts.ShowState:
		v.Hidden = hiddenState
	default:
		switch err := h.state(r.ctx, cp); {
		case errors.Is(err, errStateTooLarge):
			v.Hidden = fmt.Sprintf("it has %s bytes, and at most %s are shown here", human.Thousands(size), human.Thousands(maxState))
		case err != nil:
			return err
		default:
			if v.State = stateText(cp.State); len(v.State) > maxShown {
				v.State, v.Cut = store.CutText(v.State, maxShown), true
			}
		}
	}
	return h.render(r.w, http.StatusOK, "version", v)
}

// diffView is the data of a page of changes.
type diffView struct {
	frame
	Name string
	*difference
	Fields []change
}

// change is a field that both versions have.
type change struct {
	Name, From, To string
	Numeric        bool
}

// Changed reports whether it differs.
func (c change) Changed() bool { return c.From != c.To }

func (h *handler) diffPage(r *request) error {
	d, err := h.diff(r)
	if err != nil {
		return err
	}
	v := diffView{frame: h.frame(fmt.Sprintf("%s: version %d to %d", r.name, d.From.Number, d.To.Number)), Name: r.name, difference: d}
	field := func(numeric bool, name, from, to string) {
		if from != "" || to != "" {
			v.Fields = append(v.Fields, change{name, cmp.Or(human.Visible(from), "–"), cmp.Or(human.Visible(to), "–"), numeric})
		}
	}
	a, b := d.From, d.To
	field(true, "Cursor", a.Cursor, b.Cursor)
	field(true, "Processed", human.Thousands(a.Processed), human.Thousands(b.Processed))
	field(true, "Failed", human.Thousands(a.Failed), human.Thousands(b.Failed))
	field(false, "Saved", human.Clock(a.SavedAt), human.Clock(b.SavedAt))
	field(false, "By", who(a.By), who(b.By))
	field(true, "Epoch", human.Thousands(a.CommitEpoch), human.Thousands(b.CommitEpoch))
	field(false, "Last error", a.LastError, b.LastError)
	field(false, "Ended", string(a.Ended), string(b.Ended))
	field(false, "Reason", a.Reason, b.Reason)
	field(false, "Identity", a.Identity, b.Identity)
	if a.Schema != 0 || b.Schema != 0 {
		field(true, "Schema", human.Thousands(a.Schema), human.Thousands(b.Schema))
	}
	if len(a.Finished)+len(b.Finished) > 0 {
		field(true, "Finished ranges", human.Thousands(int64(len(a.Finished))), human.Thousands(int64(len(b.Finished))))
	}
	field(false, "State's type", a.ContentType, b.ContentType)
	field(true, "State's bytes", human.Thousands(a.StateSize), human.Thousands(b.StateSize))
	return h.render(r.w, http.StatusOK, "diff", v)
}

// Note returns what is special about the version.
func (e entry) Note() string { return human.Visible(human.Note(e.Checkpoint)) }
