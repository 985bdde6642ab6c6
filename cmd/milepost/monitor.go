package main

import (
	"context"
	"errors"
	"hash/fnv"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/internal/survey"
)

// monitorFlags are the flags of milepost monitor.
type monitorFlags struct {
	metrics        metricsFlags
	once, ratio    bool
	noGC           bool
	every, gcEvery longDuration
}

func (a *app) monitorCommand() *cobra.Command {
	f := monitorFlags{every: longDuration(time.Minute), gcEvery: longDuration(24 * time.Hour)}
	cmd := &cobra.Command{
		Use:   "monitor [PREFIX]",
		Short: "Publish the state of the checkpoints as metrics: what is overdue, and what is alive",
		Long: `Monitor reads the store and asks no job, so it reports dead jobs as well. It publishes how
many checkpoints are overdue (milepost expect says when). With --metrics-level detail it
publishes for each checkpoint the time since its last save, since its cursor last moved and
since its lease was renewed. docs/metrics.md lists all metrics. After each complete look it
publishes a heartbeat: set an alarm on its absence, too.

Monitor also does what milepost gc does, for each checkpoint once in --gc-every.`,
		Example: `  milepost monitor --once
  milepost monitor --every 1m --metrics prometheus:127.0.0.1:9464
  milepost monitor --metrics cloudwatch --metrics-level detail orders/`,
		Args: atMostOnePrefix,
	}
	f.metrics.add(cmd, "auto")
	flags := cmd.Flags()
	flags.BoolVar(&f.once, "once", false, "look once, and exit")
	flags.Var(&f.every, "every", "how often to look; with --once, how often you call monitor")
	flags.BoolVar(&f.ratio, "ratio", false, "with detail, also publish the age divided by the expected interval")
	flags.BoolVar(&f.noGC, "no-gc", false, "do not do what gc does")
	flags.Var(&f.gcEvery, "gc-every", "how often to do for each checkpoint what gc does")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if time.Duration(f.every) < 100*time.Millisecond || f.gcEvery < f.every {
			return kinds.Usagef("--every %s, --gc-every %s: --every must be at least 100ms, and --gc-every no less than --every", f.every, f.gcEvery)
		}
		t, err := a.newTelemetry(f.metrics, "auto")
		if err != nil {
			return err
		}
		defer t.close()
		return a.with(mustExist, func(ctx context.Context, s *openStore, args []string) error {
			m := &monitor{app: a, store: s, flags: f, prefix: prefixOf(args), telemetry: t}
			return m.run(ctx)
		})(cmd, args)
	}
	return cmd
}

// monitor looks at the checkpoints again and again.
type monitor struct {
	app       *app
	store     *openStore
	flags     monitorFlags
	prefix    string
	telemetry *telemetry
	publisher *survey.Publisher // nil: nothing is published
	memory    survey.Memory
}

func (m *monitor) run(ctx context.Context) error {
	if m.telemetry.on() {
		if err := m.telemetry.start(ctx, m.store.url); err != nil {
			return err
		}
		var err error
		m.publisher, err = survey.NewPublisher(m.telemetry.provider, survey.PublishOptions{
			Options: m.telemetry.options(), Ratio: m.flags.ratio, Times: m.telemetry.way == "prometheus",
		})
		if err != nil {
			return err
		}
	}
	if m.flags.once {
		return m.look(ctx)
	}
	tick := time.NewTicker(time.Duration(m.flags.every))
	defer tick.Stop()
	for {
		if err := m.look(ctx); err != nil && ctx.Err() == nil {
			m.app.logger().Error("the look failed: nothing is published until one succeeds", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// look looks once, publishes, and collects.
func (m *monitor) look(ctx context.Context) error {
	seen, err := m.store.survey(ctx, m.app.namespace, m.prefix, &m.memory)
	if err != nil {
		return err
	}
	if m.app.verbose {
		overdue := 0
		for n := range seen.Items {
			if seen.Items[n].Overdue() {
				overdue++
			}
		}
		m.app.logger().Info("looked", "checkpoints", len(seen.Items), "overdue", overdue)
	}
	if m.publisher != nil {
		m.publisher.Publish(ctx, seen)
		if m.telemetry.way != "prometheus" { // Prometheus asks when it wants
			m.telemetry.flush(ctx)
			m.publisher.Clear()
		}
	}
	if m.flags.noGC {
		return nil
	}
	return m.collect(ctx, seen.Items)
}

// survey looks once at the checkpoints whose names begin with prefix, the worst first.
func (s *openStore) survey(ctx context.Context, namespace, prefix string, memory *survey.Memory) (survey.Seen, error) {
	seen := survey.Seen{Namespace: namespace}
	var err error
	if seen.Items, err = survey.Look(ctx, s, namespace, prefix); err != nil {
		return seen, err
	}
	survey.Worst(seen.Items)
	if seen.Movements, err = memory.Recall(ctx, s, seen.Items); err != nil {
		return seen, err
	}
	if s.archive.Archive != nil && s.archive.url.Mirror != checkpoint.MirrorOff {
		seen.Mirrored, err = survey.Mirrored(ctx, s, s.archive.Archive, seen.Items, s.archive.url.Mirror == checkpoint.MirrorSessions)
	}
	return seen, err
}

// collect does what gc does, for the checkpoints whose turn it is. It spreads the names over the
// looks in one --gc-every. So a monitor that is started for a single look knows whose turn it is
// and needs no memory.
func (m *monitor) collect(ctx context.Context, items []survey.Item) error {
	turns := max(int64(m.flags.gcEvery/m.flags.every), 1)
	turn := time.Now().UnixNano() / int64(m.flags.every) % turns
	var failed error
	for n := range items {
		i := &items[n]
		if i.Err != nil || !i.Deleting() && turnOf(i.Key.Name, turns) != turn {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		_, err := m.store.in(i.Key.Namespace).GC(ctx, i.Key.Name, nil)
		failed = errors.Join(failed, err)
	}
	return failed
}

func turnOf(name string, turns int64) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return int64(h.Sum64()&math.MaxInt64) % turns
}
