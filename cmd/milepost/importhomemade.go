package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/homemade"
	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/internal/places"
)

// homeMadeJSON is the report on home-made files, as JSON.
type homeMadeJSON struct {
	Source     string           `json:"source"`
	Versions   int              `json:"versions"`
	Unreadable []unreadableJSON `json:"unreadable"`
	Ties       [][]string       `json:"ties"` // in the order that import gives them
	Repeated   []string         `json:"repeated"`
	Skipped    []string         `json:"skipped"`
	Foreign    []string         `json:"foreign"`
	Folders    []string         `json:"folders"`
}

type unreadableJSON struct {
	Object  string `json:"object"`
	Problem string `json:"problem"`
}

// importHomeMade makes the history of one checkpoint from home-made files.
func (a *app) importHomeMade(ctx context.Context, in checkpoint.Namespace, place, name string, skip []string, options *checkpoint.ImportOptions) error {
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
	h, err := homemade.Read(ctx, source, fmt.Sprintf("s3://%s/%s", u.Bucket, u.Prefix), skip, bar.on(name))
	if err != nil {
		return fmt.Errorf("import %s: %w", place, err)
	}
	bar.clear()
	if err := a.printHomeMade(h); err != nil {
		return err
	}
	if err := h.Doubt(); err != nil {
		return err
	}
	bar = a.newWorkBar("import")
	defer bar.clear()
	options.Progress = func(name string, done int64) { bar.update(name, done, int64(len(h.Versions))) }
	done, err := in.ImportVersions(ctx, name, func(yield func(*checkpoint.Checkpoint, error) bool) {
		for _, o := range h.Versions {
			if !yield(o.Checkpoint, nil) {
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

// sayIfStale warns about what the home-made manager saves on an error: the id that the run began
// with.
func (a *app) sayIfStale(h *homemade.History, done *checkpoint.ImportResult) {
	last := h.Versions[len(h.Versions)-1].Checkpoint
	if last.LastError == "" || len(h.Versions) < 2 {
		return
	}
	before := h.Versions[len(h.Versions)-2].Checkpoint
	if before.Cursor == last.Cursor {
		return
	}
	number := done.Present + done.Versions - 1
	a.say("the newest version was saved on an error, at cursor %s; version %d before it was at %s.\n"+
		"          If the job saved the cursor that the run began with, it will repeat records. To go back: %s",
		cell(last.Cursor), number, cell(before.Cursor), a.call("rollback %s --to %d", done.Name, number))
}

// printHomeMade reports what was found. It names every object that is not in order.
func (a *app) printHomeMade(h *homemade.History) error {
	if a.output == "json" {
		return a.printJSON(toHomeMadeJSON(h))
	}
	read := int64(len(h.Versions))
	text := fmt.Sprintf("%s holds %s", h.Place, versionsText(read))
	if read > 0 {
		text += fmt.Sprintf(", from %s to %s", human.Clock(h.Versions[0].Named), human.Clock(h.Versions[read-1].Named))
	}
	if len(h.Folders) > 1 {
		text += fmt.Sprintf(", in %d folders, all taken for the same job's: %s", len(h.Folders), someOf(h.Folders))
	}
	lines := []string{text}
	for _, o := range h.Unreadable {
		lines = append(lines, fmt.Sprintf("unreadable: %s: %v", cell(o.Key), o.Err))
	}
	for _, tie := range h.Ties {
		lines = append(lines, fmt.Sprintf("tie: the order of %s is unknown; they get the order of their names", someOf(homemade.Keys(tie))))
	}
	for _, left := range []struct {
		why  string
		keys []string
	}{
		{"left out, a repetition", homemade.Keys(h.Repeated)},
		{"left out by --skip", h.Skipped},
		{"left out, not named checkpoint_<unix seconds>.json", h.Foreign},
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
		text += fmt.Sprintf(" and %s more", human.Thousands(int64(more)))
	}
	return text
}

func toHomeMadeJSON(h *homemade.History) *homeMadeJSON {
	j := &homeMadeJSON{
		Source: h.Place, Versions: len(h.Versions), Unreadable: []unreadableJSON{}, Ties: [][]string{},
		Repeated: append([]string{}, homemade.Keys(h.Repeated)...), Skipped: append([]string{}, h.Skipped...),
		Foreign: append([]string{}, h.Foreign...), Folders: append([]string{}, h.Folders...),
	}
	for _, o := range h.Unreadable {
		j.Unreadable = append(j.Unreadable, unreadableJSON{o.Key, o.Err.Error()})
	}
	for _, tie := range h.Ties {
		j.Ties = append(j.Ties, homemade.Keys(tie))
	}
	return j
}
