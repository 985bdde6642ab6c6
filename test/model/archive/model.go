// Package archive is a model of one checkpoint's archive and of the stores that use it: whose the
// archive is, what a store that went back may do, and what gc, a purge and a restore may remove. It
// searches every interleaving of a few sessions. README.md says what is modelled, which function of
// the product does each step, and what was found.
//
// The protocol between HEAD and LEASE is one atomic step here, because it has its own rules and
// tests. Every request to the archive is a step of its own. Between two steps a session may stand
// still for as long as it likes, or die.
package archive

// The model is small, so that it can be searched whole. No configuration may pass these.
const (
	mostVersions = 4
	mostSessions = 4
)

// A commit has the number of its session and of its version. 0 is none.
type commit uint8

func commitOf(session, version uint8) commit {
	return commit((session-1)*mostVersions + version)
}

// session is 0 for no commit, and so is version.
func (c commit) session() uint8 { return (uint8(c) + mostVersions - 1) / mostVersions }

func (c commit) version() uint8 {
	if c == 0 {
		return 0
	}
	return uint8(c-1)%mostVersions + 1
}

// commits is a set of commits.
type commits uint32

func (s commits) has(c commit) bool { return c != 0 && s&(1<<c) != 0 }
func (s *commits) add(c commit)     { *s |= 1 << c }
func (s *commits) drop(c commit)    { *s &^= 1 << c }

const lastCommit = commit(mostSessions * mostVersions)

// records are what one table or file has of the checkpoint: HEAD with its fence, and the copies.
type records struct {
	exists bool
	head   uint8                    // HEAD's version; 0: none
	epoch  uint8                    // of the fence
	lease  uint8                    // the session that raised the fence
	line   uint8                    // the session that made HEAD or restored it; 0: none
	start  uint8                    // the version that the last session with a commit started from
	copies [mostVersions + 1]commit // by version, HEAD's among them; 0: expired

	// HEAD's archived_through: the newest version that HEAD says is announced, and its commit.
	through       uint8
	throughCommit commit
}

func (r *records) newest() commit { return r.copies[r.head] }

// holds reports whether HEAD or a copy is of that commit.
func (r *records) holds(c commit) bool {
	return c != 0 && c.version() <= r.head && r.copies[c.version()] == c
}

// latest is latest.json: who claims the checkpoint's archive, and what is announced.
type latest struct {
	exists    bool
	line      uint8
	epoch     uint8 // of the claim
	lease     uint8 // the session of the claim
	home      uint8 // the store of the claim
	announced commit
	purged    uint8 // all versions up to here were removed on purpose
	gc        uint8 // raised by each gc that has something to remove
}

// A kind says what a session does.
type kind uint8

const (
	job kind = iota
	collect
	restore
	purge
)

// A step is what a session does next.
type step uint8

const (
	notBegun step = iota
	listsBodies
	asks
	looks
	raises
	rests // a job between two steps
	asksAgain
	uploads
	saves
	announces
	mirrors
	looksAfter
	sweeps
	removes
	raisesRestore
	takesOver
	settlesTakeover
	mirrorsRestored
	savesRestored
	movesLatest
	judgesBodies
	announcesTombstone
	removesMirror
	ended
)

// session is one session of a job, a gc, a restore or a purge.
type session struct {
	step  step
	kind  kind
	store uint8

	epoch    uint8 // of its fence
	oldEpoch uint8 // of the fence before, as it was looked at
	oldLease uint8
	base     uint8 // HEAD's version, as far as the session knows
	from     uint8 // HEAD's version when the session began
	loaded   commit
	line     uint8
	at       commit // what the step is about
	source   commit // of a restore

	read    latest // latest.json as last read or written
	known   bool   // read is known at all
	dark    bool   // the archive was out of reach when the session opened
	claimed bool
	seen    commits // what was announced or mirrored when the open asked
	listed  commits // the bodies that gc listed
}

// late is a change of latest.json that is still on its way after its sender has stopped waiting.
type late struct {
	sent     bool
	old, new latest
}

// world is the state of everything.
type world struct {
	stores   [2]records
	backup   records
	latest   latest
	objects  commits // of the mirror
	bodies   commits
	sessions [mostSessions]session
	begun    uint8
	late     late

	events  uint8 // which events have happened
	expired uint8 // how many copies have expired
	done    [4]bool

	// What only the search knows.
	withBody     commits // versions whose state lies in a body
	acknowledged commits
	gone         commits // copies that have expired
	excused      commits // a mirror that died before it looked after its write
	parents      [lastCommit + 1]commit
	lines        [mostSessions + 1]uint8 // of each session
	epochs       [mostSessions + 1]uint8
	homes        [mostSessions + 1]uint8
	superseded   uint8 // lines from which a restore has led on
	purgeOver    bool

	broken property
}

// Events of the world around.
const (
	backedUp uint8 = 1 << iota
	putBack
	copied
	lost
	lateSent
)

// disturbed reports whether anything has happened that no lone store sees.
func (w *world) disturbed(c *Config) bool {
	return c.Two || w.events&^(backedUp|lateSent) != 0 || w.done[restore]
}

// descends reports whether commit a is b or comes before it.
func (w *world) descends(a, b commit) bool {
	for ; b != 0; b = w.parents[b] {
		if a == b {
			return true
		}
	}
	return a == 0
}

// past is c and all before it that were acknowledged.
func (w *world) past(c commit) (all commits) {
	for ; c != 0; c = w.parents[c] {
		if w.acknowledged.has(c) {
			all.add(c)
		}
	}
	return all
}

// setLatest changes latest.json. A new line is a restore's, which has led on from the others.
func (w *world) setLatest(l latest) {
	if w.latest.exists && l.line != w.latest.line {
		for z := uint8(1); z <= w.begun; z++ {
			if line := w.lines[z]; line != 0 && line != l.line {
				w.superseded |= 1 << line
			}
		}
	}
	w.latest = l
}

// led reports whether a restore has led on from the line of c.
func (w *world) led(c commit) bool { return w.superseded&(1<<w.lines[c.session()]) != 0 }

// A property is what must never be broken.
type property uint8

const (
	whole property = iota
	bodyOfStore
	bodyOfMirror
	bodyOfAnnounced
	restoreDrops
	restoreOld
	wentBack
	twoHistories
	refusedHealthy
	purgedCameBack
	announcedNothing
)

var properties = [...]string{
	whole:            "nothing is broken",
	bodyOfStore:      "a body was removed that a version of a living store points at",
	bodyOfMirror:     "a body was removed that an object of the mirror points at",
	bodyOfAnnounced:  "a body was removed of an acknowledged version that is announced and not mirrored yet",
	restoreDrops:     "a restore drops what its own store had acknowledged",
	restoreOld:       "a restore takes a version that is not the newest of its line",
	wentBack:         "a store that went back acknowledged a save, though its open had asked the archive",
	twoHistories:     "the mirror holds two histories that both count",
	refusedHealthy:   "a healthy store was refused",
	purgedCameBack:   "purged content came back",
	announcedNothing: "latest.json announces a version whose body is gone",
}

func (p property) String() string { return properties[p] }

func (w *world) fail(p property) {
	if w.broken == whole {
		w.broken = p
	}
}

// removeBody removes the body of c, and checks that nothing pointed at it.
func (w *world) removeBody(c commit) {
	w.bodies.drop(c)
	if !w.withBody.has(c) {
		return
	}
	for i := range w.stores {
		if s := &w.stores[i]; s.exists && s.holds(c) {
			w.fail(bodyOfStore)
		}
	}
	switch announced := w.latest.announced; {
	case w.objects.has(c):
		w.fail(bodyOfMirror)
	case announced == c:
		w.fail(announcedNothing)
	case announced != 0 && w.descends(c, announced) && w.acknowledged.has(c) && !w.gone.has(c) && c.version() > w.latest.purged:
		w.fail(bodyOfAnnounced)
	}
}

// putObject makes the mirror's object of c, and checks that the mirror has one history.
func (w *world) putObject(c commit) {
	w.objects.add(c)
	if w.led(c) {
		return
	}
	for other := commit(1); other <= lastCommit; other++ {
		if other != c && w.objects.has(other) && !w.led(other) && !w.descends(c, other) && !w.descends(other, c) {
			w.fail(twoHistories)
		}
	}
}

// checkPurge checks that nothing of what was purged is there, once no mirror is at work.
func (w *world) checkPurge() {
	if !w.purgeOver {
		return
	}
	for i := range w.sessions {
		switch w.sessions[i].step {
		case announces, mirrors, looksAfter:
			return
		}
	}
	for c := commit(1); c <= lastCommit; c++ {
		if w.objects.has(c) && !w.excused.has(c) && c.version() <= w.latest.purged {
			w.fail(purgedCameBack)
		}
	}
}
