package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/internal/records"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// report prints an error to standard error, for a person or as JSON.
func (a *app) report(err error) {
	if errors.Is(err, kinds.ErrBrokenPipe) {
		return // the reader of the answer has enough of it
	}
	if a.output == "json" {
		_ = writeJSON(a.stderr, kinds.ToErrorJSON(err))
		return
	}
	text := err.Error()
	if held, ok := errors.AsType[*lease.HeldError](err); ok && kinds.Of(err).Name == "lease_held" {
		lines := []string{a.heldText(held), a.endLease(held.Key.Name)}
		if more, ok := errors.AsType[*advisedError](err); ok {
			lines = append(lines[:1], more.lines...)
		}
		text = strings.Join(lines, "\n")
	} else if hint := a.hint(err); hint != "" {
		text += "\n" + hint
	}
	a.say("%s", strings.ReplaceAll(text, "\n", "\n          "))
}

// heldText says who holds the lease.
func (a *app) heldText(held *lease.HeldError) string {
	now := held.Now
	if now.IsZero() {
		now = time.Now()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%q is held by %s for %s", held.Key, held.Holder, human.Span(now.Sub(held.Since)))
	if !held.Until.IsZero() {
		fmt.Fprintf(&b, ", until %s", held.Until.UTC().Format("15:04:05Z"))
	}
	renewed := "its lease was renewed " + human.Ago(held.RenewedAt, now)
	if held.Renewed {
		renewed = "it is alive: " + renewed
	}
	b.WriteString("\n" + renewed)
	return b.String()
}

// endLease returns the advice on how to end another run's lease.
func (a *app) endLease(name string) string {
	return "end its lease:   " + a.call("lease break %s --reason \"…\" --execute", name)
}

// advisedError is the error of a held lease, with what to do about it.
type advisedError struct {
	error
	lines []string
}

func (e *advisedError) Unwrap() error { return e.error }

// advised adds lines that say what to do, if err says that another run holds the lease.
func advised(err error, lines ...string) error {
	if !errors.Is(err, lease.ErrHeld) {
		return err
	}
	return &advisedError{err, lines}
}

// hint says what to do next, for an error that does not say so itself.
func (a *app) hint(err error) string {
	switch kinds.Of(err).Name {
	case "lease_lost":
		name := "NAME"
		if lost, ok := errors.AsType[*lease.LostError](err); ok {
			name = lost.Key.Name
		}
		return "another run may hold the lease now; nothing that it saved can be overwritten by this one.\n" +
			"see who:  " + a.call("lease show %s", name)
	case "job_failed":
		return "everything before it is saved: fix the cause and run the same command again"
	case "outcome_unknown":
		return "run the same command again: it finds out whether the save landed"
	case "store_regressed":
		return "was the table restored from a backup? with an archive " + a.call("archive restore NAME") + " continues from what it\n" +
			"holds; without one look at " + a.call("history NAME") + ", then use rollback or reset"
	case "body_missing":
		name := "NAME"
		if body, ok := errors.AsType[*archive.BodyError](err); ok {
			name = body.Key.Name
		}
		return "no older state is used in its place. what else is wrong:  " + a.call("archive verify %s", name) + "\n" +
			"to go back to an older version:  " + a.call("rollback %s --to N", name)
	}
	if other, ok := errors.AsType[*records.OtherInputError](err); ok {
		return other.Hint
	}
	return ""
}

// call returns a command line of milepost for the same store, archive and namespace.
func (a *app) call(format string, args ...any) string {
	line := "milepost " + fmt.Sprintf(format, args...)
	if a.namespace != store.DefaultNamespace {
		line += " --namespace " + a.namespace
	}
	if a.storeText != "" {
		line += " --store '" + a.storeText + "'"
	}
	if a.archiveText != "" {
		line += " --archive '" + a.archiveText + "'"
	}
	return line
}
