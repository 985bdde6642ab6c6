package checkpoint_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store/memstore"
)

func TestAMarkAllocatesNothing(t *testing.T) {
	s, err := checkpoint.Open[sum](t.Context(), memstore.New(nil), "orders/eu", &checkpoint.Options{Every: 1 << 40})
	require.NoError(t, err)
	add := func(v *sum) { v.Sum++ }
	assert.Zero(t, testing.AllocsPerRun(10_000, func() { s.Mark("ord-1", add) }))
	require.NoError(t, s.Close(t.Context(), nil))
}

func BenchmarkMark(b *testing.B) {
	s, err := checkpoint.Open[sum](b.Context(), memstore.New(nil), "orders/eu", &checkpoint.Options{Every: 1 << 40})
	require.NoError(b, err)
	add := func(v *sum) { v.Sum++ }
	b.ReportAllocs()
	for b.Loop() {
		s.Mark("ord-1", add)
	}
	require.NoError(b, s.Close(b.Context(), nil))
}
