package lease

import (
	"errors"
	"time"

	"github.com/milepost-dev/milepost/internal/later"
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
	// tellWithin is how long a release waits for observer and logger to receive the last events and
	// messages.
	tellWithin = time.Second
)

// teller calls an observer, with one event after another: neither the lease nor a save ever waits
// for the observer.
type teller struct {
	observer func(store.Key, Event)
	key      store.Key
	queue    *later.Queue
}

func newTeller(o *Options, key store.Key) *teller {
	return &teller{observer: o.Observer, key: key, queue: later.NewQueue(mostUntold, nil)}
}

// tell never blocks.
func (t *teller) tell(e Event) {
	if t.observer != nil {
		t.queue.Do(func() { t.observer(t.key, e) })
	}
}

// failed tells of a request that was throttled.
func (t *teller) failed(err error) {
	if errors.Is(err, store.ErrThrottled) {
		t.tell(Throttled{})
	}
}
