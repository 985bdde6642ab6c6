package retention

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhatIsToStayStaysInEachState(t *testing.T) {
	for what, o := range map[string]Options{
		"four versions":                   {Versions: 4},
		"three versions and a late write": {Versions: 3, Late: true},
		"five versions and a late write":  {Versions: 5, Late: true},
	} {
		t.Run(what, func(t *testing.T) {
			if o.Versions > 4 && os.Getenv("MILEPOST_MODEL_ALL") == "" {
				return // make campaign
			}
			t.Parallel()
			found := o.Model().Run()
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
			found := Options{Versions: 4, Without: c.without}.Model().Run()
			t.Log(found)
			require.Equal(t, c.finds, found.Broken, "%v", found)
		})
	}
}
