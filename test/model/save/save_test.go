package save

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Two runs, of one session of two commits each, with one late request: some 100,000 states.
func two() Options { return Options{Runs: 2, Sessions: 1, Commits: 2, Versions: 3, Late: 1} }

func with(o Options, change func(*Options)) Options {
	change(&o)
	return o
}

func without(o Options, r Rule) Options {
	o.Without = r
	return o
}

func lossOfTheTable(o *Options) {
	o.Late, o.NoTimeouts, o.Mirror, o.Loss = 2, true, true, true
}

// all searches the configurations that take minutes, too.
var all = os.Getenv("MILEPOST_MODEL_ALL") != ""

func TestTheProtocolHoldsInEachState(t *testing.T) {
	for what, c := range map[string]struct {
		Options
		long bool
	}{
		"two runs":                           {Options: two()},
		"one commit each, two late requests": {Options: with(two(), func(o *Options) { o.Commits, o.Late = 1, 2 })},
		"a torn look":                        {Options: with(two(), func(o *Options) { o.Commits, o.TornLook = 1, true })},
		"LEASE is removed":                   {Options: with(two(), func(o *Options) { o.Commits, o.LeaseRemoved = 1, true })},
		"HEAD is removed":                    {Options: with(two(), func(o *Options) { o.Commits, o.HeadRemoved, o.TornLook = 1, true, true })},
		"a delete":                           {Options: with(two(), func(o *Options) { o.Commits, o.Versions, o.Delete = 1, 4, byCommit })},
		"the table is lost and restored":     {Options: with(two(), lossOfTheTable)},

		"two late requests":           {Options: with(two(), func(o *Options) { o.Late = 2 }), long: true},
		"two commits and a torn look": {Options: with(two(), func(o *Options) { o.TornLook = true }), long: true},
		"LEASE is removed, two late":  {Options: with(two(), func(o *Options) { o.Late, o.LeaseRemoved = 2, true }), long: true},
		"three runs":                  {Options: Options{Runs: 3, Sessions: 1, Commits: 1, Versions: 3, Late: 1}, long: true},
		"three runs, one deletes":     {Options: Options{Runs: 3, Sessions: 1, Commits: 1, Versions: 4, Late: 1, Delete: byCommit}, long: true},
		"two sessions each":           {Options: Options{Runs: 2, Sessions: 2, Commits: 1, Versions: 3, Late: 1}, long: true},
	} {
		t.Run(what, func(t *testing.T) {
			if c.long && !all {
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
	for what, c := range map[string]struct {
		Options
		finds Fault
		long  bool
	}{
		"a copy is only ever created":                  {Options: without(two(), conditionOfACopy), finds: keptLost},
		"the first commit makes sure of its base":      {Options: without(two(), keepingTheBase), finds: hole},
		"a higher epoch alone proves nothing":          {Options: without(two(), settlingByTheCommit), finds: failedLanded},
		"the raise's reply is the load":                {Options: without(two(), loadingBehindTheFence), finds: openedOlder},
		"a throttle after a lost reply proves nothing": {Options: without(two(), stickyAmbiguity), finds: failedLanded},
		"a commit waits for the copy before":           {Options: without(two(), waitingForTheCopy), finds: hole},
		"the fence has the lease id": {
			Options: without(with(two(), func(o *Options) { o.Commits, o.LeaseRemoved = 1, true }), leaseIDInFence), finds: twoHolders,
		},
		"one look proves no regression": {
			Options: without(with(two(), func(o *Options) { o.TornLook = true }), anotherLook), finds: falseAlarm,
		},
		"a HEAD below LEASE's version is a regression": {
			Options: without(with(two(), func(o *Options) { o.HeadRemoved = true }), versionInLease), finds: openedOlder,
		},
		"a delete takes the lease": {
			Options: with(Options{Runs: 3, Sessions: 1, Commits: 1, Versions: 3, Late: 1}, func(o *Options) { o.Delete = withoutLease }),
			finds:   failedLanded,
		},
		"a delete keeps the number of versions": {
			Options: with(Options{Runs: 2, Sessions: 2, Commits: 1, Versions: 3, Late: 1}, func(o *Options) { o.Delete = keepingOnlyTheEpoch }),
			finds:   falseAlarm, long: true,
		},
		"an open that finds nothing asks the archive": {
			Options: without(with(two(), lossOfTheTable), askingTheArchive), finds: openedOlder,
		},
		"a copy replaces a dead line's": {
			Options: without(with(two(), lossOfTheTable), replacingADeadLine), finds: wedged,
		},
		"the key of a mirrored object has the epoch": {
			Options: without(with(two(), lossOfTheTable), epochInTheMirror), finds: mirrorWrong,
		},
	} {
		t.Run(what, func(t *testing.T) {
			if c.long && !all {
				return // make campaign
			}
			t.Parallel()
			found := c.Model().Run()
			t.Log(found)
			require.Equal(t, faults[c.finds], found.Broken, "%v", found)
		})
	}
}
