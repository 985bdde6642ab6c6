package statuspage

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/survey"
	"github.com/milepost-dev/milepost/store"
)

// All requests share one survey of all checkpoints. It is kept so long that at most lookRate
// checkpoints a second are read, however many people watch. A namespace with more than maxLook
// checkpoints is listed by name, page by page.
const (
	maxLook  = 20_000
	lookRate = 100
	keepLook = 2 * time.Second // at least
)

var errTooMany = fmt.Errorf("more than %d checkpoints", maxLook)

// looked is the result of a survey, the worst first.
type looked struct {
	survey.Seen
	at   time.Time
	keep time.Duration
}

// looks runs one survey at a time.
type looks struct {
	look func(ctx context.Context, memory *survey.Memory) (*looked, error)

	turn   sync.Mutex // held during a survey, which owns memory
	memory survey.Memory

	mu      sync.Mutex
	latest  *looked
	running *running
}

// running is a survey in progress. It is cancelled when no request waits for it any more.
type running struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiting int
	seen    *looked
	err     error
}

// get returns the latest survey, or a new one if the latest is too old.
func (l *looks) get(ctx context.Context) (*looked, error) {
	l.mu.Lock()
	if l.latest != nil && time.Since(l.latest.at) < l.latest.keep {
		defer l.mu.Unlock()
		return l.latest, nil
	}
	r := l.running
	if r == nil {
		r = l.start(ctx)
	}
	r.waiting++
	l.mu.Unlock()

	select {
	case <-r.done:
		return r.seen, r.err
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.waiting--; r.waiting == 0 {
		r.cancel()
		if l.running == r {
			l.running = nil
		}
	}
	return nil, fmt.Errorf("survey the checkpoints: %w", ctx.Err())
}

// start begins a survey, which outlives the request that began it if other requests wait.
func (l *looks) start(ctx context.Context) *running {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestWithin)
	r := &running{done: make(chan struct{}), cancel: cancel}
	l.running = r
	go func() {
		defer cancel()
		l.turn.Lock()
		defer l.turn.Unlock()
		r.seen, r.err = l.look(ctx, &l.memory)
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.running == r {
			l.running = nil
		}
		if r.err == nil {
			l.latest = r.seen
		}
		close(r.done)
	}()
	return r
}

// survey runs one survey.
func (h *handler) survey(ctx context.Context, memory *survey.Memory) (*looked, error) {
	seen := &looked{Seen: survey.Seen{Namespace: h.ns.Name}, at: time.Now()}
	var err error
	if seen.Items, err = survey.Look(ctx, capped{h.ns.Store}, h.ns.Name, ""); err != nil {
		return nil, err
	}
	survey.Worst(seen.Items)
	if seen.Movements, err = memory.Recall(ctx, h.ns.Store, seen.Items); err != nil {
		return nil, err
	}
	if h.ns.Archive != nil && h.ns.Mirror != checkpoint.MirrorOff {
		if seen.Mirrored, err = survey.Mirrored(ctx, h.ns.Store, h.ns.Archive, seen.Items, h.ns.Mirror == checkpoint.MirrorSessions); err != nil {
			return nil, err
		}
	}
	seen.keep = max(keepLook, time.Duration(len(seen.Items))*time.Second/lookRate)
	return seen, nil
}

// capped is a store whose names end with an error after maxLook names.
type capped struct{ store.Store }

// Names implements [store.Store].
func (c capped) Names(ctx context.Context, namespace, prefix, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		n := 0
		for name, err := range c.Store.Names(ctx, namespace, prefix, after) {
			if n++; err == nil && n > maxLook {
				yield("", errTooMany)
				return
			}
			if !yield(name, err) {
				return
			}
		}
	}
}

// page returns up to limit names that begin with prefix and come after a name, and whether there
// are more.
func (h *handler) page(ctx context.Context, prefix, after string, limit int) (names []string, more bool, err error) {
	for name, err := range h.ns.Store.Names(ctx, h.ns.Name, prefix, after) {
		if err != nil {
			return nil, false, fmt.Errorf("list the checkpoints that begin with %q: %w", prefix, err)
		}
		if len(names) == limit {
			return names, true, nil
		}
		names = append(names, name)
	}
	return names, false, nil
}

// lookAt surveys one checkpoint. It returns [store.ErrNotFound] if there are no records of it.
func (h *handler) lookAt(ctx context.Context, name string) (*survey.Item, error) {
	items, err := survey.LookAt(ctx, h.ns.Store, h.ns.Name, []string{name})
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("checkpoint %s: %w", h.key(name), store.ErrNotFound)
	}
	return &items[0], nil
}

// tooMany reports whether the checkpoints are too many to survey, and are listed by name instead.
func tooMany(err error) bool { return errors.Is(err, errTooMany) }

// listed is a store that lists only these names.
type listed struct {
	store.Store
	names []string
}

// Names implements [store.Store].
func (l listed) Names(context.Context, string, string, string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, name := range l.names {
			if !yield(name, nil) {
				return
			}
		}
	}
}
