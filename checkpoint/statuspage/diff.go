package statuspage

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/human"
)

// How much of a difference is shown.
const (
	diffContext = 3
	maxLines    = 2000
	maxLine     = 2000 // characters
)

// difference is what changed from one version to another.
type difference struct {
	From, To *checkpoint.Checkpoint
	Hidden   string // why the states are not compared; "": they are compared

	Hunks   []hunk
	Cut     bool // there are more lines
	unified string
}

type hunk struct {
	From, To int // the first line of it
	Lines    []diffLine
}

type diffLine struct {
	Kind string // same, gone, or new
	Text string
}

const hiddenState = "states are shown only by milepost serve --show-state"

// diff compares the versions from and to; by default the newest with the version before it.
func (h *handler) diff(r *request) (*difference, error) {
	to, err := r.number("to", 0, 1, noMore)
	if err != nil {
		return nil, err
	}
	from, err := r.number("from", 0, 1, noMore)
	if err != nil {
		return nil, err
	}
	d := &difference{}
	if d.To, err = h.version(r.ctx, r.name, to); err != nil {
		return nil, err
	}
	if from == 0 {
		if from = d.To.Number - 1; from < max(d.To.Born, 1) {
			return nil, notFoundf("version %d of checkpoint %s is the first: there is no version before it to compare with", d.To.Number, h.key(r.name))
		}
	}
	if d.From, err = h.version(r.ctx, r.name, from); err != nil {
		return nil, err
	}
	if !h.opts.ShowState {
		d.Hidden = hiddenState
		return d, nil
	}
	for _, cp := range []*checkpoint.Checkpoint{d.From, d.To} {
		switch err := h.state(r.ctx, cp); {
		case errors.Is(err, errStateTooLarge):
			d.Hidden = fmt.Sprintf("the state of version %d has %s bytes, and at most %s are compared here; milepost get --state-to FILE writes it",
				cp.Number, human.Thousands(cp.StateSize), human.Thousands(maxState))
			return d, nil
		case err != nil:
			return nil, err
		}
	}
	return d, d.compare()
}

func (d *difference) compare() error {
	before, after := "", ""
	if d.From.State != nil {
		before = stateText(d.From.State)
	}
	if d.To.State != nil {
		after = stateText(d.To.State)
	}
	// ToUnifiedDiff takes a text's last line to end.
	edits := udiff.Lines(before, after)
	all, err := udiff.ToUnifiedDiff(fmt.Sprintf("version %d", d.From.Number), fmt.Sprintf("version %d", d.To.Number), before, edits, diffContext)
	if err != nil {
		return fmt.Errorf("compare the states of versions %d and %d: %w", d.From.Number, d.To.Number, err)
	}
	if len(all.Hunks) > 0 {
		d.unified = all.String()
	}
	lines := 0
	for _, h := range all.Hunks {
		shown := hunk{From: h.FromLine, To: h.ToLine}
		for _, l := range h.Lines {
			if lines++; lines > maxLines {
				d.Cut = true
				break
			}
			kind := map[udiff.OpKind]string{udiff.Delete: "gone", udiff.Insert: "new"}[l.Kind]
			shown.Lines = append(shown.Lines, diffLine{Kind: kind, Text: human.Shorten(strings.TrimSuffix(l.Content, "\n"), maxLine)})
		}
		d.Hunks = append(d.Hunks, shown)
		if d.Cut {
			break
		}
	}
	return nil
}
