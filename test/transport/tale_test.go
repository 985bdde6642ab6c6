// Package transport_test checks the protocol's invariants while each request in a checkpoint's
// whole life is lost, answered too late, refused, or delivered again.
//
// Each request meets a third of the faults; with MILEPOST_TRANSPORT_ALL set, it meets all of them.
package transport_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// line is one way to a store on which requests can fail, and one on which they do not.
type line struct {
	faulty, clean store.Store
	write         func(cursor string) store.Write // a row of the caller
	rows          func() ([]string, error)        // the cursors of those rows
	deliver       func(context.Context) error     // sends what the line has kept back
	heal          func()                          // ends a cut, on which every request is lost
}

// moment is when a line delivers what it has kept back.
type moment int

const (
	never moment = iota
	afterNextCall
	afterNextOpening
	atTheEnd
)

// How long a call waits for its reply, and how many such calls follow one another: usually, and if
// the line is cut.
const (
	patience    = 150 * time.Millisecond
	attempts    = 50
	attemptsCut = 2
)

// tale is one checkpoint's life. A first session saves and is overtaken, unnoticed, by a second.
// The second saves and closes, and a third goes on from there.
type tale struct {
	line
	key       store.Key
	duration  time.Duration
	beat      time.Duration
	impatient bool                             // the caller gives up on a save after patience, and tries again
	cut       bool                             // from the fault on, every request on the faulty line is lost, until heal
	late      moment                           // when deliver is called
	pause     func(ctx context.Context, n int) // in the middle of session n

	overtake      sync.Once // the second session opens: at its turn in the tale, or within a request of the first's
	taking, taken atomic.Bool
	second        *session
	secondOpenErr error

	mu     sync.Mutex
	told   []told
	opened []*session
}

// session is one of a tale's sessions.
type session struct {
	*checkpoint.Session[state]
	tale  *tale
	by    string
	base  int64 // the version it started from
	calls int
}

// state belongs to a cursor.
type state struct {
	At string `json:"at"`
}

// told is the result of one save, as its caller saw it.
type told struct {
	by       string
	cursor   string
	row      bool // with a row of the caller
	err      error
	last     bool // no further attempt followed
	rightful bool // the session held the fence until the call had returned
	fenced   bool // it was overtaken before the call began
}

func (t *tale) options(pid int) *checkpoint.Options {
	return &checkpoint.Options{
		Interval: time.Hour,
		Lease: lease.Options{
			// Rule (b) lets the second session overtake the first without waiting for it to expire.
			Holder: store.Holder{ID: "job", PID: pid}, SameHolder: pid == 2,
			Duration: t.duration, Beat: t.beat,
			Readings: &lease.Readings{Alive: func(store.Holder) bool { return true }}, // the PIDs are invented
		},
	}
}

var errUntold = errors.New("its lease was lost")

// tell plays the tale, and returns what does not fit.
func (t *tale) tell(ctx context.Context) error {
	first, err := t.open(ctx, "first", t.faulty, 1)
	if err != nil && !t.taking.Load() {
		return fmt.Errorf("the first session cannot open: %w", err)
	}
	if first != nil {
		first.save(ctx)
		first.saveWithRow(ctx)
		t.pauseIn(ctx, 1)
		first.save(ctx)
	}

	others := t.faulty
	if t.cut {
		others = t.clean // it is the first session's line that is cut
	}
	t.takeOver(ctx, others, 0)
	if t.secondOpenErr != nil {
		return fmt.Errorf("the second session cannot open: %w", t.secondOpenErr)
	}
	second := t.second
	if first != nil {
		first.save(ctx)
		first.saveWithRow(ctx)
	}
	second.save(ctx)
	t.pauseIn(ctx, 2)
	second.saveWithRow(ctx)
	if err := second.Close(ctx, nil); err != nil {
		return fmt.Errorf("the second session cannot close: %w", err)
	}
	if t.cut {
		t.heal()
	}
	if first != nil {
		if err := first.Close(ctx, nil); !errors.Is(err, lease.ErrLost) {
			return fmt.Errorf("the first session was overtaken, and closes without saying so: %w", errors.Join(errUntold, err))
		}
	}

	third, err := t.open(ctx, "third", t.faulty, 3)
	if err != nil {
		return fmt.Errorf("the third session cannot open: %w", err)
	}
	t.pauseIn(ctx, 3)
	third.save(ctx)
	if err := third.Close(ctx, nil); err != nil {
		return fmt.Errorf("the third session cannot close: %w", err)
	}
	return t.deliverAt(ctx, atTheEnd)
}

func (t *tale) pauseIn(ctx context.Context, n int) {
	if t.pause != nil {
		t.pause(ctx, n)
	}
}

func (t *tale) open(ctx context.Context, by string, st store.Store, pid int) (*session, error) {
	opened, err := checkpoint.Open[state](ctx, checkpoint.Namespace{Store: st, Name: t.key.Namespace}, t.key.Name, t.options(pid))
	if err != nil {
		return nil, err
	}
	s := &session{Session: opened, tale: t, by: by, base: opened.Version()}
	t.mu.Lock()
	t.opened = append(t.opened, s)
	t.mu.Unlock()
	return s, errors.Join(t.deliverAt(ctx, afterNextCall), t.deliverAt(ctx, afterNextOpening))
}

// takeOver opens the second session, once, and lets it save.
func (t *tale) takeOver(ctx context.Context, st store.Store, saves int) {
	t.overtake.Do(func() {
		t.taking.Store(true)
		t.second, t.secondOpenErr = t.open(ctx, "second", st, 2)
		if t.secondOpenErr != nil {
			return
		}
		for range saves {
			t.second.save(ctx)
		}
		t.taken.Store(true)
	})
}

func (t *tale) deliverAt(ctx context.Context, m moment) error {
	if t.late != m {
		return nil
	}
	if err := t.deliver(ctx); err != nil {
		return fmt.Errorf("deliver what is late: %w", err)
	}
	return nil
}

func (s *session) save(ctx context.Context) {
	s.call(ctx, false, func(ctx context.Context, cursor string) error {
		return s.Save(ctx, cursor, state{At: cursor})
	})
}

func (s *session) saveWithRow(ctx context.Context) {
	s.call(ctx, true, func(ctx context.Context, cursor string) error {
		return s.SaveStep(ctx, checkpoint.Step[state]{
			Cursor: cursor, Processed: 1, Update: func(st *state) { st.At = cursor },
			Writes: []store.Write{s.tale.write(cursor)},
		})
	})
}

// call makes one call that saves, each time under a new cursor, and records its result. A caller
// whose patience ends calls again, until a call reports that it has saved, or that it has lost the
// lease.
func (s *session) call(ctx context.Context, row bool, do func(context.Context, string) error) {
	for attempt := 1; ; attempt++ {
		s.calls++
		c := told{by: s.by, cursor: fmt.Sprintf("%s-%02d", s.by, s.calls), row: row, fenced: s.by == "first" && s.tale.taken.Load()}
		bounded, cancel := ctx, context.CancelFunc(func() {})
		if s.tale.impatient {
			bounded, cancel = context.WithTimeout(ctx, patience)
		}
		c.err = do(bounded, c.cursor)
		cancel()
		if lateErr := s.tale.deliverAt(ctx, afterNextCall); lateErr != nil {
			c.err = errors.Join(c.err, lateErr)
		}
		c.rightful = s.by != "first" || !s.tale.taking.Load()
		c.last = c.err == nil || errors.Is(c.err, lease.ErrLost) || !s.tale.impatient || attempt == attempts ||
			s.tale.cut && !c.rightful && attempt >= attemptsCut
		if c.err == nil {
			c.err = s.before(ctx)
		}
		s.tale.mu.Lock()
		s.tale.told = append(s.tale.told, c)
		s.tale.mu.Unlock()
		if c.last {
			return
		}
	}
}

// before makes sure that the copy of the version before a save that landed is durable: what became
// of a save is read from it when HEAD has gone on.
func (s *session) before(ctx context.Context) error {
	version := s.Version() - 1
	if version < 1 {
		return nil
	}
	if _, err := s.tale.clean.Version(ctx, s.tale.key, version); err != nil {
		return fmt.Errorf("version %d was committed before the copy of %d was there: %w", version+1, version, err)
	}
	return nil
}

// check compares the results that the tale's callers saw with the store.
func (t *tale) check(tt *testing.T, when string) {
	truth := readTruth(tt, t)
	t.mu.Lock()
	defer t.mu.Unlock()
	truth.checkHistory(tt, when)
	truth.checkFences(tt, when, t.opened)
	for i, c := range t.told {
		truth.checkCall(tt, when, c, t)
		if settled, ok := errors.AsType[*checkpoint.SettledError](c.err); ok {
			assert.Equal(tt, settled.Landed, truth.carries(settled.Version, settled.CommitID),
				"%s: call %d, %s, said: %v", when, i, c.cursor, settled)
		}
	}
	truth.checkRows(tt, when, t.told)
	require.False(tt, tt.Failed(), "%s: what happened: %s", when, truth)
}
