package checkpoint

import (
	"context"
	"errors"
	"io"

	"github.com/milepost-dev/milepost/store"
)

// Step is what one transactional save does: all of it, or nothing.
type Step[T any] struct {
	Cursor    string
	Processed int64 // added to the counts
	Failed    int64
	Update    func(*T) // may be nil
	Writes    []store.Write
}

// SaveStep moves cursor, counts and state, and saves them together with the caller's own writes, in
// one transaction. The writes are made by the engine's constructors (dynamostore.Put,
// sqlitestore.Exec, …), at most [store.MaxWrites].
//
// Until its outcome is known, marks wait. On a definite error nothing of the step is left, in the store or in
// the session: a condition of the caller's that did not hold is a [*store.WriteError] with the write's index and
// what was found; the others are those of [Session.Save]. After one that matches
// [ErrOutcomeUnknown] the next call of a method that saves returns a [*SettledError], which says whether
// the step landed, and session and store agree from then on; a mark before that ends the session.
func (s *Session[T]) SaveStep(ctx context.Context, step Step[T]) error {
	if err := s.begin(ctx, writesSave); err != nil {
		return err
	}
	defer s.c.end()
	snap, undo, err := s.take(step)
	if err != nil {
		return err
	}
	return s.commitStep(ctx, snap, undo, nil, step.Writes)
}

// commitStep commits what take took, with the state that write writes, if it is not nil.
func (s *Session[T]) commitStep(ctx context.Context, snap snapshot, undo func(), write func(io.Writer) error, writes []store.Write) error {
	returned := false
	defer func() {
		if !returned { // write panicked
			s.mu.Lock()
			defer s.mu.Unlock()
			undo()
			s.stepping = false
			s.announce()
		}
	}()
	err := s.c.commitDraft(ctx, draft{next: snap.packed(), write: write, typed: snap.contentType, writes: writes, after: func(landed bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !landed {
			undo()
		}
		s.stepping = false
		s.landed(snap, landed)
	}})
	returned = true
	if errors.Is(err, ErrOutcomeUnknown) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stepping, s.unreported = false, err
		s.announce()
	}
	return err
}

// take applies the step and takes a snapshot; undo takes the step back.
func (s *Session[T]) take(step Step[T]) (snap snapshot, undo func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over() {
		return snap, nil, s.whyOver()
	}
	undo, err = s.remember(step.Update != nil)
	if err != nil {
		return snap, nil, err
	}
	s.change(step.Update)
	s.cursor = step.Cursor
	s.processed += max(step.Processed, 0)
	s.failed += max(step.Failed, 0)
	s.count(0, 0)
	if snap, err = s.snapshot(); err != nil {
		undo()
		return snap, nil, err
	}
	s.stepping = true
	s.announce()
	return snap, undo, nil
}

// remember returns what puts the session back to where it is now. An update may change
// anything that the state points to, so the state is put back by encoding and decoding.
func (s *Session[T]) remember(deep bool) (undo func(), err error) {
	cursor, processed, failed, state := s.cursor, s.processed, s.failed, s.state
	var encoded []byte
	if deep {
		if encoded, err = s.codec.Marshal(s.state); err != nil {
			return nil, s.unsavable(err)
		}
	}
	return func() {
		s.cursor, s.processed, s.failed, s.state = cursor, processed, failed, state
		if deep {
			var before T
			s.torn = s.codec.Unmarshal(encoded, &before) != nil
			s.state = before
		}
	}, nil
}
