package archive

import (
	"math/bits"
	"slices"
)

// end ends a session: it has done its work, or has died.
func (w *world) end(i int) {
	s := &w.sessions[i]
	switch s.step {
	case looksAfter, mirrors, removesMirror: // verify finds what it has left
		w.excused.add(s.at)
	}
	*s = session{step: ended}
}

// refuse ends a session that the rule sends away.
func (g *generator) refuse(w world, i int, what string) {
	if !w.disturbed(g.c) {
		w.fail(refusedHealthy)
	}
	w.end(i)
	g.emit(w, i+1, what, 0)
}

// world is what happens without a session.
func (g *generator) world() {
	happen := func(when bool, event uint8, what string, change func(*world)) {
		if !when || g.now.events&event != 0 {
			return
		}
		w := *g.now
		w.events |= event
		change(&w)
		g.emit(w, 0, what, 0)
	}
	first := &g.now.stores[0]
	saved := g.now.events&backedUp != 0
	collecting := false
	for i := range g.now.sessions {
		s := &g.now.sessions[i]
		collecting = collecting || s.kind == collect && s.step != notBegun && s.step != ended
	}
	happen((g.c.PutBack || g.c.CopyOld) && first.head > 0, backedUp, "a backup of store 0 is made",
		func(w *world) { w.backup = w.stores[0] })
	// Under a running gc it stays impossible: docs/operations.md says to end the programs first.
	happen(g.c.PutBack && saved && !collecting, putBack, "the backup is put back over store 0",
		func(w *world) { w.stores[0] = w.backup })
	happen(g.c.CopyOld && saved, copied, "store 1 is made from the backup",
		func(w *world) { w.stores[1] = w.backup })
	happen(g.c.Copy && first.head > 0, copied, "store 0 is copied to store 1",
		func(w *world) { w.stores[1] = w.stores[0] })
	happen(g.c.Lose && first.head > 0, lost, "store 0 is lost",
		func(w *world) { w.stores[0] = records{exists: true} })
	if g.now.late.sent {
		w := *g.now
		if w.latest == w.late.old {
			w.setLatest(w.late.new)
		}
		w.late = late{}
		g.emit(w, 0, "a change of latest.json arrives late", 0)
	}
	if int(g.now.expired) < g.c.Expire {
		for i := range g.now.stores {
			s := &g.now.stores[i]
			for v := uint8(1); v < s.head; v++ {
				if c := s.copies[v]; c != 0 && v != s.start {
					w := *g.now
					w.expired++
					w.gone.add(c)
					w.stores[i].copies[v] = 0
					g.emit(w, 0, "a copy expires", c)
				}
			}
		}
	}
}

// begin begins sessions.
func (g *generator) begin() {
	living := 0
	for i := range g.now.sessions {
		if s := g.now.sessions[i].step; s != notBegun && s != ended {
			living++
		}
	}
	if int(g.now.begun) >= g.c.Sessions || living >= g.c.AtOnce {
		return
	}
	roles := []Role{Job(0), Job(1), GC(0), GC(1), Restore(0), Restore(1), Purge(0), Purge(1)}
	if g.c.Cast != nil {
		roles = g.c.Cast[g.now.begun : g.now.begun+1]
	}
	allowed := [...]bool{job: true, collect: g.c.GC, restore: g.c.Restore, purge: g.c.Purge}
	for _, role := range roles {
		st := &g.now.stores[role.store]
		switch {
		case role.kind != job && (g.now.done[role.kind] || g.c.Cast == nil && !allowed[role.kind]):
			continue
		case role.kind == restore && !st.exists && role.store == 0:
			continue
		case role.kind != restore && !st.exists, role.kind == purge && st.head == 0:
			continue
		}
		w := *g.now
		s := &w.sessions[w.begun]
		w.begun++
		*s = session{step: asks, kind: role.kind, store: role.store}
		what := "begins"
		switch role.kind {
		case collect:
			w.done[collect] = true
			s.step, what = listsBodies, "begins, a gc"
		case purge:
			w.done[purge] = true
			what = "begins, a purge"
		case restore:
			w.done[restore] = true
			w.stores[role.store].exists = true
			what = "begins, a restore"
		}
		g.emit(w, int(w.begun), what+[]string{" on store 0", " on store 1"}[role.store], 0)
	}
}

// judge compares what the archive says with what the store knows. epoch and lease are those of the
// fence before the asker's own.
func (g *generator) judge(st *records, l *latest, epoch, lease uint8) bool {
	if !l.exists {
		return true
	}
	if l.line != st.line {
		return false
	}
	if l.epoch > epoch || l.epoch == epoch && l.lease != lease {
		return false
	}
	c := l.announced
	if c == 0 || g.lacks(Version) {
		return true
	}
	v := c.version()
	switch {
	case v > st.head:
		return false
	case st.copies[v] != 0:
		return st.copies[v] == c
	case st.through == v:
		return st.throughCommit == c
	}
	return true // its copy has expired, and nothing else tells: a healthy store may be like that
}

// change makes a session's change of latest.json, if latest.json is as the session has read it. then
// goes on after a success, changed after a 412, and unknown where the reply is lost.
func (g *generator) change(i int, what string, how func(*latest), then, changed, unknown func(*world, *session)) {
	w := *g.now
	s := &w.sessions[i]
	next := s.read
	next.exists = true
	how(&next)
	if w.latest != s.read {
		changed(&w, s)
		g.emit(w, i+1, what+": 412", s.at)
		return
	}
	about := s.at
	if g.c.Lost && w.events&lateSent == 0 {
		landed := w
		landed.events |= lateSent
		landed.setLatest(next)
		unknown(&landed, &landed.sessions[i])
		g.emit(landed, i+1, what+": it lands, and the reply is lost", about)
		waits := w
		waits.events |= lateSent
		waits.late = late{sent: true, old: s.read, new: next}
		unknown(&waits, &waits.sessions[i])
		g.emit(waits, i+1, what+": no reply, and it is still on its way", about)
	}
	w.setLatest(next)
	s.read = next
	then(&w, s)
	g.emit(w, i+1, what, about)
}

func goTo(to step) func(*world, *session) {
	return func(_ *world, s *session) { s.step = to }
}

// session makes the next step of one session.
func (g *generator) session(i int) {
	p := g.now.sessions[i]
	id := uint8(i + 1)
	w := *g.now
	s := &w.sessions[i]
	st := &w.stores[p.store]
	switch p.step {
	case listsBodies:
		s.listed, s.step = w.bodies, asks
		g.emit(w, i+1, "lists the bodies", 0)
	case asks:
		s.read, s.known, s.step = w.latest, true, looks
		s.seen = w.objects | w.past(w.latest.announced)
		if p.kind == collect {
			s.seen, s.step = 0, movesLatest
		}
		g.emit(w, i+1, "reads latest.json", w.latest.announced)
		if g.c.Dark && p.kind == job && st.head > 0 {
			w := *g.now
			s := &w.sessions[i]
			s.dark, s.step = true, looks
			g.emit(w, i+1, "cannot reach the archive", 0)
		}
	case looks:
		if p.kind == restore {
			g.plan(i)
			return
		}
		if !p.dark && !g.judge(st, &p.read, st.epoch, st.lease) {
			g.refuse(w, i, "looks at HEAD, and is refused")
			return
		}
		s.oldEpoch, s.oldLease, s.step = st.epoch, st.lease, raises
		g.emit(w, i+1, "looks at HEAD", 0)
	case raises:
		if st.epoch != p.oldEpoch || st.lease != p.oldLease {
			w.end(i)
			g.emit(w, i+1, "is outrun", 0)
			return
		}
		st.epoch, st.lease = p.oldEpoch+1, id
		if st.line == 0 {
			st.line = id
		}
		if !p.dark && !g.lacks(JudgeAgain) && !g.judge(st, &p.read, p.oldEpoch, p.oldLease) {
			g.refuse(w, i, "raises the fence, and is refused by what it loads")
			return
		}
		s.epoch, s.base, s.from, s.loaded, s.line, s.step = st.epoch, st.head, st.head, st.newest(), st.line, rests
		w.lines[id], w.epochs[id], w.homes[id] = s.line, s.epoch, p.store
		g.emit(w, i+1, "raises the fence", 0)
	case rests:
		g.rest(i)
	case asksAgain:
		g.askAgain(i)
	case uploads:
		w.bodies.add(p.at)
		w.withBody.add(p.at)
		s.step = saves
		g.emit(w, i+1, "uploads a body", p.at)
	case saves:
		g.save(i)
	case announces:
		again := func(_ *world, s *session) {
			if s.step = asksAgain; !g.lacks(HeadAfter412) {
				s.at = 0 // what to announce is read from HEAD again
			}
		}
		g.change(i, "announces", func(l *latest) { l.announced = p.at }, func(_ *world, s *session) {
			s.step, s.at = rests, 0
		}, again, again)
	case mirrors:
		if !w.withBody.has(p.at) || w.bodies.has(p.at) { // who mirrors looks for the body afterwards
			w.putObject(p.at)
		}
		s.step = rests
		switch {
		case g.lacks(AnnounceFirst) && w.latest.announced.version() < p.at.version():
			s.step = announces
		case g.c.Purge || g.now.done[purge]:
			s.step = looksAfter
		}
		g.emit(w, i+1, "mirrors", p.at)
	case looksAfter:
		if !g.lacks(LookAfter) && w.latest.purged >= p.at.version() {
			w.objects.drop(p.at)
		}
		s.step = rests
		g.emit(w, i+1, "looks whether it was purged", p.at)
	case sweeps:
		g.sweep(i)
	case removes:
		if w.latest.announced != p.at {
			w.objects.drop(p.at) // one that came since: the mirror is listed once more
		}
		w.removeBody(p.at)
		s.step, s.at = sweeps, 0
		if p.kind == collect {
			s.step = judgesBodies
		}
		g.emit(w, i+1, "removes the body", p.at)
	case movesLatest:
		switch {
		case g.unused(i, p.read.announced) == nil:
			w.end(i)
			g.emit(w, i+1, "finds nothing to remove", 0)
		case !w.latest.exists && !p.read.exists, g.lacks(GCFence):
			s.step = judgesBodies
			g.emit(w, i+1, "does not move latest.json", 0)
		default:
			g.change(i, "moves latest.json", func(l *latest) { l.gc++ }, goTo(judgesBodies), goTo(asks), goTo(asks))
		}
	case judgesBodies:
		if !g.lacks(GCJudges) && !g.judge(st, &p.read, st.epoch, st.lease) {
			g.refuse(w, i, "removes nothing, since an open would be refused")
			return
		}
		// It reads latest.json once more, since a copy may have expired while gc stood still.
		unused := g.unused(i, w.latest.announced)
		if !g.lacks(GCFence) {
			unused = slices.DeleteFunc(unused, func(c commit) bool { return c == p.read.announced })
		}
		if g.lacks(GCReads) {
			unused = g.unused(i, p.read.announced)
		}
		for _, c := range unused {
			w := *g.now
			w.sessions[i].at, w.sessions[i].step = c, removes
			g.emit(w, i+1, "finds the body unused", c)
		}
		if len(unused) == 0 {
			w.end(i)
			g.emit(w, i+1, "ends", 0)
		}
	case raisesRestore:
		g.raiseRestore(i)
	case takesOver:
		g.takeOver(i)
	case settlesTakeover:
		switch {
		case w.latest.lease == id:
			s.read, s.step = w.latest, mirrorsRestored
			g.emit(w, i+1, "finds that it has taken over", 0)
		case w.latest == p.read:
			s.step = takesOver
			g.emit(w, i+1, "finds latest.json as it was", 0)
		default:
			w.removeBody(p.at)
			w.end(i)
			g.emit(w, i+1, "finds that another was faster", 0)
		}
	case mirrorsRestored:
		w.putObject(p.at)
		s.step = savesRestored
		g.emit(w, i+1, "mirrors what it restores", p.at)
	case savesRestored:
		g.saveRestored(i)
	case announcesTombstone:
		g.change(i, "announces the tombstone",
			func(l *latest) { l.announced, l.purged = p.at, p.at.version()-1 },
			goTo(removesMirror),
			func(w *world, s *session) {
				if s.read = w.latest; w.latest.announced == p.at {
					s.step = removesMirror
					return
				}
				w.end(i)
			},
			func(*world, *session) {})
	case removesMirror:
		for c := commit(1); c <= lastCommit; c++ {
			if c.version() <= p.read.purged {
				w.objects.drop(c)
			}
		}
		for v := uint8(1); v < p.at.version(); v++ { // and the versions before the tombstone
			if c := st.copies[v]; c != 0 && w.lines[c.session()] == p.line {
				st.copies[v] = 0
				w.gone.add(c)
			}
		}
		w.excused = 0
		w.purgeOver = true
		*s = session{step: ended}
		g.emit(w, i+1, "removes the mirror", 0)
	}
}

// rest is a session between two steps: it claims, saves, mirrors or closes.
func (g *generator) rest(i int) {
	p := g.now.sessions[i]
	id := uint8(i + 1)
	if !p.claimed {
		if !p.known {
			w := *g.now
			w.sessions[i].step = asksAgain
			g.emit(w, i+1, "asks the archive at last", 0)
		} else {
			g.change(i, "claims the archive", func(l *latest) {
				l.line, l.epoch, l.lease, l.home = p.line, p.epoch, id, p.store
			}, func(_ *world, s *session) { s.claimed = true }, goTo(asksAgain), goTo(asksAgain))
		}
	}
	may := p.claimed || g.lacks(Claim)
	if p.kind == purge {
		if p.claimed && int(p.base) < mostVersions {
			w := *g.now
			s := &w.sessions[i]
			s.at, s.step = commitOf(id, p.base+1), saves
			g.emit(w, i+1, "is about to save the tombstone", s.at)
		}
		return
	}
	if int(p.base) < g.c.Versions {
		c := commitOf(id, p.base+1)
		if may && (g.c.Bodies == 0 || bits.OnesCount32(uint32(g.now.withBody)) < g.c.Bodies) {
			w := *g.now
			w.sessions[i].at, w.sessions[i].step = c, uploads
			g.emit(w, i+1, "is about to save a large state", c)
		}
		w := *g.now
		w.sessions[i].at, w.sessions[i].step = c, saves
		g.emit(w, i+1, "is about to save a small state", c)
	}
	if may {
		g.mirror(i)
	}
	w := *g.now
	w.sessions[i].step, w.sessions[i].at = sweeps, 0
	g.emit(w, i+1, "closes", 0)
}

// mirror begins to mirror the next version that the mirror does not hold. The session's own
// versions lie in its memory. The others it reads from the store, where they may be another's by
// now: they count only if HEAD, read after them, still has the session's fence.
func (g *generator) mirror(i int) {
	p := g.now.sessions[i]
	st := &g.now.stores[p.store]
	own := func(v uint8) commit {
		switch {
		case v > p.from:
			return commitOf(uint8(i+1), v)
		case v == p.from:
			return p.loaded
		}
		if fenced := st.epoch == p.epoch && st.lease == uint8(i+1); !fenced && !g.lacks(OwnFence) {
			return 0
		}
		return st.copies[v]
	}
	announced := p.read.announced.version()
	if g.lacks(Claim) { // whose announcement it is cannot be told
		announced = g.now.latest.announced.version()
	}
	for v := uint8(1); v <= p.base; v++ {
		c := own(v)
		if c == 0 || g.now.objects.has(c) || v <= p.read.purged {
			continue
		}
		w := *g.now
		s := &w.sessions[i]
		s.at, s.step = c, mirrors
		what := "is about to mirror"
		if !g.lacks(AnnounceFirst) && announced < v {
			// One announcement stands for all versions up to the newest.
			s.at, s.step = own(p.base), announces
			what = "is about to announce"
		}
		g.emit(w, i+1, what, s.at)
		return
	}
}

// askAgain is a session that has found latest.json changed, or that could not read it before.
func (g *generator) askAgain(i int) {
	p := g.now.sessions[i]
	id := uint8(i + 1)
	w := *g.now
	s := &w.sessions[i]
	st := &w.stores[p.store]
	s.read, s.known = w.latest, true
	mine := w.latest.lease == id
	if lost := st.epoch != p.epoch || st.lease != id || st.head != p.base; lost && (!mine || !g.lacks(HeadAfter412)) {
		w.end(i)
		g.emit(w, i+1, "reads latest.json and HEAD: its lease is lost", 0)
		return
	}
	if mine {
		s.claimed, s.step = true, rests
		if p.at != 0 && g.lacks(HeadAfter412) {
			s.step = announces
		}
		g.emit(w, i+1, "finds its own claim", 0)
		return
	}
	if p.claimed || !g.judge(st, &w.latest, p.epoch-1, p.oldLease) {
		g.refuse(w, i, "learns that another has the archive")
		return
	}
	s.step = rests
	s.dark, s.seen = false, p.seen|w.objects|w.past(w.latest.announced)
	g.emit(w, i+1, "reads latest.json and HEAD", 0)
}

func (g *generator) save(i int) {
	p := g.now.sessions[i]
	id := uint8(i + 1)
	w := *g.now
	s := &w.sessions[i]
	st := &w.stores[p.store]
	if st.epoch != p.epoch || st.lease != id || st.head != p.base {
		w.removeBody(p.at)
		w.end(i)
		g.emit(w, i+1, "its save fails", p.at)
		return
	}
	if !p.dark {
		for c := commit(1); c <= lastCommit; c++ {
			if p.seen.has(c) && !w.led(c) && !w.descends(c, st.newest()) {
				w.fail(wentBack)
			}
		}
	}
	w.parents[p.at] = st.newest()
	if p.base == p.from {
		st.start = p.from
	}
	st.head++
	st.copies[st.head] = p.at
	if p.claimed {
		st.through, st.throughCommit = 0, 0
		if c := p.read.announced; c != 0 {
			st.through, st.throughCommit = c.version(), c
		}
	}
	w.acknowledged.add(p.at)
	s.base, s.step = st.head, rests
	if p.kind == purge {
		s.step = announcesTombstone
	} else {
		s.at = 0
	}
	g.emit(w, i+1, "saves", p.at)
}

// sweep is a closing session, which removes bodies of its own that nothing points at.
func (g *generator) sweep(i int) {
	p := g.now.sessions[i]
	id := uint8(i + 1)
	st := &g.now.stores[p.store]
	any := false
	for c := commit(1); c <= lastCommit; c++ {
		own := c.session() == id
		if g.lacks(OwnSweep) {
			own = g.lacks(Home) || g.now.homes[c.session()] == p.store
		}
		landed := c.session() == id && c.version() > p.from && c.version() <= p.base
		if !own || landed || !g.now.bodies.has(c) || c.version() > st.head || st.holds(c) || g.now.objects.has(c) ||
			g.now.latest.announced == c {
			continue
		}
		w := *g.now
		w.sessions[i].at, w.sessions[i].step = c, removes
		g.emit(w, i+1, "its sweep finds the body unused", c)
		any = true
	}
	if !any {
		w := *g.now
		w.end(i)
		g.emit(w, i+1, "ends", 0)
	}
}

// unused returns the listed bodies that gc takes for unused, by HEAD, the copies and the mirror as
// they are now, and by what latest.json announces.
func (g *generator) unused(i int, announced commit) (all []commit) {
	p := &g.now.sessions[i]
	st := &g.now.stores[p.store]
	for c := commit(1); c <= lastCommit; c++ {
		own := g.lacks(Home) || g.now.homes[c.session()] == p.store
		if own && p.listed.has(c) && g.now.bodies.has(c) && c.version() <= st.head && !st.holds(c) && !g.now.objects.has(c) && announced != c {
			all = append(all, c)
		}
	}
	return all
}
