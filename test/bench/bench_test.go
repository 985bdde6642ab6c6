// Package bench measures what spans packages: what a save costs beside the same
// write made by hand, what marks cost a loop, and how far opening, saving and
// listing depend on what the table holds. `make bench` runs it and writes
// docs/benchmarks.md.
//
// Whatever is compared is interleaved in one run and given as a ratio of medians,
// so that a busy machine slows both sides alike.
package bench

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

type request func(context.Context) error

// timed is how long r took.
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

// duel is a save, and the same write made by hand.
type duel struct {
	save, byHand request
	other        request // a write like byHand, of something else
}

// roundTrip is the median of some writes.
func (d *duel) roundTrip(b *testing.B) time.Duration {
	var all []time.Duration
	for range 100 {
		all = append(all, timed(b, d.other))
	}
	return median(all)
}

// apart times saves and writes by hand, each three round trips after another
// write that is not timed: so a save has done what it leaves behind it before the
// next request is timed, and both find client and server as warm. Which of a pair
// comes first is drawn, since a fixed order may fall in step with what the server
// does now and then: the same write, at another place in the order, took 4 % longer.
// It takes 3,000 pairs, whatever the time: the medians of 1,000 are off by 1 %, and a
// save is to cost at most 5 % more.
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

// backToBack alternates runs of each. The first of a run has no other before it
// and is left out.
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

// report gives the medians, and how many times by hand a save takes.
func report(b *testing.B, saves, byHand []time.Duration) {
	save, hand := median(saves), median(byHand)
	b.ReportMetric(float64(save.Nanoseconds())/1e3, "save-p50-µs")
	b.ReportMetric(float64(hand.Nanoseconds())/1e3, "by-hand-p50-µs")
	b.ReportMetric(float64(save)/float64(hand), "x-by-hand")
	b.ReportMetric(float64(len(saves)), "saves")
	b.ReportMetric(0, "ns/op") // of waits, mostly
}
