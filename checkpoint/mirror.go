package checkpoint

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/milepost-dev/milepost/internal/retries"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

const (
	// mostFresh is how many versions that were just committed wait in memory for the mirror. The
	// mirror reads the others again from the store, so that it drops none.
	mostFresh = 64
	// mirrorChunk is how many versions that wait in memory are mirrored in one step.
	mirrorChunk = 32
	// mirrorPatience is how long a closing session waits for its mirror. The next session, or Sync,
	// does the rest.
	mirrorPatience = 5 * time.Second
	// mirrorMoment is how long a closing commit waits, so that it can say that the versions of
	// earlier sessions are mirrored.
	mirrorMoment = time.Second
	// mirrorPause is the longest time between two attempts.
	mirrorPause = 30 * time.Second
)

// mirror mirrors, in the background, the versions that a session commits, and those that earlier
// sessions could not mirror. No save ever waits for it.
type mirror struct {
	c      *committer
	policy MirrorPolicy
	base   int64 // the version that the session started from: the last of the session before
	born   int64 // the first version of this life
	began  int64 // through at the beginning; 0: no version is known to have been mirrored before

	cancel context.CancelFunc
	wake   chan struct{} // there is something to do
	moved  chan struct{} // through has risen, or an attempt has failed
	ending chan struct{} // closed when no more versions come
	done   chan struct{} // closed when the goroutine has ended

	// Only the goroutine uses these:
	have  map[int64][]archive.ID // what the mirror holds above through; nil: not known
	epoch int64                  // the epoch of version through; 0: not known

	mu      sync.Mutex
	through int64
	newest  store.Version   // the last version that was committed
	fresh   []store.Version // the last versions that were committed, in order, at most mostFresh
	gaps    []archive.Gap
	err     error // why the last attempt failed
}

// mirroring is how far a mirror has come.
type mirroring struct {
	Through int64         // all versions up to here are mirrored, except those in gaps
	Waiting int64         // how many later versions wait for the mirror
	Gaps    []archive.Gap // that this session found
	Err     error         // why the last attempt failed; nil: it did not fail
}

func newMirror(ctx context.Context, c *committer, policy MirrorPolicy) *mirror {
	m := &mirror{
		c: c, policy: policy,
		base: c.base.Number, born: c.base.Born, newest: c.base,
		through: c.base.ArchivedThrough, began: c.base.ArchivedThrough,
		wake: make(chan struct{}, 1), moved: make(chan struct{}, 1),
		ending: make(chan struct{}), done: make(chan struct{}),
	}
	ctx, m.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go m.run(ctx)
	return m
}

// offer says that v was committed. It never waits.
func (m *mirror) offer(v store.Version) {
	m.mu.Lock()
	m.newest = v
	if m.policy == MirrorEvery {
		if len(m.fresh) == mostFresh {
			m.fresh = slices.Delete(m.fresh, 0, 1)
		}
		m.fresh = append(m.fresh, v)
	}
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// throughAt returns the version up to which the mirror is complete, for the commit of version next
// to record.
func (m *mirror) throughAt(next int64) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.policy == MirrorSessions && m.through >= m.base {
		return next - 1 // of this session, only the last version is to be mirrored
	}
	return m.through
}

// await gives the mirror a moment to mirror what earlier sessions have left, so that a short
// session can say that it is mirrored. Without it, jobs of one save each would never say so. await
// does not wait for a mirror that fails, nor for the session's own versions.
func (m *mirror) await(ctx context.Context) {
	moment, cancel := context.WithTimeout(ctx, mirrorMoment)
	defer cancel()
	for {
		m.mu.Lock()
		enough := m.err != nil || m.through >= m.base
		m.mu.Unlock()
		if enough {
			return
		}
		select {
		case <-m.moved:
		case <-moment.Done():
			return
		}
	}
}

// hasMoved wakes the caller of await.
func (m *mirror) hasMoved() {
	select {
	case m.moved <- struct{}{}:
	default:
	}
}

// mirroredElsewhere says that all versions up to that version are mirrored.
func (m *mirror) mirroredElsewhere(version int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.through = max(m.through, version)
}

func (m *mirror) status() mirroring {
	m.mu.Lock()
	defer m.mu.Unlock()
	return mirroring{
		Through: m.through, Waiting: max(0, m.newest.Number-m.through), Gaps: slices.Clone(m.gaps), Err: m.err,
	}
}

// finish waits until all is mirrored, or ctx ends, and ends the mirror.
func (m *mirror) finish(ctx context.Context) {
	close(m.ending)
	select {
	case <-m.done:
	case <-ctx.Done():
	}
	m.cancel()
	<-m.done
}

// finishArchive gives the mirror, and then the sweep, some time to finish at the end of a session.
func (c *committer) finishArchive(ctx context.Context) {
	if c.archive.Archive == nil {
		return
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), mirrorPatience)
	defer cancel()
	c.finishMirror(bounded)
	c.sweep(bounded)
}

func (c *committer) finishMirror(ctx context.Context) {
	if c.mirror == nil {
		return
	}
	c.mirror.finish(ctx)
	if s := c.mirror.status(); s.Waiting > 0 {
		c.log.Warn("not all is mirrored; the next session or sync goes on from there",
			"checkpoint", c.key.String(), "through", s.Through, "waiting", s.Waiting, "error", s.Err)
	}
}

func (m *mirror) run(ctx context.Context) {
	defer close(m.done)
	intervals := retries.Pace()
	intervals.MaxInterval = mirrorPause
	for {
		last := m.ended() // read before advance: if true, advance sees all versions
		err := m.advance(ctx, last)
		m.note(err)
		switch {
		case ctx.Err() != nil, err == nil && last:
			return
		case err != nil:
			m.have = nil // the attempt may have written some objects
			m.pause(ctx, intervals.NextBackOff(), last)
			continue
		}
		intervals.Reset()
		select {
		case <-m.wake:
		case <-m.ending:
		case <-ctx.Done():
		}
	}
}

func (m *mirror) ended() bool {
	select {
	case <-m.ending:
		return true
	default:
		return false
	}
}

// pause waits until the next attempt, which comes soon if the session is closing.
func (m *mirror) pause(ctx context.Context, d time.Duration, last bool) {
	if last {
		retries.Sleep(ctx, min(d, 200*time.Millisecond))
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-m.ending:
	case <-ctx.Done():
	}
}

// note keeps the result of an attempt, and logs the first one that failed.
func (m *mirror) note(err error) {
	m.mu.Lock()
	before := m.err
	m.err = err
	if errors.Is(err, context.Canceled) && before != nil {
		m.err = before // keep the reason: the new error only says that the session stopped waiting
	}
	m.mu.Unlock()
	m.hasMoved()
	if err != nil && before == nil {
		m.c.log.Warn("a version was not mirrored; the next attempt follows",
			"checkpoint", m.c.key.String(), "error", err)
	}
}

// advance mirrors all that there is, a chunk at a time.
func (m *mirror) advance(ctx context.Context, last bool) error {
	for {
		m.mu.Lock()
		low, newest := m.through+1, m.newest
		m.fresh = slices.DeleteFunc(m.fresh, func(v store.Version) bool { return v.Number < low })
		fresh := slices.Clone(m.fresh[:min(len(m.fresh), mirrorChunk)])
		m.mu.Unlock()

		target := newest.Number
		if m.policy == MirrorSessions && !last {
			target = m.base // the session's last version is not known before its end
		}
		var err error
		switch {
		case low > target:
			return nil
		case len(fresh) > 0 && fresh[0].Number == low:
			err = m.put(ctx, fresh, nil, fresh[len(fresh)-1].Number)
		default:
			err = m.catchUp(ctx, low, target, newest)
		}
		if err != nil {
			return err
		}
	}
}

// catchUp mirrors the next chunk from the store's copies.
func (m *mirror) catchUp(ctx context.Context, low, target int64, newest store.Version) error {
	if m.have == nil {
		have, err := m.c.archive.Mirrored(ctx, low)
		if err != nil {
			return err
		}
		m.have = have
	}
	s := &archive.Missing{
		Store: m.c.st, Key: m.c.key, SessionsOnly: m.policy == MirrorSessions,
		Have: m.have, Born: m.born, Newest: newest, Target: target, Epoch: m.epoch,
	}
	if err := s.Start(ctx, low); err != nil {
		return err
	}
	for {
		if err := s.Step(ctx); err != nil {
			return err
		}
		if !s.More() || !s.InGap() { // a chunk does not end within a gap
			break
		}
	}
	if err := m.put(ctx, s.Lacking, s.Gaps, s.High); err != nil {
		return err
	}
	m.epoch = s.Epoch
	return nil
}

// put mirrors these versions. With the gaps, they are all that the mirror does not hold up to
// version high.
func (m *mirror) put(ctx context.Context, versions []store.Version, gaps []archive.Gap, high int64) error {
	latest, refused, err := m.c.archive.PutVersions(ctx, versions)
	if err != nil {
		return err
	}
	if err := m.c.archive.MoveLatest(ctx, latest); errors.Is(err, store.ErrBadRecord) {
		m.c.log.Error("latest.json cannot be moved", "checkpoint", m.c.key.String(), "error", err)
	} else if err != nil {
		return err
	}
	for _, r := range refused {
		m.c.log.Error("a version cannot be mirrored",
			"checkpoint", m.c.key.String(), "version", r.Version, "error", r.Err)
		gaps = append(gaps, archive.Gap{First: r.Version, Last: r.Version})
	}
	for _, g := range gaps {
		if g.First <= max(m.born, 1) && m.began == 0 {
			m.c.log.Warn("versions from before there was an archive have expired",
				"checkpoint", m.c.key.String(), "first", g.First, "last", g.Last)
			continue
		}
		m.c.log.Error("versions expired before they were mirrored",
			"checkpoint", m.c.key.String(), "first", g.First, "last", g.Last)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.through = max(m.through, high)
	m.gaps = mergeGaps(append(m.gaps, gaps...))
	m.hasMoved()
	return nil
}

// mergeGaps joins gaps that touch.
func mergeGaps(gaps []archive.Gap) []archive.Gap {
	slices.SortFunc(gaps, func(a, b archive.Gap) int { return cmp.Compare(a.First, b.First) })
	var merged []archive.Gap
	for _, g := range gaps {
		if n := len(merged); n > 0 && g.First <= merged[n-1].Last+1 {
			merged[n-1].Last = max(merged[n-1].Last, g.Last)
			continue
		}
		merged = append(merged, g)
	}
	return merged
}
