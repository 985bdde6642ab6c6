package lease

import (
	"errors"
	"sync"
	"time"

	"github.com/milepost-dev/milepost/store"
)

// Event is what [Options.Observer] receives. It is one of
//
//   - [Acquired]: this process holds the lease;
//   - [Renewed]: a renewal succeeded;
//   - a [*LostError]: the lease was lost, and not released. It comes at most once a lease;
//   - [Throttled]: the store throttled a request that acquires, renews or saves;
//   - an event of package checkpoint: checkpoint.Opened or checkpoint.Saved.
//
// Later releases may add others.
type Event any

// Acquired says that a lease was acquired.
type Acquired struct {
	// Died says that the holder before did not release the lease, and Silent how long before this
	// acquisition that holder renewed it last.
	Died   bool
	Silent time.Duration
}

// Renewed says that a renewal succeeded.
type Renewed struct {
	// Late says that the renewal before is more than Options.CommitWithin ago: a save had to wait.
	Late bool
}

// Throttled says that the store throttled a request.
type Throttled struct{}

const (
	// mostUntold is how many events wait for a slow observer. The events after that are dropped.
	mostUntold = 1024
	// tellWithin is how long a release waits for the observer to receive the last events.
	tellWithin = time.Second
)

// teller calls an observer, with one event after another. A goroutine does that, and lives while
// events wait: neither the lease nor a save ever waits for the observer.
type teller struct {
	observer func(store.Key, Event)
	key      store.Key

	mu     sync.Mutex
	events []Event
	told   chan struct{} // closed when the goroutine has no events left; nil: there is none
}

// tell never blocks.
func (t *teller) tell(e Event) {
	if t.observer == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.events) == mostUntold {
		return
	}
	t.events = append(t.events, e)
	if t.told == nil {
		t.told = make(chan struct{})
		go t.callObserver()
	}
}

func (t *teller) callObserver() {
	for {
		t.mu.Lock()
		events := t.events
		t.events = nil
		if len(events) == 0 {
			close(t.told)
			t.told = nil
			t.mu.Unlock()
			return
		}
		t.mu.Unlock()
		for _, e := range events {
			t.observer(t.key, e)
		}
	}
}

// failed tells of a request that was throttled.
func (t *teller) failed(err error) {
	if errors.Is(err, store.ErrThrottled) {
		t.tell(Throttled{})
	}
}

// finish waits until the observer has received all events, for a bounded time.
func (t *teller) finish() {
	t.mu.Lock()
	told := t.told
	t.mu.Unlock()
	if told == nil {
		return
	}
	select {
	case <-told:
	case <-time.After(tellWithin):
	}
}
