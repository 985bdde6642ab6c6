package checkpoint

import (
	"context"
	"errors"

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
// Until the outcome is known, marks wait. After a definite error nothing of the step is left, in
// the store or in the session. If a condition of the caller's did not hold, the error is a
// [*store.WriteError] with the write's index and what was found. The other errors are those of
// [Session.Save]. After an error that matches [ErrOutcomeUnknown], the next call of a method that
// saves returns a [*SettledError], which says whether the step landed. From then on session and
// store agree. A mark before that ends the session.
func (s *Session[T]) SaveStep(ctx context.Context, step Step[T]) error {
	s.lock()
	s.mu.Unlock()
	if err := s.begin(ctx, writesSave); err != nil {
		return err
	}
	defer s.c.end()
	sv, err := s.takeStep(step)
	if err != nil {
		return err
	}
	sv.commit.Writes = step.Writes
	return s.commitStep(ctx, sv)
}

// commitStep commits what takeStep took. Until the outcome is known, marks wait.
func (s *Session[T]) commitStep(ctx context.Context, sv *save) error {
	returned := false
	defer func() {
		if !returned { // sv.write panicked
			s.settled(sv, false)
		}
	}()
	err := s.c.commit(ctx, sv)
	returned = true
	if errors.Is(err, ErrOutcomeUnknown) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stepping, s.unreported = false, err
		s.announce()
	}
	return err
}

// takeStep applies the step and takes a save of it, which can undo it.
func (s *Session[T]) takeStep(step Step[T]) (*save, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over() {
		return nil, s.whyOver()
	}
	if step.Cursor == "" && s.cursor != "" {
		return nil, s.notSaved(s.emptied())
	}
	undo, err := s.remember(step.Update != nil)
	if err != nil {
		return nil, err
	}
	changed := false
	defer func() {
		if !changed { // the update panicked
			undo()
		}
	}()
	s.change(step.Update)
	changed = true
	s.move(step.Cursor, max(step.Processed, 0), max(step.Failed, 0))
	s.count(1)
	sv, err := s.take()
	if err != nil {
		undo()
		return nil, err
	}
	sv.undo = undo
	s.stepping = true
	s.announce()
	return sv, nil
}

// remember returns what puts the session back to its present condition. An update may change
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
		s.view.Lock()
		s.cursor, s.processed, s.failed = cursor, processed, failed
		s.view.Unlock()
		s.state = state
		if deep {
			var before T
			s.torn = s.codec.Unmarshal(encoded, &before) != nil
			s.state = before
		}
	}, nil
}
