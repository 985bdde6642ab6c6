package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/internal/survey"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// openRequest is the request open.
type openRequest struct {
	*request
	target  target
	options checkpoint.Options

	retainAge    time.Duration
	retainStarts int

	whole bool // the cursors are integers
}

func planOpen(r *request, f *fields) work {
	o := &openRequest{request: r, target: r.c.target(f)}
	if r.c.own != nil {
		f.fail("this is the socket of milepost run, which already holds its session")
	}
	o.options = checkpoint.Options{
		Codec: Codec{}, Logger: r.c.agent.o.Logger,
		Lease: lease.Options{
			Holder:     store.Holder{ID: f.text("holder"), RunID: f.text("run_id")},
			Duration:   f.millis("duration_ms", lease.DefaultDuration),
			Wait:       f.millis("wait_ms", 0),
			SameHolder: f.flag("same_holder"), TakeOver: f.flag("take_over"), Yield: f.flag("yield"),
			MaxSilence: f.millis("max_silence_ms", 0),
			OnWait:     o.onWait(), Observer: r.c.agent.o.Observer,
		},
		Every:      int(f.whole("every", absent, 0, math.MaxInt32)),
		Interval:   f.millis("interval_ms", absent),
		MaxUnsaved: int(f.whole("max_unsaved", 0, 1, math.MaxInt32)),
		MaxAhead:   int(f.whole("max_ahead", 0, 1, math.MaxInt32)),
		Identity:   f.text("identity"),
		OnIdentity: []checkpoint.IdentityPolicy{checkpoint.IdentityRefuse, checkpoint.IdentityWarn, checkpoint.IdentityFork, checkpoint.IdentityRestart}[f.choice("on_identity", "refuse", "warn", "fork", "restart")],
		Schema:     f.count("schema"),
		Expect:     checkpoint.Expectation{Every: f.millis("expect_every_ms", 0), Grace: f.millis("expect_grace_ms", 0)},
	}
	o.retainAge, o.retainStarts = f.millis("retain_age_ms", 0), int(f.whole("retain_starts", 0, 1, math.MaxInt32))
	unlimited(&o.options)
	if f.flag("migrate") {
		o.options.Migrate = o.askToMigrate
	}
	switch f.choice("order", "", "integer", "text") {
	case 1:
		o.options.Order, o.whole = byInteger, true
	case 2:
		o.options.Order = strings.Compare
	}
	if d := o.options.Lease.Duration; d < lease.MinDuration || d > lease.MaxDuration {
		f.fail("field \"duration_ms\": from %d to %d", lease.MinDuration.Milliseconds(), lease.MaxDuration.Milliseconds())
	}
	switch e := o.options.Expect; {
	case e.Grace > 0 && e.Every == 0:
		f.fail("field \"expect_grace_ms\" is added to expect_every_ms, which is missing")
	case e.Every > 0 && e.Every < time.Second:
		f.fail("field \"expect_every_ms\": at least 1000")
	}
	return work{do: o.do}
}

const absent = -1

// unlimited gives 0 the meaning that it has for a client: no limit by count, or none by time. An
// absent field has the library's default.
func unlimited(o *checkpoint.Options) {
	switch o.Every {
	case absent:
		o.Every = 0
	case 0:
		o.Every = math.MaxInt32
		if o.MaxUnsaved == 0 {
			o.MaxUnsaved = math.MaxInt32
		}
	}
	switch o.Interval {
	case absent:
		o.Interval = 0
	case 0:
		o.Interval = math.MaxInt64
	}
}

func (o *openRequest) do(ctx context.Context) ([]byte, error) {
	defer context.AfterFunc(o.c.opening, func() { o.cancel(context.Cause(o.c.opening)) })()
	st, err := o.target.open(ctx, mayCreate)
	if err != nil {
		return nil, err
	}
	// The session outlives the request, which may be cancelled until it is answered.
	live, end := context.WithCancelCause(context.Background())
	linked := context.AfterFunc(ctx, func() { end(context.Cause(ctx)) })
	in := st.in(o.target.namespace)
	in.RetainAge, in.RetainStarts = o.retainAge, o.retainStarts
	opened, err := checkpoint.Open[json.RawMessage](live, in, o.target.name, &o.options)
	if err != nil {
		linked()
		end(nil)
		return nil, err
	}
	var s *session
	if linked() {
		s = o.c.add(opened, o, end)
	}
	if s == nil {
		end(nil)
		return nil, errors.Join(context.Cause(ctx), opened.Close(ctx, context.Canceled))
	}
	o.after = func() { o.c.watch(s) }
	return s.opened()
}

// openResult is the reply to open: where the session is when it opens.
type openResult struct {
	Session int64 `json:"session"`
	standing
	Resumed json.RawMessage `json:"resumed,omitempty"`
	AgeMS   *int64          `json:"age_ms,omitempty"`
}

// standing says where a session is.
type standing struct {
	Namespace string             `json:"namespace"`
	Name      string             `json:"name"`
	Epoch     int64              `json:"epoch"`
	Holder    *survey.HolderJSON `json:"holder"`
	Version   int64              `json:"version"`
	Cursor    string             `json:"cursor"`
	Processed int64              `json:"processed"`
	Failed    int64              `json:"failed"`
}

func (s *session) standing() standing {
	return standing{
		Namespace: s.Namespace(), Name: s.Name(), Epoch: s.Epoch(), Holder: survey.ToHolderJSON(s.Holder()),
		Version: s.Version(), Cursor: s.Cursor(), Processed: s.Processed(), Failed: s.Failed(),
	}
}

func (s *session) opened() ([]byte, error) {
	result := openResult{Session: s.id, standing: s.standing()}
	if cp := s.Resumed(); cp != nil {
		age := max(time.Since(cp.SavedAt), 0).Milliseconds()
		result.Resumed, result.AgeMS = checkpointObject(cp, false), &age
	}
	return withState(toJSON(result), s.State(), ""), nil
}

// requestEvent is what the agent pushes about an open that is not answered yet.
type requestEvent struct {
	Event   string           `json:"event"`
	Request json.RawMessage  `json:"request"`
	Error   *kinds.ErrorJSON `json:"error,omitempty"`
	From    *int64           `json:"from,omitempty"`
	To      *int64           `json:"to,omitempty"`
}

// onWait reports each holder once.
func (o *openRequest) onWait() func(*lease.HeldError) {
	var told int64
	return func(held *lease.HeldError) {
		if held.Epoch == told {
			return
		}
		told = held.Epoch
		o.c.push(requestEvent{Event: "waiting", Request: o.id, Error: toErrorJSON(held)})
	}
}

// migrated is what the client made of a state of an older schema.
type migrated struct {
	state json.RawMessage
	err   error
}

// askToMigrate lets the client migrate, while the lease is held and renewed.
func (o *openRequest) askToMigrate(from int64, state []byte) ([]byte, error) {
	event := toJSON(requestEvent{Event: "migrate", Request: o.id, From: &from, To: &o.options.Schema})
	o.c.out.send(withState(event, state, ""))
	select {
	case m := <-o.migrate:
		return m.state, m.err
	case <-o.ctx.Done():
		return nil, context.Cause(o.ctx)
	}
}

// onMigrated handles the request migrated.
func onMigrated(c *Conversation, f *fields, _ int) error {
	id := f.id("request")
	m := migrated{state: f.state()}
	if f.has("error") {
		m.err = errors.New(f.text("error"))
	}
	if (m.state == nil) == (m.err == nil) {
		f.fail("give either state or error")
	}
	if err := f.end(); err != nil {
		return err
	}
	c.mu.Lock()
	r := c.requests[string(id)]
	c.mu.Unlock()
	if r != nil {
		select {
		case r.migrate <- m:
			return nil
		default:
		}
	}
	return fmt.Errorf("request %s does not wait for a migrated state", id)
}
