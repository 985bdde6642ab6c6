package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/internal/places"
)

// homeMadeJSON is the report on files made at home, as JSON.
type homeMadeJSON struct {
	Source     string           `json:"source"`
	Versions   int              `json:"versions"`
	Unreadable []unreadableJSON `json:"unreadable"`
	Ties       [][]string       `json:"ties"` // in the order that they are given
	Repeated   []string         `json:"repeated"`
	Skipped    []string         `json:"skipped"`
	Foreign    []string         `json:"foreign"`
	Folders    []string         `json:"folders"`
}

type unreadableJSON struct {
	Object  string `json:"object"`
	Problem string `json:"problem"`
}

// importHomeMade makes the history of one checkpoint from files made at home.
func (a *app) importHomeMade(ctx context.Context, s *openStore, place, name string, skip []string, options *checkpoint.ImportOptions) error {
	u, err := places.ParseArchive(place)
	if err != nil {
		return kinds.Usage(err)
	}
	if u.Bucket == "" {
		return kinds.Usagef("%s: write s3://BUCKET/PREFIX", place)
	}
	source, err := openBucket(ctx, u)
	if err != nil {
		return err
	}
	defer source.close()
	bar := a.newWorkBar("read")
	defer bar.clear()
	h, err := readHomeMade(ctx, source, fmt.Sprintf("s3://%s/%s", u.Bucket, u.Prefix), skip, bar.on(name))
	if err != nil {
		return fmt.Errorf("import %s: %w", place, err)
	}
	bar.clear()
	if err := a.printHomeMade(h); err != nil {
		return err
	}
	if err := h.doubt(); err != nil {
		return err
	}
	bar = a.newWorkBar("import")
	defer bar.clear()
	options.Progress = func(name string, done int64) { bar.update(name, done, int64(len(h.versions))) }
	done, err := checkpoint.ImportVersions(ctx, s, name, func(yield func(*checkpoint.Checkpoint, error) bool) {
		for _, o := range h.versions {
			if !yield(o.cp, nil) {
				return
			}
		}
	}, options)
	if err != nil {
		return err
	}
	bar.clear()
	if err := a.printImported(done, options.DryRun); err != nil {
		return err
	}
	a.sayIfStale(h, done)
	a.sayIfPlan(options.DryRun)
	return nil
}

// sayIfStale warns of what the home-made manager saves on an error: the id that the run began with.
func (a *app) sayIfStale(h *homeMadeHistory, done *checkpoint.Imported) {
	last := h.versions[len(h.versions)-1].cp
	if last.LastError == "" || len(h.versions) < 2 {
		return
	}
	before := h.versions[len(h.versions)-2].cp
	if before.Cursor == last.Cursor {
		return
	}
	number := done.Present + done.Versions - 1
	a.say("the newest was saved on an error, at cursor %s; the one before it, version %d, was at %s.\n"+
		"          If the job saved where that run had begun, it repeats what lies between; %s leads back there",
		cell(last.Cursor), number, cell(before.Cursor), a.call("rollback %s --to %d", done.Name, number))
}

// printHomeMade reports what was found, all that is not as it should be by name.
func (a *app) printHomeMade(h *homeMadeHistory) error {
	if a.output == "json" {
		return a.printJSON(h.json())
	}
	read := int64(len(h.versions))
	text := fmt.Sprintf("%s holds %s", h.place, versionsText(read))
	if read > 0 {
		text += fmt.Sprintf(", from %s to %s", clock(h.versions[0].named), clock(h.versions[read-1].named))
	}
	if len(h.folders) > 1 {
		text += fmt.Sprintf(", in %d folders, which are taken for those of one job: %s", len(h.folders), someOf(h.folders))
	}
	lines := []string{text}
	for _, o := range h.unreadable {
		lines = append(lines, fmt.Sprintf("unreadable: %s: %v", cell(o.key), o.err))
	}
	for _, tie := range h.ties {
		lines = append(lines, fmt.Sprintf("tie: nothing tells the order of %s; they are given that of their names", someOf(keysOf(tie))))
	}
	for _, left := range []struct {
		why  string
		keys []string
	}{
		{"the same again, and left out", keysOf(h.repeated)},
		{"left out, as --skip says", h.skipped},
		{"no checkpoint_<unix seconds>.json, and left alone", h.foreign},
	} {
		if len(left.keys) > 0 {
			lines = append(lines, fmt.Sprintf("%s: %s", left.why, someOf(left.keys)))
		}
	}
	_, err := fmt.Fprintln(a.stdout, strings.Join(lines, "\n"))
	return err
}

// someOf names the first few.
func someOf(keys []string) string {
	const most = 5
	var shown []string
	for _, key := range keys[:min(most, len(keys))] {
		shown = append(shown, cell(key))
	}
	text := strings.Join(shown, ", ")
	if more := len(keys) - most; more > 0 {
		text += fmt.Sprintf(" and %s more", thousands(int64(more)))
	}
	return text
}

func (h *homeMadeHistory) json() *homeMadeJSON {
	j := &homeMadeJSON{
		Source: h.place, Versions: len(h.versions), Unreadable: []unreadableJSON{}, Ties: [][]string{},
		Repeated: append([]string{}, keysOf(h.repeated)...), Skipped: append([]string{}, h.skipped...),
		Foreign: append([]string{}, h.foreign...), Folders: append([]string{}, h.folders...),
	}
	for _, o := range h.unreadable {
		j.Unreadable = append(j.Unreadable, unreadableJSON{o.key, o.err.Error()})
	}
	for _, tie := range h.ties {
		j.Ties = append(j.Ties, keysOf(tie))
	}
	return j
}
