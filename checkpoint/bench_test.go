package checkpoint_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store/memstore"
)

func TestAMarkAllocatesNothing(t *testing.T) {
	s, err := checkpoint.Open[sum](t.Context(), in(memstore.New(nil)), name, &checkpoint.Options{Every: 1 << 40})
	require.NoError(t, err)
	one := add(1)
	assert.Zero(t, testing.AllocsPerRun(10_000, func() { s.Mark("ord-1", one) }))
	assert.Zero(t, testing.AllocsPerRun(10_000, func() { s.MarkBatch("ord-1", 10, 1, one) }))
	require.NoError(t, s.Close(t.Context(), nil))
}

// A mark alone, with nothing to be saved.
func BenchmarkMark(b *testing.B) {
	s, err := checkpoint.Open[sum](b.Context(), in(memstore.New(nil)), name, &checkpoint.Options{Every: 1 << 40})
	require.NoError(b, err)
	one := add(1)
	b.ReportAllocs()
	for b.Loop() {
		s.Mark("ord-1", one)
	}
	require.NoError(b, s.Close(b.Context(), nil))
}

// A loop of some 10 µs a record, with marks and saves in the background, against the same loop
// without. The two are interleaved in chunks of 1,000 records, of one save each; the metric is the median of the chunks' ratios.
func BenchmarkLoopWithMarks(b *testing.B) {
	const records = 1_000
	s, err := checkpoint.Open[sum](b.Context(), in(memstore.New(nil)), name, nil)
	require.NoError(b, err)
	cursors := make([]string, records)
	for i := range cursors {
		cursors[i] = fmt.Sprintf("ord-%d", i)
	}
	work := calibrated(10 * time.Microsecond)
	without := func() {
		for range cursors {
			work()
		}
	}
	with := func() {
		for i, cursor := range cursors {
			work()
			s.Mark(cursor, func(v *sum) { v.Sum += int64(i) })
		}
	}
	var ratios []float64
	var marked time.Duration
	for b.Loop() {
		a, c := timed(without), timed(with)
		d, e := timed(with), timed(without) // and the other way round
		ratios = append(ratios, float64(c+d)/float64(a+e))
		marked += c + d
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "with/without")
	b.ReportMetric(float64(marked.Nanoseconds())/float64(2*records*b.N), "ns/record")
	require.NoError(b, s.Close(b.Context(), nil))
}

func timed(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

var sunk uint64

// calibrated returns a piece of work that takes about so long.
func calibrated(d time.Duration) func() {
	spin := func(n int) {
		x := sunk | 1
		for range n {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
		}
		sunk = x
	}
	const probe = 1_000_000
	n := int(probe * d / timed(func() { spin(probe) }))
	return func() { spin(n) }
}

// A save, call to return, with the copy of the version before already written.
func BenchmarkSave(b *testing.B) {
	s, err := checkpoint.Open[sum](b.Context(), in(memstore.New(nil)), name, nil)
	require.NoError(b, err)
	n := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		n++
		if err := s.Save(b.Context(), "ord-1", sum{n}); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, s.Close(b.Context(), nil))
}
