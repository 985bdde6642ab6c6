package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/milepost-dev/milepost/internal/human"
)

// workBar shows people how far a long command is. On a terminal it is a bar. Elsewhere it prints a
// line now and then, so that a command that ends soon prints nothing.
type workBar struct {
	w    io.Writer
	verb string
	bar  *progressbar.ProgressBar // nil: lines

	mu   sync.Mutex
	told time.Time
}

// newWorkBar returns a bar for what the command does, such as "verify".
func (a *app) newWorkBar(verb string) *workBar {
	p := &workBar{w: a.stderr, verb: verb, told: time.Now()}
	if a.onTerminal() {
		p.bar = newBar(a.stderr, barSteps)
	}
	return p
}

// on returns the callback for one thing that is worked on.
func (p *workBar) on(what string) func(done, total int64) {
	return func(done, total int64) { p.update(what, done, total) }
}

// update shows how much is done. A total of 0 means that it is not known.
func (p *workBar) update(what string, done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	every := lineEvery
	if p.bar != nil {
		every = drawEvery
	}
	if now.Sub(p.told) < every {
		return
	}
	p.told = now
	text := fmt.Sprintf("%s %s  %s", p.verb, cell(what), human.Thousands(done))
	if total > 0 {
		text += " / " + human.Thousands(total)
	}
	if p.bar == nil {
		_, _ = fmt.Fprintln(p.w, text)
		return
	}
	p.bar.Describe(text)
	if total > 0 {
		_ = p.bar.Set(min(int(done*barSteps/total), barSteps-1))
	} else {
		_ = p.bar.Set(0)
	}
}

// clear removes the bar. Call it before printing anything else, and at the end.
func (p *workBar) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}
