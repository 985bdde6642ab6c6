package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// Save sets cursor and state, as a mark would, and saves them with the counts as they are. It
// returns nil once they are durable: one request to the store, if the copy of the version before was
// written meanwhile (the first save of a session makes sure of the version it started from, too). The
// session keeps state: what it points to must not change any more.
//
// An error that matches [ErrOutcomeUnknown] says that ctx ended, or the lease, before anything could
// be learned; the next call of a method that saves first settles it, and where either carries the
// caller's own writes returns a [*SettledError]. Any other error is definite: this call has saved
// nothing and never will. It matches [lease.ErrLost] when the lease is gone, [lease.ErrStoreRegressed] when
// the store has gone backward, [store.ErrTooLarge] when the record passes the store's limit.
// What was marked stays marked, for the next save.
func (s *Session[T]) Save(ctx context.Context, cursor string, state T) error {
	encoded, err := s.codec.Marshal(state)
	if err != nil {
		return s.unsavable(err)
	}
	marked, err := s.set(cursor, state, encoded)
	if err != nil {
		return err
	}
	return s.saveUpTo(ctx, marked)
}

// set is a mark that waits for nothing but a step in flight. It returns how many records are marked.
func (s *Session[T]) set(cursor string, state T, encoded []byte) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.stepping && !s.over() {
		s.await(nil)
	}
	if s.over() {
		return 0, s.whyOver()
	}
	if s.unreported == nil { // else the save reports it, and does no more
		s.cursor, s.state, s.torn = cursor, state, false
		s.count(0, 0)
		s.encoded, s.encodedAt = encoded, s.marked
	}
	return s.marked, nil
}

// Flush saves what was marked, and returns nil once everything marked before the call is durable.
// Its errors are those of [Session.Save].
func (s *Session[T]) Flush(ctx context.Context) error {
	s.mu.Lock()
	marked := s.marked
	s.mu.Unlock()
	return s.saveUpTo(ctx, marked)
}

func (s *Session[T]) saveUpTo(ctx context.Context, marked int64) error {
	return s.save(ctx, plainSave, func() bool { return s.saved >= marked })
}

// save commits what is marked, unless enough, called with s.mu held, says that there is no need to.
func (s *Session[T]) save(ctx context.Context, why purpose, enough func() bool) error {
	if err := s.begin(ctx, why); err != nil {
		return err
	}
	defer s.c.end()
	s.mu.Lock()
	if enough != nil && enough() {
		s.mu.Unlock()
		return nil
	}
	snap, err := s.snapshot()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.c.commit(ctx, snap.packed(), nil, s.landing(snap))
}

// begin is the committer's, for a session: it refuses when the session is over, and learns of
// what was reported.
func (s *Session[T]) begin(ctx context.Context, why purpose) error {
	if why != closingSave {
		s.mu.Lock()
		over := s.over()
		s.mu.Unlock()
		if over {
			return s.whyOver()
		}
	}
	err := s.c.begin(ctx, why)
	switch settled, ok := errors.AsType[*SettledError](err); {
	case ok:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.unreported = nil
		s.announce()
		return settled
	case err == nil || err == errUnreported || errors.Is(err, ErrOutcomeUnknown):
		return err
	}
	return wrap("save", s.c.key, fmt.Errorf("%w: %w", store.ErrNotApplied, err))
}

// over reports whether nothing can be saved any more, nor is there anything left to report. It
// is called with s.mu held.
func (s *Session[T]) over() bool {
	return s.closed || s.c.lease.Lost() != nil && s.unreported == nil
}

func (s *Session[T]) whyOver() error {
	why := ErrClosed
	if lost := s.c.lease.Lost(); lost != nil && lost.Reason != lease.Released {
		why = lost
	}
	return wrap("save", s.c.key, fmt.Errorf("%w: %w", store.ErrNotApplied, why))
}

// snapshot is what a save takes from the session.
type snapshot struct {
	version     store.Version
	state       []byte // nil: none
	contentType string
	carried     *store.State // of a stream: the state of the version before; nil: none
	marked      int64        // how many records it holds
}

// packed compresses the state, after the lock was given up.
func (s snapshot) packed() store.Version {
	if s.state != nil {
		s.version.State = packed(s.state, s.contentType)
	} else if s.carried != nil {
		s.version.State = s.carried
	}
	return s.version
}

// errUnsavable: saving again the same will not go better.
var errUnsavable = errors.New("the state cannot be saved")

func (s *Session[T]) unsavable(err error) error {
	return wrap("save", s.c.key, fmt.Errorf("%w: %w: %w", store.ErrNotApplied, errUnsavable, err))
}

// snapshot encodes the state and takes what belongs to it. It is called with s.mu held, and
// by who has the committer's turn.
func (s *Session[T]) snapshot() (snapshot, error) {
	if s.torn {
		return snapshot{}, s.unsavable(errors.New("an update did not return, and left it belonging to no cursor"))
	}
	snap := snapshot{marked: s.marked, contentType: s.codec.ContentType(), version: store.Version{Content: store.Content{
		Cursor: s.cursor, Finished: s.window.ranges(), Processed: s.processed, Failed: s.failed,
		Identity: s.from.identity, Schema: s.opts.Schema,
	}}}
	if err := asText(&snap.version); err != nil {
		return snapshot{}, s.unsavable(err)
	}
	if err := s.inOrder(s.cursor); err != nil {
		return snapshot{}, err
	}
	switch any(s.state).(type) {
	case struct{}:
	case Stream:
		snap.carried = s.kept.State
	default:
		if s.encodedAt != s.marked || s.encoded == nil {
			data, err := s.codec.Marshal(s.state)
			if err != nil {
				return snapshot{}, s.unsavable(err)
			}
			s.encoded = data
		}
		snap.state, s.encoded = s.encoded, nil
	}
	s.taken = s.marked
	select {
	case <-s.wake: // whoever asked for a save has it with this one
	default:
	}
	return snap, nil
}

// asText refuses what not every engine, nor the archive, could give back as it was.
func asText(v *store.Version) error {
	texts := []string{v.Cursor, v.Identity}
	for _, r := range v.Finished {
		texts = append(texts, r.First, r.Last)
	}
	for _, text := range texts {
		if !utf8.ValidString(text) {
			return fmt.Errorf("%.80q is not valid UTF-8, which cursors and identities must be; base64 makes text of bytes", text)
		}
	}
	return nil
}

// inOrder holds the cursor to the order that the job declared.
func (s *Session[T]) inOrder(cursor string) error {
	before := s.c.base.Cursor
	afresh := s.c.first && s.from.checkpoint == nil // the version before is not what the session goes on from
	if s.opts.Order == nil || cursor == "" || before == "" || afresh || s.opts.Order(cursor, before) >= 0 {
		return nil
	}
	return wrap("save", s.c.key, fmt.Errorf("%w: %w", store.ErrNotApplied, &RefusedError{
		Key: s.c.key, What: "cursor", Have: before, Want: cursor, Hint: "a save must not move it backward",
	}))
}

// landing is told what became of a save.
func (s *Session[T]) landing(snap snapshot) func(landed bool) {
	return func(landed bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.landed(snap, landed)
	}
}

// landed takes note of what became of a save. It is called with s.mu held.
func (s *Session[T]) landed(snap snapshot, landed bool) {
	if landed {
		s.saved, s.kept = max(s.saved, snap.marked), s.c.base
	} else {
		s.taken = s.saved
	}
	s.announce()
}
