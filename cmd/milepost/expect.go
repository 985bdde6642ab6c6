package main

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/internal/survey"
	"github.com/milepost-dev/milepost/store"
)

// expectJSON is an expectation as JSON.
type expectJSON struct {
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	EveryMS   *int64     `json:"every_ms"` // null: nothing is expected
	GraceMS   *int64     `json:"grace_ms"`
	SetBy     string     `json:"set_by,omitempty"`
	SetAt     *time.Time `json:"set_at,omitempty"`
}

func (a *app) expectCommand() *cobra.Command {
	var every, grace longDuration
	var none bool
	cmd := &cobra.Command{
		Use:   "expect NAME",
		Short: "Set how often a job is expected to save, so that a silent job is noticed",
		Long: `Expect keeps in the store how often the checkpoint NAME is expected to be saved. You may
set it before the job's first run: then a job that never runs is noticed, too. The
checkpoint is overdue when the time and its grace have passed without a save. Then
milepost monitor counts it, milepost stale lists it, and milepost status puts it first.

A job may declare it by itself: with --expect-every under milepost batch and run, with
expect_every in Python, with checkpoint.Options.Expect in Go. What you set here wins over
what the job declares, unless the job sets Override, until you use --none.

Without flags, expect prints what is expected. Deleting a checkpoint deletes this, too.`,
		Example: `  milepost expect nightly --every 1d --grace 2h
  milepost expect nightly
  milepost expect nightly --none`,
		Args:              exactly("NAME"),
		ValidArgsFunction: a.completeNames,
	}
	cmd.Flags().Var(&every, "every", "the longest time between two saves, such as 15m, 6h, 1d or 1w")
	cmd.Flags().Var(&grace, "grace", "how much later a save may come before the checkpoint is overdue")
	cmd.Flags().BoolVar(&none, "none", false, "no longer expect anything")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		mode := mustExist
		switch {
		case none && (every != 0 || grace != 0):
			return kinds.Usagef("give --none or --every, not both")
		case every != 0:
			mode |= makesStore
		}
		if err := checkExpectation("", every, grace); err != nil {
			return err
		}
		return a.named(mode, func(ctx context.Context, s *openStore, key store.Key, _ []string) error {
			return a.expect(ctx, s, key, time.Duration(every), time.Duration(grace), none)
		})(cmd, args)
	}
	return cmd
}

// checkExpectation checks the flags --every and --grace, or those with a prefix.
func checkExpectation(prefix string, every, grace longDuration) error {
	switch {
	case grace != 0 && every == 0:
		return kinds.Usagef("--%[1]sgrace is added to --%[1]severy: give --%[1]severy, too", prefix)
	case every != 0 && time.Duration(every) < time.Second:
		return kinds.Usagef("--%severy %s: it must be at least one second", prefix, every.String())
	}
	return nil
}

// expectFlags are the flags with which a job that starts declares what is expected of it.
type expectFlags struct {
	every, grace longDuration
}

func (f *expectFlags) add(flags *pflag.FlagSet) {
	flags.Var(&f.every, "expect-every", "the longest time between two saves of this job, such as 15m, 6h, 1d or 1w (see milepost expect)")
	flags.Var(&f.grace, "expect-grace", "how much later a save may come before the checkpoint is overdue")
}

func (f *expectFlags) check() error { return checkExpectation("expect-", f.every, f.grace) }

func (f *expectFlags) expectation() checkpoint.Expectation {
	return checkpoint.Expectation{Every: time.Duration(f.every), Grace: time.Duration(f.grace)}
}

func (a *app) expect(ctx context.Context, s *openStore, key store.Key, every, grace time.Duration, none bool) error {
	for {
		found, err := s.Look(ctx, key)
		if err != nil {
			return fmt.Errorf("read what is expected of %s: %w", key, err)
		}
		e := found.Expect
		switch {
		case none:
			e = nil
		case every != 0 && (e == nil || e.Every != every || e.Grace != grace || checkpoint.DeclaredByJob(e)):
			next := &store.Expectation{Every: every, Grace: grace, SetBy: whoami(), SetAt: found.Clock.Time()}
			if e != nil && e.Every == every && e.Grace == grace { // from now on a person has set it; the time that it counts from stays
				next.SetAt = e.SetAt
			}
			next.SetAt = next.SetAt.UTC().Truncate(time.Millisecond)
			e = next
		}
		if e != found.Expect {
			err := s.Expect(ctx, key, found.Expect, e)
			if _, changed := errors.AsType[*store.ConflictError](err); changed {
				continue // the job or someone else set it in between
			}
			if err != nil {
				return fmt.Errorf("set what is expected of %s: %w", key, err)
			}
		}
		return a.printExpectation(key, e)
	}
}

func (a *app) printExpectation(key store.Key, e *store.Expectation) error {
	if a.output == "json" {
		item := expectJSON{Namespace: key.Namespace, Name: key.Name}
		if e != nil {
			every, grace := e.Every.Milliseconds(), e.Grace.Milliseconds()
			item.EveryMS, item.GraceMS, item.SetBy, item.SetAt = &every, &grace, e.SetBy, survey.TimeJSON(e.SetAt)
		}
		return a.printJSON(item)
	}
	text := fmt.Sprintf("Nothing is expected of %s.", key)
	if e != nil {
		text = fmt.Sprintf("%s is expected to be saved every %s", key, longDuration(e.Every))
		if e.Grace > 0 {
			text += fmt.Sprintf(", and is overdue %s later", longDuration(e.Grace))
		}
		text += fmt.Sprintf(" (set by %s, %s).", cell(e.SetBy), human.Clock(e.SetAt))
	}
	_, err := fmt.Fprintln(a.stdout, text)
	return err
}

func whoami() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return name + "@" + hostname()
}

// longDuration is a flag's duration, which may be given in days and weeks as well.
type longDuration time.Duration

var daysAndRest = regexp.MustCompile(`^(?:(\d{1,5})w)?(?:(\d{1,5})d)?(.*)$`)

// Set implements pflag.Value.
func (d *longDuration) Set(text string) error {
	parts := daysAndRest.FindStringSubmatch(text)
	weeks, _ := strconv.Atoi("0" + parts[1])
	days, _ := strconv.Atoi("0" + parts[2])
	total := time.Duration(7*weeks+days) * 24 * time.Hour
	if rest := parts[3]; rest != "" || total == 0 {
		more, err := time.ParseDuration(rest)
		if err != nil {
			return fmt.Errorf("%q is not a duration such as 90s, 15m, 6h, 1d or 1w", text)
		}
		total += more
	}
	if total < 0 {
		return fmt.Errorf("%q is negative", text)
	}
	*d = longDuration(total)
	return nil
}

// String implements pflag.Value.
func (d longDuration) String() string {
	const day = 24 * time.Hour
	switch rest := time.Duration(d) % day; {
	case d == 0:
		return "0s"
	case rest == 0:
		return fmt.Sprintf("%dd", time.Duration(d)/day)
	case time.Duration(d) > day:
		return fmt.Sprintf("%dd%s", time.Duration(d)/day, withoutZeros(rest))
	}
	return withoutZeros(time.Duration(d))
}

// Type implements pflag.Value.
func (*longDuration) Type() string { return "duration" }

// withoutZeros writes 2h where [time.Duration.String] writes 2h0m0s.
func withoutZeros(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}
