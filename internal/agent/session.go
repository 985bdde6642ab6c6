package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

var (
	// errClientGone ends a session whose client is gone and has not closed it.
	errClientGone = errors.New("the client is gone, and has not closed the session")

	// errLeaving ends every wait when the client is gone. Marks then wait for nothing.
	errLeaving = errors.New("the agent ends")
)

// Codec is the codec of the agent's sessions. It keeps the bytes of a state as they came. Nil is no
// state.
type Codec struct{}

// ContentType is that of [checkpoint.JSON].
func (Codec) ContentType() string { return checkpoint.JSON.ContentType() }

// Marshal returns the state, which must be a [json.RawMessage].
func (Codec) Marshal(v any) ([]byte, error) {
	state, ok := v.(json.RawMessage)
	if !ok {
		return nil, fmt.Errorf("a state as JSON is wanted, not a %T", v)
	}
	return state, nil // a state is never changed, only replaced
}

// Unmarshal copies data into v, a *[json.RawMessage].
func (Codec) Unmarshal(data []byte, v any) error {
	*v.(*json.RawMessage) = bytes.Clone(data)
	return nil
}

// mark is what a client reports of its progress.
type mark struct {
	cursor            string
	hasCursor         bool
	processed, failed int64
	state             json.RawMessage // nil: it has not changed

	from *Conversation // the conversation that the line came from
	line int64
}

// session is a session that clients use. Its requests are carried out one after another.
type session struct {
	*checkpoint.Session[json.RawMessage]
	id     int64
	cancel context.CancelCauseFunc // ends the context that the session was opened with
	within time.Duration           // how long the session has when another run wants a handoff
	whole  bool                    // the session's cursors are integers

	queue  *queue
	starts *queue        // for the request start, which may wait for a later finish
	done   chan struct{} // closed when the session is being closed

	// Used only by the goroutine that serves the queue.
	state  json.RawMessage // as last marked
	unread bool            // the client knows nothing of the state that was resumed, and must not move away from it
	closed bool

	mu      sync.Mutex
	records map[string]*checkpoint.Record[json.RawMessage] // started and not finished
}

func newSession(id int64, s *checkpoint.Session[json.RawMessage], within time.Duration, cancel context.CancelCauseFunc) *session {
	return &session{
		Session: s, id: id, cancel: cancel, within: within, queue: newQueue(), starts: newQueue(), done: make(chan struct{}),
		state: s.State(), records: map[string]*checkpoint.Record[json.RawMessage]{},
	}
}

// inHand reports whether a record is started and not finished.
func (s *session) inHand() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.records) > 0
}

// serve carries out the tasks of the queue until it is closed.
func (s *session) serve() {
	var starting sync.WaitGroup
	starting.Go(func() { s.starts.serve(func(t *task) { t.do() }) })
	s.queue.serve(func(t *task) {
		if t.do != nil {
			t.do()
		} else if err := s.mark(&t.mark); err != nil {
			t.mark.from.refuse(t.mark.line, err)
		}
	})
	s.starts.close()
	starting.Wait()
}

// mark applies m.
func (s *session) mark(m *mark) error {
	if s.closed {
		return s.isClosed()
	}
	if s.whole && !isInteger(m.cursor) {
		return kinds.Usagef("cursor %q is not an integer, and the session has declared that its cursors are", m.cursor)
	}
	if err := s.mayMove(m); err != nil {
		return err
	}
	if m.state == nil {
		s.MarkBatch(m.cursor, m.processed, m.failed, nil)
		return nil
	}
	s.state = m.state
	state := m.state
	s.MarkBatch(m.cursor, m.processed, m.failed, func(to *json.RawMessage) { *to = state })
	return nil
}

// mayMove reports whether m may move the cursor. An empty cursor would start the job again from the
// beginning. A state that the client neither read nor replaced would belong to an older cursor.
func (s *session) mayMove(m *mark) error {
	switch {
	case m.cursor == "" && s.Cursor() != "":
		return kinds.Usagef("the cursor is empty, and was %q: that would start the job again from the beginning; to do that, use milepost reset", s.Cursor())
	case m.state != nil:
		s.unread = false
	case s.unread && m.cursor != s.Cursor():
		return &checkpoint.RefusedError{
			Key: store.Key{Namespace: s.Namespace(), Name: s.Name()}, What: "state", Have: fmt.Sprintf("of cursor %s", s.Cursor()), Want: "none",
			Hint: "this run has neither read it (milepost state) nor replaced it (--state); milepost run --keep-state keeps it as it is",
		}
	}
	return nil
}

// save applies a last mark and saves.
func (s *session) save(ctx context.Context, m mark) error {
	if s.closed {
		return s.isClosed()
	}
	if m.hasCursor {
		if err := s.mark(&m); err != nil {
			return err
		}
		return s.Flush(ctx)
	}
	if m.state != nil {
		s.state, s.unread = m.state, false
	}
	return s.Save(ctx, s.Cursor(), s.state)
}

func (s *session) isClosed() error { return kinds.Usagef("session %d is closed", s.id) }

// start waits until the record at cursor may begin, and reports whether to skip the record.
func (s *session) start(cursor string) (skip bool, err error) {
	s.mu.Lock()
	_, started := s.records[cursor]
	s.mu.Unlock()
	if started {
		return false, kinds.Usagef("the record at cursor %q was started and is not finished", cursor)
	}
	record, ok := s.Start(cursor)
	if !ok {
		if s.Context().Err() != nil {
			return false, fmt.Errorf("start the record at %q: %w", cursor, context.Cause(s.Context()))
		}
		return true, nil
	}
	s.mu.Lock()
	s.records[cursor] = record
	s.mu.Unlock()
	return false, nil
}

// finish finishes a record that was started.
func (s *session) finish(m *mark) error {
	if s.closed {
		return s.isClosed()
	}
	if err := s.mayMove(m); err != nil {
		return err
	}
	s.mu.Lock()
	record := s.records[m.cursor]
	delete(s.records, m.cursor)
	s.mu.Unlock()
	if record == nil {
		return kinds.Usagef("no record at cursor %q was started", m.cursor)
	}
	var update func(*json.RawMessage)
	if m.state != nil {
		s.state = m.state
		update = func(to *json.RawMessage) { *to = m.state }
	}
	if m.failed > 0 {
		record.Failed(update)
	} else {
		record.Done(update)
	}
	return nil
}

// close ends the session, with err as its outcome, and ends the queue.
func (s *session) close(ctx context.Context, err error) error {
	s.closed = true
	close(s.done)
	closeErr := s.Close(ctx, err)
	s.queue.close()
	return closeErr
}

// ended returns why the session has ended, or nil while it goes on.
func (s *session) ended() error {
	cause := context.Cause(s.Context())
	for _, own := range []error{checkpoint.ErrClosed, errLeaving, errStopped} {
		if errors.Is(cause, own) {
			return nil
		}
	}
	return cause
}

// sessionEvent is what the agent pushes about a session.
type sessionEvent struct {
	Event    string           `json:"event"`
	Session  int64            `json:"session"`
	WithinMS int64            `json:"within_ms,omitempty"`
	Error    *kinds.ErrorJSON `json:"error,omitempty"`
}

// watch pushes what happens to the session, each event at most once, until the session or stop is
// closed.
func (s *session) watch(stop <-chan struct{}, push func(sessionEvent)) {
	wanted := s.HandoffWanted()
	for {
		select {
		case <-wanted:
			wanted = nil
			push(sessionEvent{Event: "handoff_wanted", Session: s.id, WithinMS: s.within.Milliseconds()})
		case <-s.Context().Done():
			if err := s.ended(); err != nil {
				what := "session_failed"
				if errors.Is(err, lease.ErrLost) {
					what = "lease_lost"
				}
				push(sessionEvent{Event: what, Session: s.id, Error: toErrorJSON(err)})
			}
			return
		case <-s.done:
			return
		case <-stop:
			return
		}
	}
}

// isInteger reports whether a cursor is an integer, of any length.
func isInteger(cursor string) bool {
	digits := strings.TrimPrefix(cursor, "-")
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return false
		}
	}
	return digits != ""
}

// byInteger orders cursors that are integers. Other cursors, which an earlier job may have left,
// come before them.
func byInteger(a, b string) int {
	switch x, y := isInteger(a), isInteger(b); {
	case x && y:
		m, _ := new(big.Int).SetString(a, 10)
		n, _ := new(big.Int).SetString(b, 10)
		return m.Cmp(n)
	case x:
		return 1
	case y:
		return -1
	}
	return strings.Compare(a, b)
}
