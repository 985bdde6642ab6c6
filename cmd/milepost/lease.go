package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/internal/survey"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

func (a *app) leaseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "lease", Short: "Show who holds a checkpoint's lease, and end a lease",
		Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			return kinds.Usagef("a command is missing: milepost lease show NAME, or milepost lease break NAME")
		},
	}
	cmd.AddCommand(a.leaseShowCommand(), a.leaseBreakCommand())
	return cmd
}

func (a *app) leaseShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show who holds a checkpoint's lease, since when and until when",
		Example: `  milepost lease show flights
  milepost lease show flights -o json`,
		Args:              exactly("NAME"),
		ValidArgsFunction: a.completeNames,
		RunE: a.named(mustExist, func(ctx context.Context, s *openStore, key store.Key, _ []string) error {
			o, err := lease.Observe(ctx, s, key)
			if err != nil {
				return err
			}
			if o.Lease == nil {
				return fmt.Errorf("the lease of %s was never acquired: %w", key, store.ErrNotFound)
			}
			return a.printLease(key, o)
		}),
	}
}

func (a *app) printLease(key store.Key, o lease.Observation) error {
	shown := survey.ToLeaseJSON(key, o)
	if a.output == "json" {
		return a.printJSON(shown)
	}
	l, now := o.Lease, o.Clock.Time()
	lines := newTable("lease", key.String())
	lines.add("status", shown.Status)
	lines.add("epoch", human.Thousands(l.Epoch))
	who := "held by"
	if l.Status == store.Free {
		who = "last held by"
	}
	lines.add(who, l.Holder.String())
	lines.add("since", since(l.AcquiredAt, now))
	if l.Status == store.Held {
		lines.add("renewed", since(l.RenewedAt, now))
		lines.add("until", until(survey.EndOf(o), now))
	}
	if l.Reason != "" {
		lines.add("reason", cell(l.Reason))
	}
	if l.Wanted != nil {
		lines.add("wanted by", cell(l.Wanted.By))
	}
	return lines.print(a.stdout)
}

func since(t, now time.Time) string { return fmt.Sprintf("%s (%s)", human.Clock(t), human.Ago(t, now)) }

func until(t, now time.Time) string {
	switch left := t.Sub(now); {
	case t.IsZero():
		return "–"
	case left < 0:
		return fmt.Sprintf("%s (%s ago)", human.Clock(t), human.Span(-left))
	default:
		return fmt.Sprintf("%s (in %s, unless it is renewed)", human.Clock(t), human.Span(left))
	}
}

func (a *app) leaseBreakCommand() *cobra.Command {
	var f editFlags
	var now bool
	cmd := &cobra.Command{
		Use:   "break NAME --reason TEXT",
		Short: "End a lease that another run holds, so that a new run can start",
		Long: `Break watches the lease for half its duration, and refuses if the holder renews it in
that time: then the holder is alive. --now skips this. Break fences the holder: it can
save nothing any more. The reason is kept with the lease and the next version.`,
		Example: `  milepost lease break flights --reason "etl-7 hangs, INC-123"
  milepost lease break flights --reason "etl-7 hangs, INC-123" --execute`,
		Args:              exactly("NAME"),
		ValidArgsFunction: a.completeNames,
	}
	cmd.Flags().BoolVar(&now, "now", false, "do not watch for a renewal first")
	f.add(cmd)
	f.addReason(cmd, "the lease and the next version")
	cmd.RunE = a.named(mustExist, func(ctx context.Context, s *openStore, key store.Key, _ []string) error {
		if f.reason == "" {
			return kinds.Usagef("--reason is missing: write why; it is kept with the lease and the next version")
		}
		if _, err := f.options(a, cmd); err != nil {
			return err
		}
		return advised(a.leaseBreak(ctx, s, key, f.ifVersion, &lease.BreakOptions{Reason: f.reason, Now: now, DryRun: !f.execute}),
			"if it hangs:     "+a.call("lease break %s --reason \"…\" --now --execute", key.Name))
	})
	return cmd
}

func (a *app) leaseBreak(ctx context.Context, s *openStore, key store.Key, ifVersion int64, options *lease.BreakOptions) error {
	o, err := lease.Observe(ctx, s, key)
	if err != nil {
		return err
	}
	if err := atVersion(ctx, s, key, ifVersion); err != nil {
		return err
	}
	if o.Lease != nil && o.Lease.Status == store.Held && !options.Now {
		a.say("watching the lease of %s for %s", key, withoutZeros(o.Lease.Duration/2))
	}
	epoch, err := lease.Break(ctx, s, key, options)
	if err != nil {
		return err
	}
	if a.output == "json" {
		return a.printJSON(map[string]any{
			"namespace": key.Namespace, "name": key.Name, "executed": !options.DryRun,
			"epoch": epoch, "holder": survey.ToHolderJSON(o.Lease.Holder), "reason": options.Reason,
		})
	}
	would := "Ended"
	if options.DryRun {
		would = "Would end"
	}
	_, err = fmt.Fprintf(a.stdout, "%s the lease of %s, held by %s since %s:\n  epoch  %s  →  %s\n",
		would, key, o.Lease.Holder, since(o.Lease.AcquiredAt, o.Clock.Time()),
		human.Thousands(o.Lease.Epoch), human.Thousands(epoch))
	if err != nil {
		return err
	}
	return a.unlessExecuted(options.DryRun, nil)
}

// atVersion refuses unless the checkpoint is at the version of --if-version (0: not given). The
// writes that break a lease do not check versions, so a save may come between.
func atVersion(ctx context.Context, s *openStore, key store.Key, want int64) error {
	if want == 0 {
		return nil
	}
	found, err := s.Look(ctx, key)
	if err != nil {
		return err
	}
	var have int64
	if found.Head != nil && found.Head.Exists() {
		have = found.Head.Number
	}
	if have != want {
		return &checkpoint.VersionConflictError{Key: key, Want: want, Have: have}
	}
	return nil
}
