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
	readPatience = 10 * time.Second // for these requests, when the client is gone
	sendPatience = time.Second      // for a client that has stopped sending and does not read
)

// errCancelled is the cause of a request that the client has cancelled.
var errCancelled = fmt.Errorf("cancelled by the client: %w", kinds.ErrInterrupted)

// Conversation is the conversation with one client, from its first line to its last.
type Conversation struct {
	agent *Agent
	own   *session // under milepost run: the session of the client, which opens no other
	out   *outbox

	line    int64 // the number of the line being read
	greeted bool

	life    context.Context // the context of requests
	kill    context.CancelFunc
	opening context.Context // the context of requests that wait for a lease
	leave   context.CancelCauseFunc
	outside atomic.Int64   // requests outside sessions
	serving sync.WaitGroup // requests, opened sessions, and the goroutines that watch them

	mu       sync.Mutex
	requests map[string]*request // the unanswered ones, by id
	sessions map[int64]*session
	opened   int64 // how many sessions were opened
	soon     bool  // sessions save soon
	ending   bool
}

// request is a request with an id, by which the agent answers it.
type request struct {
	c       *Conversation
	id      []byte
	ctx     context.Context
	cancel  context.CancelCauseFunc
	migrate chan migrated // for an open that waits for the client to migrate
	after   func()        // called after the answer
}

// newConversation returns a conversation that answers to w. own may be nil.
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

// Read carries out the lines of a client until there are no more. Its errors are those of r.
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

// handle carries out a line, or hands it to the goroutine that will.
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

// begin plans a request and starts it. If it returns an error, nothing was done.
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
	if isOutside := work.in == nil && !work.atOnce; err == nil && isOutside && c.outside.Add(1) > mostWaiting {
		c.outside.Add(-1)
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
			c.outside.Add(-1)
		}()
	}
	return nil
}

// work is what a request will do: in a queue, at once, or outside sessions. Its result is an object
// as JSON.
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
		return nil, fmt.Errorf("id %s belongs to a request that is not answered yet", id)
	}
	r.ctx, r.cancel = context.WithCancelCause(c.life)
	c.requests[string(id)] = r
	c.serving.Add(1)
	return r, nil
}

// forget ends a request, so that its id is free again.
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

// refuse reports a line that cannot be answered by an id.
func (c *Conversation) refuse(line int64, err error) {
	c.out.send(replyLine(nil, nil, &lineError{Line: line, Err: err}))
}

func (c *Conversation) push(event any) { c.out.send(toJSON(event)) }

// add adds a session and serves it, unless the conversation is at its end.
func (c *Conversation) add(opened *checkpoint.Session[json.RawMessage], o *openRequest, cancel context.CancelCauseFunc) *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return nil
	}
	c.opened++
	s := newSession(c.opened, opened, o.options.Lease.Duration, cancel)
	s.whole = o.whole
	if c.soon {
		s.SaveSoon()
	}
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

// session returns the session that a request names.
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

// SaveSoon lets all sessions save what is marked now, and what is marked later soon: this process may
// be killed. It does not wait.
func (c *Conversation) SaveSoon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.soon = true
	for _, s := range c.sessions {
		s.SaveSoon()
	}
}

// End closes the sessions that the client has left open, and waits for everything that was begun.
// Its error is that of closing the sessions.
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
