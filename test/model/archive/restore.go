package archive

// plan chooses what a restore restores, and says no where the rule does.
func (g *generator) plan(i int) {
	p := g.now.sessions[i]
	w := *g.now
	s := &w.sessions[i]
	st := &w.stores[p.store]
	l := p.read
	from := l.announced
	switch {
	case from == 0:
	case st.line != 0 && l.line != st.line && l.home != p.store:
		from = 0 // another's: it takes --take-over
	case st.head > 0 && (!p.seen.has(st.newest()) || st.head >= l.announced.version()):
		from = 0 // nothing is lost, or there are two histories
	case w.withBody.has(from) && !w.bodies.has(from):
		from = 0
	}
	next := max(l.announced.version(), st.head) + 1
	if from == 0 || int(next) > mostVersions {
		w.end(i)
		g.emit(w, i+1, "refuses to restore", 0)
		return
	}
	s.at, s.source = commitOf(uint8(i+1), next), from
	s.base, s.loaded = st.head, st.newest()
	s.oldEpoch, s.oldLease, s.step = st.epoch, st.lease, raisesRestore
	g.emit(w, i+1, "plans to restore", from)
}

// leap is how far a restore raises the epoch.
const leap = 8

func (g *generator) raiseRestore(i int) {
	p := g.now.sessions[i]
	id := uint8(i + 1)
	w := *g.now
	s := &w.sessions[i]
	st := &w.stores[p.store]
	changed := st.head != p.base || st.newest() != p.loaded
	if st.epoch != p.oldEpoch || st.lease != p.oldLease || changed && !g.lacks(Replan) {
		w.end(i)
		g.emit(w, i+1, "is outrun", 0)
		return
	}
	st.epoch = max(st.epoch, p.read.epoch) + leap
	st.lease = id
	s.epoch, s.line, s.step = st.epoch, id, takesOver
	w.lines[id], w.epochs[id], w.homes[id] = id, st.epoch, p.store
	w.parents[p.at] = p.source
	if w.withBody.has(p.source) {
		w.bodies.add(p.at)
		w.withBody.add(p.at)
	}
	for c := commit(1); c <= lastCommit; c++ { // it must be the newest
		if p.seen.has(c) && w.acknowledged.has(c) && !w.led(c) && !w.descends(c, p.source) &&
			(w.lines[c.session()] == w.lines[p.source.session()] || w.descends(p.source, c)) {
			w.fail(restoreOld)
		}
	}
	g.emit(w, i+1, "raises the fence far, and copies the body", p.at)
}

func (g *generator) takeOver(i int) {
	p := g.now.sessions[i]
	id := uint8(i + 1)
	take := func(l *latest) {
		l.line, l.epoch, l.lease, l.home, l.announced = id, p.epoch, id, p.store, p.at
	}
	giveUp := func(w *world, _ *session) {
		w.removeBody(p.at)
		w.end(i)
	}
	if g.lacks(IfMatch) {
		w := *g.now
		s := &w.sessions[i]
		if c := w.latest.announced; c != 0 && !w.descends(c, p.source) {
			w.fail(restoreOld) // announced meanwhile
		}
		next := w.latest
		take(&next)
		w.setLatest(next)
		s.read, s.step = next, mirrorsRestored
		g.emit(w, i+1, "takes the archive over", p.at)
		return
	}
	// A 412 may be to an attempt before, which has landed since.
	changed := goTo(settlesTakeover)
	if g.lacks(KeepUnknown) {
		changed = giveUp
	}
	unknown := func(w *world, s *session) {
		if g.lacks(KeepUnknown) {
			giveUp(w, s)
			return
		}
		s.step = settlesTakeover
	}
	g.change(i, "takes the archive over", take, goTo(mirrorsRestored), changed, unknown)
}

func (g *generator) saveRestored(i int) {
	p := g.now.sessions[i]
	id := uint8(i + 1)
	w := *g.now
	st := &w.stores[p.store]
	if st.epoch != p.epoch || st.lease != id {
		w.end(i)
		g.emit(w, i+1, "has lost its lease", 0)
		return
	}
	for v := uint8(1); v <= st.head; v++ {
		if c := st.copies[v]; w.acknowledged.has(c) && !w.descends(c, p.at) {
			w.fail(restoreDrops)
		}
	}
	*st = records{exists: true, head: p.at.version(), epoch: p.epoch, lease: id, line: id}
	for c := p.at; c != 0; c = w.parents[c] {
		if w.objects.has(c) {
			st.copies[c.version()] = c
		}
	}
	w.acknowledged.add(p.at)
	w.end(i)
	g.emit(w, i+1, "saves what it restores", p.at)
}
