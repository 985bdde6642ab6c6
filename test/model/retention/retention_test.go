package retention

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhatIsToStayStaysInEachState(t *testing.T) {
	for what, c := range map[string]struct {
		Options
		long bool
	}{
		"three versions and a late write":              {Options: Options{Versions: 3, Late: true}},
		"four versions, without a prune":               {Options: Options{Versions: 4, NoPrune: true}},
		"four versions, without a prune, a late write": {Options: Options{Versions: 4, NoPrune: true, Late: true}, long: true},
		"four versions":                                {Options: Options{Versions: 4}, long: true},
	} {
		t.Run(what, func(t *testing.T) {
			if c.long && os.Getenv("MILEPOST_MODEL_ALL") == "" {
				return // make campaign
			}
			t.Parallel()
			found := c.Model().Run()
			t.Log(found)
			assert.Empty(t, found.Broken, "%v", found)
			assert.True(t, found.Whole)
		})
	}
}

func TestEachRuleIsNeeded(t *testing.T) {
	const (
		start     = "the version that the newest session started from expires, or is gone"
		savepoint = "a savepoint expires, or is gone"
		forever   = "nothing keeps a version any more, and it never expires"
	)
	for what, c := range map[string]struct {
		without Rule
		finds   string
	}{
		"an unpin goes by the copy":                      {keptOnTheCopy, start},
		"what changes a copy names it as it was read":    {asItWasRead, start},
		"a start that leaves the list is no longer kept": {keptUntilItLeaves, forever},
		"a prune removes what it has read, in one write": {pruneInOneWrite, savepoint},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			o := Options{Versions: 4, Without: c.without, NoPrune: c.without != pruneInOneWrite}
			found := o.Model().Run()
			t.Log(found)
			require.Equal(t, c.finds, found.Broken, "%v", found)
		})
	}
}
