package statuspage

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
)

func TestAChartHoldsAValueUntilTheNextSave(t *testing.T) {
	began := time.Date(2026, 11, 28, 2, 0, 0, 0, time.UTC)
	saved := func(cursors ...string) []*checkpoint.Checkpoint {
		var all []*checkpoint.Checkpoint
		for i, c := range cursors {
			all = append(all, &checkpoint.Checkpoint{Version: store.Version{
				Number: int64(i + 1), CommitEpoch: int64(1 + i/2), SavedAt: began.Add(time.Duration(i) * time.Minute),
				Content: store.Content{Cursor: c, Processed: int64(i)},
			}})
		}
		return all
	}
	steady := charts(saved("0", "50", "100"))
	require.Len(t, steady, 2, "no record failed")
	cursor := steady[0]
	assert.Equal(t, "0.0,100.0 500.0,100.0 500.0,50.0 1000.0,50.0 1000.0,0.0", cursor.Points)
	assert.Equal(t, []string{"1000.0"}, cursor.Begun)
	assert.Equal(t, "Cursor over time: from 0 at 2026-11-28T02:00:00Z to 100 at 2026-11-28T02:02:00Z, 3 versions", cursor.Words())
	assert.Equal(t, "Processed", steady[1].Title)

	assert.Equal(t, "0.0,50.0 1000.0,50.0 1000.0,50.0", charts(saved("7", "7"))[0].Points, "the cursor does not move")
	assert.Equal(t, "0.0,0.0 1000.0,0.0 1000.0,100.0", charts(saved("1.7e308", "-1.7e308"))[0].Points, "the greatest possible difference")
	for _, cursors := range [][]string{{"1", "ord-2"}, {"1", ""}, {"1", "NaN"}, {"1", "Inf"}, {"1", "1e999"}} {
		assert.Equal(t, "Processed", charts(saved(cursors...))[0].Title, "%q: the cursors are not numbers", cursors)
	}
	assert.Empty(t, charts(saved("1")), "one version makes no line")

	at := saved("1", "2", "3")
	for _, cp := range at {
		cp.SavedAt = began
	}
	assert.Equal(t, "0.0,100.0 500.0,100.0 500.0,50.0 1000.0,50.0 1000.0,0.0", charts(at)[0].Points, "versions saved at the same time are drawn one after the other")
}
