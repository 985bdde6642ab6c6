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
// nothing.
func (s *Session[T]) Start(cursor string) (*Record[T], bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.closed || s.ctx.Err() != nil {
			return nil, false
		}
		if len(s.window.records) < s.mostAhead {
			break
		}
		s.await(s.ctx.Done())
	}
	if s.window.skips(cursor) {
		s.advance()
		return nil, false
	}
	return &Record[T]{s: s, number: s.window.start(cursor, time.Now())}, true
}

// Done says that the record is processed, and changes the state in the same step, as
// [Session.Mark] does. The second call does nothing.
func (r *Record[T]) Done(update func(*T)) { r.s.finish(r, 1, 0, update) }

// Failed is [Record.Done] for a record that counts as failed. It is not worked on again.
func (r *Record[T]) Failed(update func(*T)) { r.s.finish(r, 0, 1, update) }

// Holding returns the record that holds back the low-water mark, and when it was started. If there
// is none, it returns an empty cursor and the zero time.
func (s *Session[T]) Holding() (cursor string, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.window.holding(); ok {
		return r.first, r.since
	}
	return "", time.Time{}
}

func (s *Session[T]) finish(r *Record[T], processed, failed int64, update func(*T)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if (s.blocked || s.lost.Load() || s.marked-s.saved >= s.mostUnsaved) && !s.admit() {
		return
	}
	if r.finished {
		return
	}
	r.finished = true
	s.change(update)
	s.window.finish(r.number)
	s.advance()
	s.count(processed, failed)
}

// advance moves the cursor to the low-water mark.
func (s *Session[T]) advance() {
	if mark, moved := s.window.advance(); moved {
		s.cursor = mark
		s.announce()
	}
}
