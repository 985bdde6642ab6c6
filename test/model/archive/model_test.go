package archive

import (
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Small configurations: each is clean, and breaks without the guard.
var guards = []struct {
	name   string
	guard  Guard
	config Config
}{
	{"version", Version, Config{Cast: []Role{Job(0), Job(0)}, PutBack: true, Whole: true}},
	{"version, of several announced at once", Version, Config{Cast: []Role{Job(0), Job(0)}, PutBack: true, Versions: 3, Bodies: 1, Whole: true}},
	{"claim", Claim, Config{Cast: []Role{Job(0), Job(1)}, Two: true}},
	{"announce first", AnnounceFirst, Config{Cast: []Role{Job(0), Job(0)}, PutBack: true, Whole: true}},
	{"home", Home, Config{Cast: []Role{Job(0), Job(1), GC(1)}, Copy: true, Whole: true}},
	{"sweep of the session's own", OwnSweep, Config{Cast: []Role{Job(0), Job(0)}, PutBack: true, Dark: true}},
	{"If-Match", IfMatch, Config{Cast: []Role{Job(0), Restore(1)}}},
	{"gc's fence", GCFence, Config{Cast: []Role{Job(0), Job(0), GC(0)}, PutBack: true, Dark: true, Whole: true, Bodies: 1}},
	{"gc judges as an open does", GCJudges, Config{Cast: []Role{Job(0), Job(0), GC(0)}, PutBack: true, Dark: true, Whole: true, Versions: 3, Bodies: 1}},
	{"HEAD after a 412", HeadAfter412, Config{Cast: []Role{Job(0), Job(0), GC(0)}, PutBack: true, Dark: true, Whole: true, Bodies: 1}},
	{"re-plan", Replan, Config{Cast: []Role{Job(0), Job(1), Restore(1)}, Copy: true, Whole: true}},
	{"look after", LookAfter, Config{Cast: []Role{Job(0), Purge(0)}}},
	{"own fence", OwnFence, Config{Cast: []Role{Job(0), Job(0), Job(0)}, Lose: true, Bodies: 1}},
	{"gc reads once more", GCReads, Config{Cast: []Role{Job(0), GC(0)}, Versions: 3, Expire: 2, Whole: true}},
	{"judge again", JudgeAgain, Config{Cast: []Role{Job(0), Job(0)}, PutBack: true, Whole: true}},
	{"keep the body of an unknown takeover", KeepUnknown, Config{Cast: []Role{Job(0), Restore(1)}, Lost: true}},
}

func TestEachGuardIsNeeded(t *testing.T) {
	for _, test := range guards {
		if raced && test.config.Bodies > 0 {
			continue // a search has one goroutine, and these would take minutes
		}
		t.Run(test.name, func(t *testing.T) {
			c := test.config
			c.AtOnce = 2
			if c.Versions == 0 {
				c.Versions = 2
			}
			with := Search(c)
			assert.True(t, with.Broken == "" && with.Exhausted, "with the guard: %v", with)
			t.Log(with)
			c.Without = test.guard
			without := Search(c)
			assert.NotEmpty(t, without.Broken, "without the guard: %v", without)
			t.Log(without)
		})
	}
}

// What may happen together. Each is searched with few sessions here, and with more by
// MILEPOST_MODEL_SESSIONS (make campaign).
var worlds = []struct {
	name   string
	config Config
}{
	{"the archive out of reach at times, and gc", Config{Dark: true, GC: true}},
	{"two stores with one name, and gc", Config{Two: true, GC: true}},
	{"a copied store, both alive, and gc", Config{Copy: true, GC: true}},
	{"a store made from a backup, both alive, and gc", Config{CopyOld: true, GC: true}},
	{"a store put back, the archive out of reach at times, and gc", Config{PutBack: true, Dark: true, GC: true}},
	{"a restore into another store, the old one alive, and gc", Config{Restore: true, GC: true}},
	{"a lost store restored", Config{Lose: true, Restore: true}},
	{"a copied store restored", Config{Copy: true, Restore: true}},
	{"a store put back and restored, the archive out of reach at times", Config{PutBack: true, Dark: true, Restore: true}},
	{"a purge, and the archive out of reach at times", Config{Purge: true, Dark: true}},
	{"a purge and gc", Config{Purge: true, GC: true}},
	{"copies that expire, and gc", Config{Expire: 2, GC: true, Dark: true, Versions: 3}},
	{"copies that expire, and a store put back", Config{Expire: 1, PutBack: true, Versions: 3}},
	{"copies that expire, and a purge", Config{Expire: 1, Purge: true, GC: true}},
	{"a lost reply, and gc", Config{Lost: true, GC: true, Dark: true}},
	{"a lost reply, and two stores with one name", Config{Lost: true, Two: true}},
	{"a lost reply, and a store put back", Config{Lost: true, PutBack: true, GC: true}},
	{"a lost reply, and a restore", Config{Lost: true, Restore: true}},
	{"a lost reply, and a purge", Config{Lost: true, Purge: true, GC: true}},
	{"several announced at once", Config{PutBack: true, GC: true, Versions: 3}},
}

func TestTheRuleHolds(t *testing.T) {
	sessions, most := 2, 30_000
	if n, err := strconv.Atoi(os.Getenv("MILEPOST_MODEL_SESSIONS")); err == nil {
		sessions, most = n, 20_000_000
	}
	for _, test := range worlds {
		t.Run(test.name, func(t *testing.T) {
			c := test.config
			c.Sessions, c.AtOnce, c.Most = sessions, 2, most
			if c.Versions == 0 {
				c.Versions = 2
			}
			found := Search(c)
			assert.Empty(t, found.Broken, "%v", found)
			t.Log(found)
		})
	}
}
