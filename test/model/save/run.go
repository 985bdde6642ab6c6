package save

import "github.com/milepost-dev/milepost/test/model/search"

// run makes the steps of one run.
func (x *explorer) run(i uint8) {
	r := x.from.Runs[i]
	p := &walker{explorer: x, i: i}
	if r.At != idle {
		p.crash()
	}
	switch r.At {
	case idle:
		p.begin()
	case readHead, readLease:
		p.lookOn()
	case acquiring:
		p.acquire()
	case lookForLease:
		p.findLease()
	case raising:
		p.raise()
	case lookForFence:
		p.findFence()
	case keepingBase, copying:
		p.copy()
	case ready:
		p.beReady()
	case committing:
		p.commit()
	case settling:
		p.settle(x.from, "settles by HEAD: ")
	case settlingCopy:
		p.settleByCopy()
	case releasing:
		p.release()
	case removing:
		p.remove()
	}
}

// walker makes the steps of run i.
type walker struct {
	*explorer
	i uint8
}

// did is a step of the run's.
func (w *walker) did(s State, what string, detail uint8) {
	w.to(s, search.What{By: "run", Number: w.i, Did: what, Detail: detail})
}

// fresh returns the state to change, and the run in it.
func (w *walker) fresh() (*State, *Run) {
	s := w.from
	return &s, &s.Runs[w.i]
}

// end ends the session of a run.
func (m *model) end(r *Run) {
	*r = Run{Session: r.Session + 1}
	if int(r.Session) >= m.o.Sessions {
		r.At = over
	}
}

func (w *walker) crash() {
	s, r := w.fresh()
	sent, sends := r.Sending, r.At.sends()
	w.end(r)
	w.did(*s, "crashes", 0)
	if sends {
		for _, t := range w.arriveLater(*s, sent) {
			w.did(t, "crashes, and what it has sent may arrive later: "+sent.Kind.String(), sent.Version)
		}
	}
}

// noAnswer loses the reply of the request in flight, which may arrive later or never. The run goes
// on at that place.
func (w *walker) noAnswer(at place) {
	if w.o.NoTimeouts {
		return
	}
	s, r := w.fresh()
	sent := r.Sending
	if at == settling {
		r.Ambiguous = true
	}
	if at == over {
		w.end(r)
	} else {
		r.At = at
	}
	for _, t := range w.arriveLater(*s, sent) {
		w.did(t, "has no answer to its "+sent.Kind.String(), sent.Version)
	}
}

// begin starts a session: it begins to look.
func (w *walker) begin() {
	roles := []bool{false}
	if w.o.Delete != noDelete && !w.from.DeleteUsed && w.from.Head.Version > 0 {
		roles = append(roles, true)
	}
	for _, deletes := range roles {
		s, r := w.fresh()
		r.Deletes = deletes
		s.DeleteUsed = s.DeleteUsed || deletes
		r.LeaseID = w.i*uint8(w.o.Sessions) + r.Session + 1
		if deletes && w.o.Delete == withoutLease {
			r.Epoch, r.Base, r.At = 99, s.Head.Version, committing
			r.Sending = Request{Kind: commit, Epoch: 99, LeaseID: r.LeaseID, Base: r.Base, Naive: true}
			w.did(*s, "deletes without a lease", 0)
			continue
		}
		if !w.o.TornLook {
			r.SeenHead, r.SeenLease = s.Head, s.Lease
			w.looked(s, r)
			continue
		}
		t, u := *s, *s
		t.Runs[w.i].SeenHead, t.Runs[w.i].At = t.Head, readHead
		w.did(t, "reads HEAD", t.Head.Version)
		u.Runs[w.i].SeenLease, u.Runs[w.i].At = u.Lease, readLease
		w.did(u, "reads LEASE", u.Lease.Version)
	}
}

// lookOn reads the other record of a look.
func (w *walker) lookOn() {
	s, r := w.fresh()
	if r.At == readHead {
		r.SeenLease = s.Lease
	} else {
		r.SeenHead = s.Head
	}
	w.looked(s, r)
}

// looked decides by a look, as lease.contender.contend does. Whether the lease may be taken is a
// judgement that can be wrong, so here it always may.
func (w *walker) looked(s *State, r *Run) {
	version := r.SeenHead.Version
	below := version < r.SeenLease.Version && !w.without(versionInLease)
	if version < r.Known || below && w.without(anotherLook) {
		if s.Loss == never && !s.HeadRemoved {
			s.breaks(falseAlarm)
		}
		w.end(r)
		w.did(*s, "says that the store has gone backward", version)
		return
	}
	if below { // look again
		known := r.SeenLease.Version
		r.At, r.Known, r.SeenHead, r.SeenLease = idle, known, Head{}, Lease{}
		w.did(*s, "looks again, for HEAD is below LEASE", known)
		return
	}
	r.Epoch = max(r.SeenLease.Epoch, r.SeenHead.Epoch) + 1
	if r.SeenLease.Status == absent && r.SeenHead.Exists {
		r.Epoch = r.SeenHead.Epoch + leap
	}
	r.At = acquiring
	r.Sending = Request{
		Kind: acquire, Epoch: r.Epoch, LeaseID: r.LeaseID, Observed: r.SeenLease, Version: max(version, r.SeenLease.Version),
	}
	w.did(*s, "has looked, and wants the lease with epoch", r.Epoch)
}

func (w *walker) acquire() {
	s, r := w.fresh()
	if w.apply(s, r.Sending) == applied || s.Lease.ID == r.LeaseID {
		r.toRaise()
		w.did(*s, "has LEASE, epoch", r.Epoch)
	} else {
		w.end(r)
		w.did(*s, "loses the race", 0)
	}
	w.noAnswer(lookForLease)
}

func (r *Run) toRaise() {
	r.At = raising
	r.Sending = Request{Kind: raise, Epoch: r.Epoch, LeaseID: r.LeaseID, Create: !r.SeenHead.Exists}
}

func (w *walker) findLease() {
	s, r := w.fresh()
	if s.Lease.ID == r.LeaseID && s.Lease.Epoch == r.Epoch {
		r.toRaise()
	} else {
		w.end(r)
	}
	w.did(*s, "looks for its LEASE", 0)
}

// fenced reports whether HEAD has the run's fence.
func (w *walker) fenced(s *State, r *Run) bool {
	return s.Head.Epoch == r.Epoch && (s.Head.LeaseID == r.LeaseID || w.without(leaseIDInFence))
}

func (w *walker) raise() {
	s, r := w.fresh()
	if w.apply(s, r.Sending) == applied || w.fenced(s, r) {
		w.opened(s, r)
	} else {
		w.end(r)
	}
	w.did(*s, "raises the fence", 0)
	w.noAnswer(lookForFence)
}

func (w *walker) findFence() {
	s, r := w.fresh()
	switch {
	case s.Head.Exists && w.fenced(s, r):
		w.opened(s, r)
	case !s.Head.Exists || s.Head.Epoch < r.Epoch:
		r.At = raising
	default:
		w.end(r)
	}
	w.did(*s, "looks for its fence", 0)
}

// opened begins the session on HEAD as it is behind the fence.
func (w *walker) opened(s *State, r *Run) {
	before := max(r.SeenHead.Version, r.Known)
	if !w.without(versionInLease) {
		before = max(before, r.SeenLease.Version)
	}
	backward := s.Head.Version < before && s.Loss != never && !w.without(askingTheArchive)
	backward = backward || s.Head.Version < before && s.HeadRemoved
	lostHere := s.Head.Version == 0 && s.Loss != never && s.mirrored()
	if backward || lostHere && !w.without(askingTheArchive) {
		w.end(r) // ErrStoreRegressed, or "restore or reset"
		return
	}
	older := s.Head.Version < before || lostHere || s.HeadRemoved && s.Head.Version < max(r.SeenLease.Version, before)
	if w.o.Delete == keepingOnlyTheEpoch {
		older = false // versions begin again there
	}
	if older || w.without(loadingBehindTheFence) && s.Head.Version != r.SeenHead.Version {
		s.breaks(openedOlder)
	}
	for i := range s.Runs {
		other := &s.Runs[i]
		if uint8(i) != w.i && other.At.holds() && other.Epoch == r.Epoch && s.Loss == never {
			s.breaks(twoHolders)
		}
	}
	r.SeenHead, r.SeenLease, r.Known = Head{}, Lease{}, 0
	r.Base, r.At, r.Sending = s.Head.Version, ready, Request{}
	if s.Head.Version > 0 && !s.Head.Deleted && !w.without(keepingTheBase) {
		r.At = keepingBase
		r.Sending = Request{Kind: putCopy, Version: s.Head.Version, Commit: s.Head.Commit, Epoch: s.Head.CommitEpoch, Keep: true}
	}
}

// copy writes V#base: before the first commit, and after each.
func (w *walker) copy() {
	s, r := w.fresh()
	at, sent := r.At, r.Sending
	found := w.apply(s, sent)
	if found == another {
		// A run that is fenced may simply stop. Where HEAD was removed by hand, it stops with
		// ErrStoreRegressed.
		if s.Head.Epoch == r.Epoch && !s.HeadRemoved {
			s.breaks(wedged)
		}
		w.end(r)
	} else {
		r.At = ready
		if at == copying && sent.Commit != r.Commit { // the earlier commit's: the one that supersedes it goes on
			w.send(r)
		} else {
			r.Sending = Request{}
		}
	}
	w.did(*s, "writes the copy of version", sent.Version)
	if w.o.Mirror && found != another {
		for _, t := range w.arriveLater(*s, Request{Kind: mirror, Version: sent.Version, Commit: sent.Commit, Epoch: sent.Epoch}) {
			w.did(t, "writes the copy, and mirrors it later", sent.Version)
		}
	}
	w.noAnswer(at)
	if w.without(waitingForTheCopy) && at == copying {
		t, q := w.fresh()
		q.At, q.Sending = ready, Request{}
		for _, u := range w.arriveLater(*t, sent) {
			w.did(u, "does not wait for the copy", sent.Version)
		}
	}
}

// send begins to send the run's commit on its base.
func (w *walker) send(r *Run) {
	r.At = committing
	r.Sending = Request{Kind: commit, Epoch: r.Epoch, LeaseID: r.LeaseID, Base: r.Base, Commit: r.Commit}
}

// next names the run's next commit.
func (w *walker) next(r *Run) {
	sessions := int(w.i)*w.o.Sessions + int(r.Session)
	r.Commit = uint8(sessions*w.o.Commits) + r.Commits + 1
	r.Commits++
	r.Ambiguous = false
}

func (w *walker) beReady() {
	s, r := w.fresh()
	if r.Deletes {
		if int(r.Base) < w.o.Versions {
			w.next(r)
			r.Commits--
			w.send(r)
			r.Sending.Deletes = w.o.Delete == byCommit
			r.Sending.Naive = w.o.Delete == keepingOnlyTheEpoch
			w.did(*s, "sends a tombstone", 0)
		}
		return
	}
	if int(r.Commits) < w.o.Commits && int(r.Base) < w.o.Versions {
		w.next(r)
		w.send(r)
		w.did(*s, "sends commit", r.Commit)
	}
	s, r = w.fresh()
	r.At = releasing
	r.Sending = Request{Kind: release, Epoch: r.Epoch, LeaseID: r.LeaseID, Version: r.Base}
	w.did(*s, "releases", 0)
	s, r = w.fresh()
	if s.Lease.ID == r.LeaseID && s.Lease.Status == held && s.Lease.Version != r.Base {
		s.Lease.Version = r.Base
		w.did(*s, "beats, and LEASE knows version", r.Base)
	}
}

func (w *walker) commit() {
	s, r := w.fresh()
	found := w.apply(s, r.Sending)
	switch {
	case r.Sending.Naive:
		if found == applied && w.o.Delete == keepingOnlyTheEpoch {
			w.toRemove(s, r, 1)
		} else {
			w.end(r)
		}
		w.did(*s, "has deleted, as it must not be done", 0)
		return
	case found == applied:
		made := r.Sending
		w.landed(s, r, false)
		w.did(*s, "commits version", made.Base+1)
	default:
		w.settle(*s, "is refused: ")
	}
	w.noAnswer(settling)
	w.throttled()
}

// throttled is an attempt that was definitely not applied. It is a failure only if no earlier
// attempt was ambiguous.
func (w *walker) throttled() {
	s, r := w.fresh()
	if w.o.NoTimeouts || !w.without(stickyAmbiguity) && (r.Ambiguous || r.Earlier != 0) {
		return
	}
	failed := r.Commit
	s.isFailed(failed)
	r.At, r.Earlier, r.Sending = ready, 0, Request{}
	if r.Deletes {
		w.end(r)
	}
	w.did(*s, "is throttled, and reports as failed commit", failed)
}

// landed is a commit that has landed. byCopy: its version's copy says so, for HEAD has gone on.
func (w *walker) landed(s *State, r *Run, byCopy bool) {
	s.Acknowledged.add(r.Commit)
	if byCopy || s.Head.Epoch != r.Epoch {
		w.end(r)
		return
	}
	r.Base++
	r.Earlier, r.Ambiguous = 0, false
	if r.Deletes {
		w.toRemove(s, r, 1)
		return
	}
	r.At = copying
	r.Sending = Request{Kind: putCopy, Version: r.Base, Commit: r.Commit, Epoch: r.Epoch}
}

// settle decides by HEAD, as checkpoint.committer.judge does.
func (w *walker) settle(s State, how string) {
	r := &s.Runs[w.i]
	head := s.Head
	switch {
	case !head.Exists || head.Version < r.Base || head.Epoch < r.Epoch:
		if s.Loss == never && !s.HeadRemoved && w.o.Delete != keepingOnlyTheEpoch {
			s.breaks(impossible)
		}
		w.end(r)
		w.did(s, how+"HEAD is behind: the store has regressed", 0)
	case head.Epoch > r.Epoch && w.without(settlingByTheCommit):
		s.isFailed(r.Commit)
		w.end(r)
		w.did(s, how+"a higher epoch, so it has failed", 0)
	case head.Version == r.Base+1 && head.Commit == r.Commit:
		w.landed(&s, r, false)
		w.did(s, how+"it has landed", 0)
	case head.Version == r.Base+1 && r.Earlier != 0 && head.Commit == r.Earlier:
		w.earlierLanded(s, how)
	case head.Version == r.Base+1:
		s.isFailed(r.Commit)
		if head.Epoch == r.Epoch && s.Loss == never && !s.HeadRemoved {
			s.breaks(twoHolders)
		}
		w.end(r)
		w.did(s, how+"the version is another's", 0)
	case head.Version == r.Base && !w.fenced(&s, r):
		s.isFailed(r.Commit)
		w.end(r)
		w.did(s, how+"it is fenced", 0)
	case head.Version == r.Base:
		w.again(s, how)
	default:
		r.At = settlingCopy
		w.did(s, how+"HEAD has gone on", 0)
	}
}

// earlierLanded: the unknown commit has landed, so the one that supersedes it goes on the next base.
func (w *walker) earlierLanded(s State, how string) {
	r := &s.Runs[w.i]
	s.Acknowledged.add(r.Earlier)
	if s.Head.Epoch != r.Epoch {
		s.isFailed(r.Commit)
		w.end(r)
		w.did(s, how+"the earlier one has landed, and the lease is lost", 0)
		return
	}
	r.Base++
	r.At = copying
	r.Sending = Request{Kind: putCopy, Version: r.Base, Commit: r.Earlier, Epoch: r.Epoch}
	r.Earlier, r.Ambiguous = 0, false
	w.did(s, how+"the earlier one has landed", 0)
}

// again sends the same bytes. Or the caller gives up, and its next save supersedes this one.
func (w *walker) again(s State, how string) {
	t := s
	t.Runs[w.i].At = committing
	w.did(t, how+"it may be in flight, so the same again", 0)
	r := &s.Runs[w.i]
	if w.o.NoTimeouts || r.Earlier != 0 || r.Deletes || int(r.Commits) >= w.o.Commits {
		return
	}
	r.Earlier = r.Commit
	w.next(r)
	w.send(r)
	w.did(s, how+"it is unknown, and superseded", 0)
}

// settleByCopy decides by V#(base+1), as checkpoint.committer.judgeCopy does.
func (w *walker) settleByCopy() {
	s, r := w.fresh()
	switch made := s.Copies[r.Base+1].Commit; {
	case made == 0:
		if s.Deleted <= r.Base && s.Loss == never && !s.HeadRemoved {
			s.breaks(hole)
		}
		w.end(r)
	case made == r.Commit:
		w.landed(s, r, true)
	case r.Earlier != 0 && made == r.Earlier:
		s.Acknowledged.add(r.Earlier)
		s.isFailed(r.Commit)
		w.end(r)
	default:
		s.isFailed(r.Commit)
		w.end(r)
	}
	w.did(*s, "settles by the copy", 0)
}

func (w *walker) release() {
	s, r := w.fresh()
	w.apply(s, r.Sending)
	w.end(r)
	w.did(*s, "has released", 0)
	w.noAnswer(over)
}

// toRemove begins to remove the copy of a version after a delete, or ends the session after the last.
func (w *walker) toRemove(s *State, r *Run, version uint8) {
	last := r.Base
	if w.o.Delete == keepingOnlyTheEpoch {
		last = uint8(w.o.Versions)
	}
	for ; version <= last; version++ {
		if c := s.Copies[version].Commit; c != 0 {
			r.At = removing
			r.Sending = Request{Kind: removeCopy, Version: version, Commit: c}
			return
		}
	}
	w.end(r)
}

func (w *walker) remove() {
	s, r := w.fresh()
	sent := r.Sending
	w.apply(s, sent)
	w.toRemove(s, r, sent.Version+1)
	w.did(*s, "removes the copy of version", sent.Version)
	if w.o.NoTimeouts {
		return
	}
	s, r = w.fresh()
	w.toRemove(s, r, sent.Version+1)
	for _, t := range w.arriveLater(*s, sent) {
		w.did(t, "removes later the copy of version", sent.Version)
	}
}
