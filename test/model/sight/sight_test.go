package sight

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNoProcessThatRunsIsTakenForDeadAndNoneThatIsDeadInPlainSightWaits(t *testing.T) {
	for place, m := range (Options{}).Models() {
		found := m.Run()
		assert.Empty(t, found.Broken, "%+v: %v", place, found)
		assert.True(t, found.Whole)
	}
}

func TestEachRuleIsNeeded(t *testing.T) {
	const (
		taken = "the lease of a process that runs is taken"
		waits = "a process is dead in plain sight, and its lease is not taken at once"
	)
	for what, c := range map[string]struct {
		without Rule
		finds   string
	}{
		"only the kernel's no is proof":               {onlyTheKernelsNo, taken},
		"start times compare in one time namespace":   {sameTimeNamespace, taken},
		"a pid means something in its namespace":      {samePIDNamespace, taken},
		"clones of a memory snapshot share a boot id": {notOnClones, taken},
		"a zombie is dead":                            {aZombieIsDead, waits},
		"another start time is another process":       {whoeverHasThePIDNow, waits},
	} {
		t.Run(what, func(t *testing.T) {
			found := map[string]bool{}
			for place, m := range (Options{Without: c.without}).Models() {
				r := m.Run()
				if r.Broken != "" && !found[r.Broken] {
					t.Logf("%+v: %v", place, r)
				}
				found[r.Broken] = true
			}
			assert.True(t, found[c.finds], "no place of the contender shows it")
		})
	}
}
