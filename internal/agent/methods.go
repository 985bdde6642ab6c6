package agent

import (
	"context"
	"encoding/json"
	"errors"
	"math"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/internal/survey"
)

// methods are the requests that get a reply. A plan takes everything that it needs from the fields,
// which are no longer valid when the work is done.
var methods map[string]func(r *request, f *fields) work

// silent are the requests that have no reply. Their errors name the line.
var silent map[string]func(c *Conversation, f *fields, size int) error

func init() {
	methods = map[string]func(*request, *fields) work{
		"hello": planHello, "cancel": planCancel, "open": planOpen,
		"save": planSave, "flush": planFlush, "start": planStart, "info": planInfo, "state": planState, "close": planClose,
		"get": planGet, "history": planHistory, "runs": planRuns,
		"rollback": planRollback, "reset": planReset, "set": planSet, "delete": planDelete, "pin": planPin, "unpin": planUnpin,
	}
	silent = map[string]func(*Conversation, *fields, int) error{
		"mark": onMark, "finish": onFinish, "migrated": onMigrated,
	}
}

func planHello(r *request, f *fields) work {
	asked := f.whole("protocol", 0, 1, math.MaxInt64)
	if !f.has("protocol") {
		f.fail("field %q is missing", "protocol")
	}
	client := f.text("client")
	c := r.c
	return work{atOnce: true, do: func(context.Context) ([]byte, error) {
		if c.greeted {
			return nil, kinds.Usagef("hello was already said")
		}
		if asked != Protocol {
			return nil, &protocolError{Asked: asked, Speaks: []int64{Protocol}}
		}
		c.greeted = true
		c.agent.o.Logger.Info("a client says hello", "client", client)
		hello := struct {
			Protocol int64  `json:"protocol"`
			Version  string `json:"version"`
			MaxLine  int    `json:"max_line"`
			Session  int64  `json:"session,omitempty"`
		}{Protocol, c.agent.o.Release, MaxLine, 0}
		if c.own != nil {
			hello.Session = c.own.id
			r.after = func() { c.watch(c.own) }
		}
		return toJSON(hello), nil
	}}
}

func planCancel(r *request, f *fields) work {
	id := string(f.id("request"))
	if id == "" {
		f.fail("field %q is missing", "request")
	}
	return work{atOnce: true, do: func(context.Context) ([]byte, error) {
		r.c.mu.Lock()
		other := r.c.requests[id]
		r.c.mu.Unlock()
		if other != nil && other != r {
			other.cancel(errCancelled)
		}
		return toJSON(map[string]bool{"cancelled": other != nil && other != r}), nil
	}}
}

// takeMark takes the fields of a mark.
func takeMark(f *fields) mark {
	return mark{
		hasCursor: f.has("cursor"), cursor: f.text("cursor"),
		processed: f.count("processed"), failed: f.count("failed"), state: f.state(),
	}
}

func onMark(c *Conversation, f *fields, size int) error {
	s := c.session(f)
	m := takeMark(f)
	m.from, m.line = c, c.line
	if !m.hasCursor {
		f.fail("field %q is missing", "cursor")
	}
	if !f.has("processed") && !f.has("failed") {
		m.processed = 1
	}
	if err := f.end(); err != nil {
		return err
	}
	if !s.queue.push(task{mark: m}, size) {
		return s.isClosed()
	}
	return nil
}

func onFinish(c *Conversation, f *fields, size int) error {
	s := c.session(f)
	m := mark{cursor: f.required("cursor"), failed: f.whole("failed", 0, 0, 1), state: f.state(), line: c.line}
	if err := f.end(); err != nil {
		return err
	}
	do := func() {
		if err := s.finish(&m); err != nil {
			c.refuse(m.line, err)
		}
	}
	if !s.queue.push(task{do: do}, size) {
		return s.isClosed()
	}
	return nil
}

// inSession plans work that is done in order with the session's other requests.
func inSession(r *request, f *fields, do func(ctx context.Context, s *session) ([]byte, error)) work {
	s := r.c.session(f)
	if s == nil {
		return work{}
	}
	return work{in: s.queue, do: func(ctx context.Context) ([]byte, error) {
		if s.closed {
			return nil, s.isClosed()
		}
		return do(ctx, s)
	}}
}

// lastMark takes the mark that comes with a save or a close.
func lastMark(f *fields) mark {
	m := takeMark(f)
	if !m.hasCursor && (f.has("processed") || f.has("failed")) {
		f.fail("counts belong to a cursor, which is missing")
	}
	return m
}

func saved(s *session, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return toJSON(map[string]int64{"version": s.Version()}), nil
}

func planSave(r *request, f *fields) work {
	m := lastMark(f)
	return inSession(r, f, func(ctx context.Context, s *session) ([]byte, error) {
		return saved(s, s.save(ctx, m))
	})
}

func planFlush(r *request, f *fields) work {
	soon := f.flag("soon")
	return inSession(r, f, func(ctx context.Context, s *session) ([]byte, error) {
		if soon {
			s.SaveSoon()
		}
		return saved(s, s.Flush(ctx))
	})
}

func planStart(r *request, f *fields) work {
	cursor := f.required("cursor")
	w := inSession(r, f, nil)
	s := r.c.session(f)
	if s == nil {
		return w
	}
	return work{in: s.starts, do: func(context.Context) ([]byte, error) {
		skip, err := s.start(cursor)
		return toJSON(map[string]bool{"skip": skip}), err
	}}
}

func planInfo(r *request, f *fields) work {
	return inSession(r, f, func(_ context.Context, s *session) ([]byte, error) {
		info := struct {
			standing
			HandoffWanted bool             `json:"handoff_wanted"`
			Holding       *string          `json:"holding,omitempty"`
			Ended         *kinds.ErrorJSON `json:"ended,omitempty"`
		}{standing: s.standing()}
		select {
		case <-s.HandoffWanted():
			info.HandoffWanted = true
		default:
		}
		if cursor, since := s.Holding(); !since.IsZero() {
			info.Holding = &cursor
		}
		if err := s.ended(); err != nil {
			info.Ended = toErrorJSON(err)
		}
		return toJSON(info), nil
	})
}

func planState(r *request, f *fields) work {
	return inSession(r, f, func(_ context.Context, s *session) ([]byte, error) {
		s.unread = false
		return withState(toJSON(map[string]string{"cursor": s.Cursor()}), s.state, ""), nil
	})
}

func planClose(r *request, f *fields) work {
	m := lastMark(f)
	how := f.choice("ended", "", "done", "error", "yielded", "stopped")
	text := f.text("error")
	if text != "" && how > 0 && how != 2 {
		f.fail("an error is allowed only with \"ended\":\"error\"")
	}
	if r.c.own != nil {
		f.fail("milepost run closes its session itself, when its command has ended")
	}
	return inSession(r, f, func(_ context.Context, s *session) ([]byte, error) {
		var err error
		switch {
		case m.hasCursor:
			err = s.mark(&m)
		case m.state != nil && s.inHand(): // a mark would make a record of the cursor
			_ = s.save(context.Background(), m) // otherwise the closing save has it, and reports the error
		case m.state != nil:
			m.cursor = s.Cursor()
			err = s.mark(&m)
		}
		if err != nil {
			return nil, err
		}
		switch {
		case text != "":
			err = errors.New(text)
		case how == 2:
			err = errors.New("the job failed, and gave no reason")
		case how == 3:
			err = checkpoint.ErrYielded
		case how == 4:
			err = errStopped
			s.cancel(errStopped)
		}
		return saved(s, s.close(context.Background(), err))
	})
}

// errStopped ends a session whose job was told to stop.
var errStopped = errors.New("the job was told to stop")

func planGet(r *request, f *fields) work {
	p := r.c.target(f)
	version, at := f.whole("version", 0, 1, math.MaxInt64), f.time("at")
	if version > 0 && !at.IsZero() {
		f.fail("version and at exclude each other")
	}
	return work{do: func(ctx context.Context) ([]byte, error) {
		st, err := p.open(ctx, mustExist)
		if err != nil {
			return nil, err
		}
		cp, err := st.in(p.namespace).Get(ctx, p.name, &checkpoint.ReadOptions{Version: version, At: at})
		if err != nil {
			return nil, err
		}
		return checkpointObject(cp, true), nil
	}}
}

func planHistory(r *request, f *fields) work {
	p := r.c.target(f)
	version := f.whole("version", 0, 1, math.MaxInt64)
	limit := int(f.whole("limit", 100, 1, 1000))
	return work{do: func(ctx context.Context) ([]byte, error) {
		st, err := p.open(ctx, mustExist)
		if err != nil {
			return nil, err
		}
		result := struct {
			Versions []json.RawMessage `json:"versions"`
			Next     int64             `json:"next,omitempty"`
		}{Versions: []json.RawMessage{}}
		for cp, err := range st.in(p.namespace).History(ctx, p.name, &checkpoint.ReadOptions{Version: version}) {
			if err != nil {
				return nil, err
			}
			if len(result.Versions) == limit {
				result.Next = cp.Number
				break
			}
			result.Versions = append(result.Versions, checkpointObject(cp, false))
		}
		return toJSON(result), nil
	}}
}

func planRuns(r *request, f *fields) work {
	p := r.c.target(f)
	limit := int(f.whole("limit", 100, 1, 1000))
	return work{do: func(ctx context.Context) ([]byte, error) {
		st, err := p.open(ctx, mustExist)
		if err != nil {
			return nil, err
		}
		runs, err := st.in(p.namespace).Runs(ctx, p.name, nil)
		if err != nil {
			return nil, err
		}
		result := struct {
			Runs []survey.RunJSON `json:"runs"`
		}{Runs: []survey.RunJSON{}}
		for _, run := range runs[:min(limit, len(runs))] {
			result.Runs = append(result.Runs, survey.ToRunJSON(p.key(), run))
		}
		return toJSON(result), nil
	}}
}
