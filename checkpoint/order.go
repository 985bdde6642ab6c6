package checkpoint

import "time"

// Record is one record that was started and may finish out of order.
type Record[T any] struct {
	s        *Session[T]
	number   int64
	finished bool
}

// Start says that the job works on the record at cursor from now on. Call it in the order of the
// input, with a cursor that no other record has. The records may then finish in any order. The
// checkpoint's cursor is the low-water mark: everything up to it is finished. The records finished
// above it are saved, too, because counts and state contain them. After a resume Start returns nil
// and false for such a record: skip it.
//
// Start waits while Options.MaxAhead records are between the record that holds back the low-water
// mark and this one. It also returns false once the session's context has ended: then start
// nothing. It refuses an empty cursor as [Session.Mark] does.
//
// Each record must be Done or Failed before the session ends without an error: see [ErrUnfinished].
func (s *Session[T]) Start(cursor string) (*Record[T], bool) {
	s.lock()
	defer s.mu.Unlock()
	for {
		if s.closed || s.ctx.Err() != nil {
			return nil, false
		}
		if s.restarts(cursor) {
			s.drop()
			return nil, false
		}
		if len(s.window.records) < s.mostAhead {
			break
		}
		s.await(s.ctx.Done(), nil)
	}
	number, ok := s.start(cursor, time.Now())
	if !ok {
		return nil, false
	}
	return &Record[T]{s: s, number: number}, true
}

// start adds a record to the window and returns its number, or false if an earlier session has
// finished the record. It is called with s.mu held.
func (s *Session[T]) start(cursor string, now time.Time) (number int64, ok bool) {
	s.view.Lock()
	defer s.view.Unlock()
	if s.window.skips(cursor) {
		s.advance()
		return 0, false
	}
	return s.window.start(cursor, now), true
}

// complete notes that a record of the window is finished. It is called with s.mu held.
func (s *Session[T]) complete(number, processed, failed int64) {
	s.view.Lock()
	s.window.finish(number)
	s.advance()
	s.processed += processed
	s.failed += failed
	s.view.Unlock()
}

// Done says that the record is processed, and changes the state in the same step, as
// [Session.Mark] does. The second call does nothing.
func (r *Record[T]) Done(update func(*T)) { r.s.finish(r, 1, 0, update) }

// Failed is [Record.Done] for a record that counts as failed. It is not worked on again.
func (r *Record[T]) Failed(update func(*T)) { r.s.finish(r, 0, 1, update) }

// Holding returns the record that holds back the low-water mark, and when it was started. If there
// is none, it returns an empty cursor and the zero time.
func (s *Session[T]) Holding() (cursor string, since time.Time) {
	s.view.Lock()
	defer s.view.Unlock()
	if r, ok := s.window.holding(); ok {
		return r.first, r.since
	}
	return "", time.Time{}
}

func (s *Session[T]) finish(r *Record[T], processed, failed int64, update func(*T)) {
	s.lock()
	defer s.mu.Unlock()
	if (s.blocked || s.c.lease.Over() || s.marked-s.saved >= s.mostUnsaved) && !s.admit() {
		return
	}
	if r.finished {
		return
	}
	r.finished = true
	s.change(update)
	s.complete(r.number, processed, failed)
	s.count(processed + failed)
}

// advance moves the cursor to the low-water mark. It is called with s.mu and s.view held.
func (s *Session[T]) advance() {
	if mark, moved := s.window.advance(); moved {
		s.cursor = mark
		s.announce()
	}
}
