package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/milepost-dev/milepost/internal/human"
)

// say writes a line to standard error. Control characters in it are written out as escapes.
func (a *app) say(format string, args ...any) {
	_, _ = fmt.Fprintln(a.stderr, human.Visible(fmt.Sprintf("milepost: "+format, args...)))
}

// printJSON writes one item as one line.
func (a *app) printJSON(item any) error { return writeJSON(a.stdout, item) }

func writeJSON(w io.Writer, item any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(item)
}

// table is rows under a header. Columns whose header ends in ">" are aligned to the right.
type table struct {
	header []string
	rows   [][]string
}

func newTable(header ...string) *table { return &table{header: header} }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) print(w io.Writer) error {
	header := make([]string, len(t.header))
	for i, name := range t.header {
		name, right := strings.CutSuffix(name, ">")
		header[i] = name
		if !right {
			continue
		}
		width := utf8.RuneCountInString(name)
		for _, row := range t.rows {
			width = max(width, utf8.RuneCountInString(row[i]))
		}
		header[i] = flushRight(name, width)
		for _, row := range t.rows {
			row[i] = flushRight(row[i], width)
		}
	}
	tabs := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, t.rows...) {
		line := strings.Join(row, "\t")
		if _, err := fmt.Fprintln(tabs, strings.TrimRight(line, "\t ")); err != nil {
			return err
		}
	}
	return tabs.Flush()
}

func flushRight(s string, width int) string {
	return strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s))) + s
}

// cell makes a text of the user's fit into a cell of a table: one line, not too long, and without
// control characters.
func cell(s string) string { return human.Shorten(human.Line(cmp.Or(s, "–")), 60) }
