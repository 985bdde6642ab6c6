package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/milepost-dev/milepost/internal/retries"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// save is one save, from what the caller gives to its outcome.
type save struct {
	commit store.Commit // at first Next has the content; commit adds the rest

	// The state is in one of three places: state, as the codec encoded it; what write writes; or
	// commit.Next. contentType is the type of the first two.
	state       []byte
	write       func(io.Writer) error
	contentType string

	before  func(context.Context, *store.Version) error // called before the first attempt; its error ends the save
	settled func(landed bool)                           // called once, when the outcome is known; may be nil
	retract func(context.Context) error                 // removes what points at the body, after a failure; may be nil

	marked int64  // how many marked records the save has
	undo   func() // puts the session back to before the step; nil: there is no step

	body      string // the body that was made for the save; "": none
	reported  bool   // the outcome must be reported to the caller
	ambiguous bool   // an attempt had no definite answer; it stays so until the outcome is known
	tries     retries.Tries
	refused   bool // an unexplained definite error was seen once
	refusals  int  // how often the caller's own write was refused after an ambiguous attempt

	began  time.Time       // when the first attempt was sent; zero: none was
	ctx    context.Context // of the call that sent it
	failed string          // the outcome if it fails; "": savedError
}

// newSave returns a save of next's content. The committer adds number, ids and times.
func newSave(next store.Version) *save { return &save{commit: store.Commit{Next: next}} }

// Save sets cursor and state, as a mark would, and saves them with the counts as they are. It
// returns nil once they are durable. That takes one request to the store if the copy of the version
// before is written by then. (The first save of a session also makes sure of the version that the
// session started from.) The session keeps state: what it points to must not change any more.
//
// An error that matches [ErrOutcomeUnknown] says that ctx or the lease ended before the outcome was
// known. The next call of a method that saves settles it first. If either save carries the caller's
// own writes, that call returns a [*SettledError]. Any other error is definite: this call has saved
// nothing and never will. It matches [lease.ErrLost] if the lease is lost,
// [lease.ErrStoreRegressed] if the store has gone backward, and [store.ErrTooLarge] if the record
// passes the store's limit, and [ErrRefused] if the cursor is empty and was not before. What was
// marked stays marked, for the next save.
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

// set is a mark that waits for nothing except a step in flight. It returns how many records are
// marked.
func (s *Session[T]) set(cursor string, state T, encoded []byte) (int64, error) {
	s.lock()
	defer s.mu.Unlock()
	for s.stepping && !s.over() {
		s.await(nil, nil)
	}
	if s.over() {
		return 0, s.whyOver()
	}
	if cursor == "" && s.cursor != "" {
		return 0, s.notSaved(s.emptied())
	}
	if s.unreported == nil { // otherwise the save only reports it
		s.state, s.torn = state, false
		s.move(cursor, 0, 0)
		s.count(1)
		s.encoded, s.encodedAt = encoded, s.marked
	}
	return s.marked, nil
}

// Flush saves what was marked. It returns nil once everything that was marked before the call is
// durable. Its errors are those of [Session.Save].
func (s *Session[T]) Flush(ctx context.Context) error {
	s.lock()
	marked := s.marked
	s.mu.Unlock()
	return s.saveUpTo(ctx, marked)
}

func (s *Session[T]) saveUpTo(ctx context.Context, marked int64) error {
	return s.save(ctx, plainSave, func() bool { return s.saved >= marked })
}

// save saves what is marked. It does nothing if enough, which is called with s.mu held, says so.
func (s *Session[T]) save(ctx context.Context, why purpose, enough func() bool) error {
	if err := s.begin(ctx, why); err != nil {
		return err
	}
	defer s.c.end()
	sv, err := s.takeUnless(enough)
	if sv == nil || err != nil {
		return err
	}
	return s.c.commit(ctx, sv)
}

// takeUnless takes what is marked. It returns nil if enough, which is called with s.mu held, says
// so.
func (s *Session[T]) takeUnless(enough func() bool) (*save, error) {
	s.mu.Lock()
	defer s.mu.Unlock() // even if the codec panics
	if enough() {
		return nil, nil
	}
	return s.take()
}

// begin waits for the committer's turn. It fails if the session is over. It notes that the outcome
// of an earlier save is reported to the caller.
func (s *Session[T]) begin(ctx context.Context, why purpose) error {
	if why != closingSave {
		if err := s.isOver(); err != nil {
			return err
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

// over reports whether nothing can be saved any more and nothing is left to report. It is called
// with s.mu held.
func (s *Session[T]) over() bool {
	return s.closed || s.dropped != nil || s.c.lease.Lost() != nil && s.unreported == nil
}

func (s *Session[T]) isOver() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over() {
		return s.whyOver()
	}
	return nil
}

// whyOver returns why nothing can be saved any more. It is called with s.mu held.
func (s *Session[T]) whyOver() error {
	why := ErrClosed
	if s.dropped != nil && !s.closed {
		why = s.dropped
	}
	if lost := s.c.lease.Lost(); lost != nil && lost.Reason != lease.Released {
		why = lost
	}
	return s.notSaved(why)
}

func (s *Session[T]) notSaved(why error) error {
	return wrap("save", s.c.key, fmt.Errorf("%w: %w", store.ErrNotApplied, why))
}

// errUnsavable: saving the same again is of no use.
var errUnsavable = errors.New("the state cannot be saved")

func (s *Session[T]) unsavable(err error) error {
	return wrap("save", s.c.key, fmt.Errorf("%w: %w: %w", store.ErrNotApplied, errUnsavable, err))
}

// take encodes the state and takes what belongs to it. It is called with s.mu held, by the owner
// of the committer's turn.
func (s *Session[T]) take() (*save, error) {
	if s.torn {
		return nil, s.unsavable(fmt.Errorf("an update did not return and has left the state half changed: %d records that were marked since version %d are lost",
			s.marked-s.saved, s.c.base.Number))
	}
	content := store.Content{
		Cursor: s.cursor, Finished: s.window.ranges(), Processed: s.processed, Failed: s.failed,
		Identity: s.from.identity, Schema: s.opts.Schema,
	}
	if err := validText(&content); err != nil {
		return nil, s.unsavable(err)
	}
	if err := s.inOrder(s.cursor); err != nil {
		return nil, err
	}
	sv := newSave(store.Version{Content: content})
	sv.contentType, sv.marked = s.codec.ContentType(), s.marked
	sv.settled = func(landed bool) { s.settled(sv, landed) }
	switch any(s.state).(type) {
	case struct{}:
		if s.opts.KeepState {
			sv.commit.Next.State = s.kept.State
		}
	case StreamedState:
		sv.commit.Next.State = s.kept.State
	default:
		if s.encodedAt != s.marked || s.encoded == nil {
			data, err := s.codec.Marshal(s.state)
			if err != nil {
				return nil, s.unsavable(err)
			}
			s.encoded = data
		}
		sv.state, s.encoded = s.encoded, nil
	}
	s.taken = s.marked
	select {
	case <-s.wake: // this save is also the save that autosave was woken for
	default:
	}
	return sv, nil
}

// validText refuses text that not every engine and archive can give back unchanged.
func validText(c *store.Content) error {
	texts := []string{c.Cursor, c.Identity}
	for _, r := range c.Finished {
		texts = append(texts, r.First, r.Last)
	}
	for _, text := range texts {
		if !utf8.ValidString(text) {
			return fmt.Errorf("%.80q is not valid UTF-8: cursors and identities must be; base64 turns bytes into text", text)
		}
	}
	return nil
}

// inOrder refuses a cursor that is before the last one, in the order that the job declared.
func (s *Session[T]) inOrder(cursor string) error {
	before := s.c.base.Cursor
	fresh := s.c.first && s.from.checkpoint == nil // nothing was resumed
	if s.opts.Order == nil || cursor == "" || before == "" || fresh || s.opts.Order(cursor, before) >= 0 {
		return nil
	}
	return wrap("save", s.c.key, fmt.Errorf("%w: %w", store.ErrNotApplied, &RefusedError{
		Key: s.c.key, What: "cursor", Have: before, Want: cursor, Hint: "a save must not move it backward",
	}))
}

// settled notes the outcome of a save.
func (s *Session[T]) settled(sv *save, landed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sv.undo != nil {
		s.stepping = false
		if !landed {
			sv.undo()
		}
	}
	if landed {
		s.saved = max(s.saved, sv.marked)
		s.view.Lock()
		s.kept = s.c.base
		s.view.Unlock()
	} else {
		s.taken = s.saved
	}
	s.announce()
}
