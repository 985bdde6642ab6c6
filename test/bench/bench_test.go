// Package bench measures what spans packages: what a save costs beside the same
// write made by hand, and how far opening, saving and listing depend on what the
// table holds. `make bench` runs it and writes docs/benchmarks.md.
//
// Whatever is compared is interleaved in one run and given as a ratio of medians,
// so that a noisy machine slows both sides alike.
package bench

import (
	"context"
	"slices"
	"testing"
	"time"
)

// timed is how long f took.
func timed(b *testing.B, f func(context.Context) error) time.Duration {
	start := time.Now()
	err := f(b.Context())
	took := time.Since(start)
	if err != nil {
		b.Fatal(err)
	}
	return took
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

func microseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// report gives the medians, and how many times theirs ours is.
func report(b *testing.B, ours, theirs []time.Duration) {
	b.ReportMetric(microseconds(median(ours)), "milepost-p50-µs")
	b.ReportMetric(microseconds(median(theirs)), "by-hand-p50-µs")
	b.ReportMetric(float64(median(ours))/float64(median(theirs)), "times-by-hand")
}
