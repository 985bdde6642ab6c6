package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/milepost-dev/milepost/internal/human"
)

// How often progress is written: as a line without a terminal, and as a bar on a terminal.
const (
	lineEvery = 10 * time.Second
	drawEvery = 100 * time.Millisecond
)

// progress shows people how far a batch job is: a bar on a terminal, and elsewhere a line now and
// then.
type progress struct {
	w    io.Writer
	name string
	bar  *progressbar.ProgressBar // nil: lines

	began    time.Time
	told     time.Time
	records  int64   // done before this run
	fraction float64 // of the input, done before this run; below 0: its size is not known
}

const barSteps = 1000

func newProgress(w io.Writer, terminal bool, name string, records int64, fraction float64) *progress {
	now := time.Now()
	p := &progress{w: w, name: name, began: now, told: now, records: records, fraction: fraction}
	if terminal {
		steps := int64(barSteps)
		if fraction < 0 {
			steps = -1
		}
		p.bar = newBar(w, steps)
	}
	return p
}

// onTerminal reports whether standard error is a terminal on which a bar can be drawn.
func (a *app) onTerminal() bool {
	file, ok := a.rawErr.(*os.File)
	return ok && term.IsTerminal(int(file.Fd())) && a.getenv("TERM") != "dumb"
}

// newBar returns a bar of so many steps; -1: not known.
func newBar(w io.Writer, steps int64) *progressbar.ProgressBar {
	return progressbar.NewOptions64(steps,
		progressbar.OptionSetWriter(w), progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false),
		progressbar.OptionFullWidth(), progressbar.OptionClearOnFinish())
}

// update shows that records are done and saved as version.
func (p *progress) update(records int64, fraction float64, version int64) {
	now := time.Now()
	every := lineEvery
	if p.bar != nil {
		every = drawEvery
	}
	if now.Sub(p.told) < every {
		return
	}
	p.told = now
	switch text := p.text(now, records, fraction, version); {
	case p.bar == nil:
		if fraction >= 0 {
			text += fmt.Sprintf("  %.0f %%", 100*fraction)
		}
		_, _ = fmt.Fprintln(p.w, text)
	case fraction >= 0:
		p.bar.Describe(text)
		_ = p.bar.Set(min(int(fraction*barSteps), barSteps-1))
	default:
		p.bar.Describe(text)
		_ = p.bar.Add(1)
	}
}

// finish prints how the job ended.
func (p *progress) finish(records int64, how string, version int64) {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	_, _ = fmt.Fprintf(p.w, "%s  %s records  %s  version %s\n", p.name, human.Thousands(records), how, human.Thousands(version))
}

// text returns a line such as "flights  62,000 records  14,210/s  2 s left  version 62".
func (p *progress) text(now time.Time, records int64, fraction float64, version int64) string {
	s := fmt.Sprintf("%s  %s records", p.name, human.Thousands(records))
	if elapsed := now.Sub(p.began); elapsed > 0 && records > p.records {
		s += fmt.Sprintf("  %s/s", human.Thousands(int64(float64(records-p.records)/elapsed.Seconds())))
		if gained := fraction - p.fraction; fraction >= 0 && gained > 0 {
			s += fmt.Sprintf("  %s left", human.Span(time.Duration(float64(elapsed)*(1-fraction)/gained)))
		}
	}
	return s + fmt.Sprintf("  version %s", human.Thousands(version))
}
