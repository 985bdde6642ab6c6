package checkpoint

import (
	"reflect"
	"time"
)

// Mark records that everything up to and including the record at cursor is processed, and changes
// the state in the same step. So a saved state always belongs to its cursor. The cursor is text in
// UTF-8. Mark counts one record as processed. update may be nil; it must not keep its argument. It
// may call the methods that read the session. A method that marks, saves or closes the session
// panics if an update calls it.
//
// Mark does not wait for the store while fewer than Options.MaxUnsaved records are unsaved. Past
// that it waits for a save, or for the end of the session's context. That context also ends if the
// store answers no write for three times the timeout of one (at most 30 s) while a mark waits. Mark
// allocates nothing. After the lease is lost or the session is closed it does nothing: Run or Close
// returns the cause. After the caller's context has ended it still records, and Close saves that.
//
// Mark may be called from any goroutine. The cursor is then that of the last call. If records
// finish out of order, use [Session.Start].
//
// An empty cursor after another one would start the job again from the beginning. Mark refuses it:
// it changes nothing, the session's context is cancelled with a [*RefusedError], and later marks do
// nothing. [Namespace.Reset] is the way to start again.
//
// If update panics, the mark is not made. The marks before it are kept if T holds no pointer, map,
// slice or interface: the state is then as it was before update. Otherwise update may have left the
// state half changed, nothing of it can be saved, and the marks since the last save are lost. The
// closing save says how many they are.
func (s *Session[T]) Mark(cursor string, update func(*T)) { s.mark(cursor, 1, 0, update) }

// MarkFailed is [Session.Mark] for a record that counts as failed. It is not worked on again.
func (s *Session[T]) MarkFailed(cursor string, update func(*T)) { s.mark(cursor, 0, 1, update) }

// MarkBatch is [Session.Mark] for many records at once: cursor is that of the last record, and the
// counts are added to those of the checkpoint. Negative counts are taken as 0.
func (s *Session[T]) MarkBatch(cursor string, processed, failed int64, update func(*T)) {
	s.mark(cursor, max(processed, 0), max(failed, 0), update)
}

func (s *Session[T]) mark(cursor string, processed, failed int64, update func(*T)) {
	s.lock()
	defer s.mu.Unlock()
	if (s.blocked || s.c.lease.Over() || s.marked-s.saved >= s.mostUnsaved) && !s.admit() {
		return
	}
	if s.restarts(cursor) {
		s.drop()
		return
	}
	if s.window.idle() {
		s.change(update)
		s.move(cursor, processed, failed)
	} else {
		number, ok := s.start(cursor, time.Time{})
		if !ok {
			return // an earlier session counted it
		}
		s.change(update)
		s.complete(number, processed, failed)
	}
	s.count(processed + failed)
}

// change applies update. If update panics, a flat state is put back. Any other state belongs to no
// cursor any more, and the version before is saved again.
func (s *Session[T]) change(update func(*T)) {
	if update == nil {
		return
	}
	s.torn = true
	if s.flat {
		before := s.state
		defer func() {
			if s.torn {
				s.state, s.torn = before, false
			}
		}()
	}
	update(&s.state)
	s.torn = false
}

// isFlat reports whether a copy of a value of type t shares nothing that an update could change.
func isFlat(t reflect.Type) bool {
	switch kind := t.Kind(); kind {
	case reflect.Struct:
		for i := range t.NumField() {
			if !isFlat(t.Field(i).Type) {
				return false
			}
		}
		return true
	case reflect.Array:
		return isFlat(t.Elem())
	default:
		return kind == reflect.String || kind >= reflect.Bool && kind <= reflect.Complex128
	}
}

// restarts reports whether cursor is empty, and the job is somewhere, or has records in hand. It is
// called with s.mu held.
func (s *Session[T]) restarts(cursor string) bool {
	return cursor == "" && (s.cursor != "" || len(s.window.records) > 0)
}

// emptied is the error of an empty cursor. It is called with s.mu held.
func (s *Session[T]) emptied() error {
	return &RefusedError{Key: s.c.key, What: "cursor", Have: s.cursor,
		Hint: "an empty cursor would start the job again from the beginning; reset the checkpoint to do that"}
}

// drop ends the session because of a mark that was not made. It is called with s.mu held.
func (s *Session[T]) drop() {
	s.dropped = s.emptied()
	s.fail(s.dropped)
	s.announce()
}

// move moves the cursor, and adds to the counts. It is called with s.mu held.
func (s *Session[T]) move(cursor string, processed, failed int64) {
	s.view.Lock()
	s.cursor = cursor
	s.processed += processed
	s.failed += failed
	s.view.Unlock()
}

// count counts what was marked, and wakes autosave if enough is unsaved.
func (s *Session[T]) count(marked int64) {
	s.marked += max(marked, 1) // a mark of no records is also a mark
	if s.watched {
		s.c.lease.Progress()
	}
	if s.marked-s.taken >= s.every {
		s.wakeSaver()
	}
}

func (s *Session[T]) wakeSaver() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// admit waits until a mark may be made, and reports false if no mark may be made any more. It is
// called with s.mu held, and unlocks s.mu while it waits.
func (s *Session[T]) admit() bool {
	for {
		var stopped <-chan struct{}
		switch {
		case s.closed || s.dropped != nil || s.c.lease.Lost() != nil:
			return false
		case s.unreported != nil:
			s.fail(s.unreported)
			return false
		case s.stepping: // the outcome of a save with the caller's writes decides what the state is
		case s.marked-s.saved >= s.mostUnsaved:
			if s.ctx.Err() != nil {
				return true // Close saves it
			}
			if err := s.c.unanswered(); err != nil {
				s.fail(err)
				return true
			}
			stopped = s.ctx.Done()
			s.wakeSaver()
			timer := time.NewTimer(s.c.timeout) // then look again whether the store answers
			s.await(stopped, timer.C)
			timer.Stop()
			continue
		default:
			return true
		}
		s.await(stopped, nil)
	}
}

// await unlocks s.mu until something has changed, the lease is lost, stopped is closed, or again says
// that it is time to look again.
func (s *Session[T]) await(stopped <-chan struct{}, again <-chan time.Time) {
	changed := s.changed
	s.waiting++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.waiting--
	}()
	select {
	case <-changed:
	case <-stopped:
	case <-again:
	case <-s.c.lease.Context().Done():
	}
}

// announce wakes the calls that wait in await. It is called with s.mu held.
func (s *Session[T]) announce() {
	if s.waiting > 0 {
		close(s.changed)
		s.changed = make(chan struct{})
	}
	s.blocked = s.closed || s.dropped != nil || s.unreported != nil || s.stepping
}
