package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/kinds"
)

// Protocol is the number of the protocol in docs/agent-protocol.md.
const Protocol = 1

// Bounds of a conversation.
const (
	mostWaiting  = 1000             // requests outside sessions at once
	readPatience = 10 * time.Second // for them, when the client is gone
	sendPatience = time.Second      // for a client that sends nothing more and does not read
)

// errCancelled is why a request ended that the client has cancelled.
var errCancelled = fmt.Errorf("cancelled by the client: %w", kinds.ErrInterrupted)

// Conversation is one client's, from the first line to the last.
type Conversation struct {
	agent *Agent
	own   *session // of milepost run: the session that the client works on; it opens none
	out   *outbox

	line    int64 // the number of the line being read
	greeted bool

	life    context.Context // of requests
	kill    context.CancelFunc
	opening context.Context // of those that wait for a lease
	leave   context.CancelCauseFunc
	beside  atomic.Int64   // requests outside sessions
	serving sync.WaitGroup // of requests, of sessions that were opened, and of who watches them

	mu       sync.Mutex
	requests map[string]*request // not answered yet, by id
	sessions map[int64]*session
	opened   int64 // how many
	ending   bool
}

// request is one that is answered by its id.
type request struct {
	c       *Conversation
	id      []byte
	ctx     context.Context
	cancel  context.CancelCauseFunc
	migrate chan migrated // of an open that waits for the client to migrate
	after   func()        // done when it was answered
}

// newConversation answers to w. own may be nil.
func newConversation(a *Agent, own *session, w io.Writer) *Conversation {
	c := &Conversation{
		agent: a, own: own, out: newOutbox(w),
		sessions: map[int64]*session{}, requests: map[string]*request{},
	}
	if own != nil {
		c.sessions[own.id] = own
	}
	c.life, c.kill = context.WithCancel(context.Background())
	c.opening, c.leave = context.WithCancelCause(c.life)
	return c
}

// Read carries out the lines of a client, until there are no more. An error is the reader's.
func (c *Conversation) Read(r io.Reader) error {
	lines := newLineReader(r, MaxLine)
	var f fields
	for {
		line, err := lines.next()
		c.line++
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, errLongLine):
			c.refuse(c.line, err)
		case err != nil:
			return fmt.Errorf("read from the client: %w", err)
		default:
			c.handle(&f, line)
		}
	}
}

// handle carries out a line, or hands it to who will.
func (c *Conversation) handle(f *fields, line []byte) {
	s := scanner{line: line}
	if s.space(); s.at == len(line) {
		return
	}
	if err := f.scan(line); err != nil {
		c.refuse(c.line, err)
		return
	}
	method, id := f.required("method"), f.id("id")
	if f.err != nil {
		c.refuse(c.line, f.err)
		return
	}
	if do, ok := silent[method]; ok {
		if id != nil {
			c.answer(id, nil, kinds.Usagef("%s has no reply, and takes no id", method))
		} else if err := c.admit(method); err != nil {
			c.refuse(c.line, err)
		} else if err := do(c, f, len(line)); err != nil {
			c.refuse(c.line, err)
		}
		return
	}
	if id == nil {
		c.refuse(c.line, fmt.Errorf("a request %q has an id", method))
		return
	}
	if err := c.begin(method, id, f); err != nil {
		c.answer(id, nil, kinds.Usage(err))
	}
}

// admit reports whether the client may ask for method.
func (c *Conversation) admit(method string) error {
	if !c.greeted && method != "hello" {
		return errors.New("say hello first")
	}
	return nil
}

// begin plans a request and starts it. Its error says that nothing was done.
func (c *Conversation) begin(method string, id []byte, f *fields) error {
	plan, ok := methods[method]
	if !ok {
		return fmt.Errorf("unknown method %q", method)
	}
	if err := c.admit(method); err != nil {
		return err
	}
	r, err := c.newRequest(id)
	if err != nil {
		return err
	}
	work := plan(r, f)
	err = f.end()
	if err == nil && work.in != nil && !work.in.push(task{do: func() { r.answer(work.do(r.ctx)) }}, len(id)) {
		err = errors.New("the session is closed")
	}
	if beside := work.in == nil && !work.atOnce; err == nil && beside && c.beside.Add(1) > mostWaiting {
		c.beside.Add(-1)
		err = fmt.Errorf("%d requests outside sessions wait to be answered", mostWaiting)
	}
	if err != nil {
		r.forget()
		c.serving.Done()
		return err
	}
	switch {
	case work.in != nil:
	case work.atOnce:
		r.answer(work.do(r.ctx))
	default:
		go func() {
			r.answer(work.do(r.ctx))
			c.beside.Add(-1)
		}()
	}
	return nil
}

// work is what a request is to do: in a queue, at once, or beside all else. Its result is an object as JSON.
type work struct {
	in     *queue
	atOnce bool
	do     func(ctx context.Context) ([]byte, error)
}

func (c *Conversation) newRequest(id []byte) (*request, error) {
	r := &request{c: c, id: append([]byte{}, id...), migrate: make(chan migrated, 1)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return nil, errLeaving
	}
	if c.requests[string(id)] != nil {
		return nil, fmt.Errorf("id %s is that of a request that was not answered yet", id)
	}
	r.ctx, r.cancel = context.WithCancelCause(c.life)
	c.requests[string(id)] = r
	c.serving.Add(1)
	return r, nil
}

// forget ends a request: its id is free.
func (r *request) forget() {
	r.c.mu.Lock()
	delete(r.c.requests, string(r.id))
	r.c.mu.Unlock()
	r.cancel(nil)
}

func (r *request) answer(result []byte, err error) {
	defer r.c.serving.Done()
	if err != nil && errors.Is(context.Cause(r.ctx), errCancelled) && errors.Is(err, context.Canceled) {
		err = fmt.Errorf("%w: %w", errCancelled, err)
	}
	r.forget()
	r.c.answer(r.id, result, err)
	if r.after != nil {
		r.after()
	}
}

func (c *Conversation) answer(id, result []byte, err error) { c.out.send(replyLine(id, result, err)) }

// refuse tells of a line that cannot be answered by its id.
func (c *Conversation) refuse(line int64, err error) {
	c.out.send(replyLine(nil, nil, &lineError{Line: line, Err: err}))
}

func (c *Conversation) push(event any) { c.out.send(toJSON(event)) }

// add takes a session in and serves it, unless the conversation is at its end.
func (c *Conversation) add(opened *checkpoint.Session[json.RawMessage], o *openRequest, cancel context.CancelCauseFunc) *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return nil
	}
	c.opened++
	s := newSession(c.opened, opened, o.options.Lease.Duration, cancel)
	s.whole = o.whole
	c.sessions[s.id] = s
	c.serving.Go(func() {
		s.serve()
		c.mu.Lock()
		delete(c.sessions, s.id)
		c.mu.Unlock()
	})
	return s
}

// watch pushes what happens to a session, until the conversation ends.
func (c *Conversation) watch(s *session) {
	c.serving.Go(func() { s.watch(c.opening.Done(), func(e sessionEvent) { c.push(e) }) })
}

// session is the one that a request names.
func (c *Conversation) session(f *fields) *session {
	id := f.whole("session", 0, 1, 1<<53)
	if !f.has("session") {
		f.fail("field %q is missing", "session")
	}
	c.mu.Lock()
	s := c.sessions[id]
	c.mu.Unlock()
	if s == nil && f.err == nil {
		f.fail("session %d is not open", id)
	}
	return s
}

// End closes the sessions that the client has left open, and waits for all that was begun. Its error is
// that of closing them.
func (c *Conversation) End() error {
	c.leave(errLeaving)
	defer c.kill()
	defer time.AfterFunc(readPatience, c.kill).Stop()
	defer time.AfterFunc(sendPatience, c.out.giveUp).Stop()

	c.mu.Lock()
	c.ending = true
	var mu sync.Mutex
	var failed error
	for _, s := range c.sessions {
		if s == c.own {
			continue
		}
		s.cancel(errLeaving)
		go s.queue.push(task{do: func() {
			if s.closed {
				return
			}
			err := s.close(context.Background(), errClientGone)
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
		}}, 0)
	}
	c.mu.Unlock()
	c.serving.Wait()
	c.out.close()
	return failed
}
