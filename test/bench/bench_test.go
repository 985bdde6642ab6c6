// Package bench measures what spans packages: a save compared with the same write made by hand, the
// cost of marks in a loop, and how opening, saving and listing depend on the table's content. `make
// bench` runs it and writes docs/benchmarks.md.
//
// The two sides of a comparison are interleaved in one run and reported as a ratio of medians, so
// that a busy machine slows both alike.
package bench

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

type request func(context.Context) error

// timed returns how long r took.
func timed(b *testing.B, r request) time.Duration {
	start := time.Now()
	err := r(b.Context())
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

// duel compares a save with the same write made by hand.
type duel struct {
	save, byHand request
	other        request // a write like byHand, to another item
}

// roundTrip returns the median time of some writes.
func (d *duel) roundTrip(b *testing.B) time.Duration {
	var all []time.Duration
	for range 100 {
		all = append(all, timed(b, d.other))
	}
	return median(all)
}

// apart times saves and writes by hand, each three round trips after an untimed write. So a save
// has finished its background work before the next request is timed, and both find client and
// server equally warm. The order in a pair is random, since a fixed order may fall in step with
// periodic work of the server: the same write, at another place in the order, took 4 % longer. It
// always takes 3,000 pairs: the medians of 1,000 are off by 1 %, and a save may cost at most 5 %
// more.
func (d *duel) apart(b *testing.B) {
	wait := 3 * d.roundTrip(b)
	next := func(r request) time.Duration {
		time.Sleep(wait)
		timed(b, d.other)
		time.Sleep(wait)
		return timed(b, r)
	}
	var saves, byHand []time.Duration
	for b.Loop() {
		for range 3000 {
			if rand.IntN(2) == 0 {
				saves = append(saves, next(d.save))
				byHand = append(byHand, next(d.byHand))
			} else {
				byHand = append(byHand, next(d.byHand))
				saves = append(saves, next(d.save))
			}
		}
	}
	report(b, saves, byHand)
}

// backToBack alternates runs of saves and of writes by hand. The first request of a run is left
// out, since none precedes it.
func (d *duel) backToBack(b *testing.B) {
	wait := 3 * d.roundTrip(b)
	run := func(all []time.Duration, r request) []time.Duration {
		time.Sleep(wait)
		timed(b, r)
		for range 20 {
			all = append(all, timed(b, r))
		}
		return all
	}
	var saves, byHand []time.Duration
	for b.Loop() {
		saves = run(saves, d.save)
		byHand = run(byHand, d.byHand)
	}
	report(b, saves, byHand)
}

// report reports the medians, and the ratio of a save to a write by hand.
func report(b *testing.B, saves, byHand []time.Duration) {
	save, hand := median(saves), median(byHand)
	b.ReportMetric(float64(save.Nanoseconds())/1e3, "save-p50-µs")
	b.ReportMetric(float64(hand.Nanoseconds())/1e3, "by-hand-p50-µs")
	b.ReportMetric(float64(save)/float64(hand), "x-by-hand")
	b.ReportMetric(float64(len(saves)), "saves")
	b.ReportMetric(0, "ns/op") // it is mostly waiting
}
