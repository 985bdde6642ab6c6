package lease

import (
	"time"

	"github.com/milepost-dev/milepost/store"
)

// dateStep is the step of the coarsest clock: a service's Date has whole seconds.
const dateStep = time.Second

// clockFloor is the earliest that the store's clock can be. The store reads its clock at some moment
// between the sending of a request and the receipt of the reply. So at the receipt the clock shows
// the reading or more.
type clockFloor struct {
	clock    store.Clock
	received time.Duration // monotonic
}

// at returns the floor at a later moment.
func (f *clockFloor) at(mono time.Duration) store.Clock {
	if f.clock.IsZero() {
		return store.Clock{}
	}
	return f.clock.Add(mono - f.received)
}

// read takes in a reading. The floor that is known stays where it is higher, and the reading can be
// as old as its request: a slow reply does not set the floor back. A reading that is lower than that
// shows that the store's clock was set back.
func (f *clockFloor) read(clock store.Clock, sent, received time.Duration) {
	if clock.IsZero() {
		return
	}
	known, took := f.at(received), received-sent
	stays := !known.IsZero() && known.Boot == clock.Boot && known.Wall.After(clock.Wall) &&
		!known.Wall.After(clock.Wall.Add(took+dateStep))
	if !stays {
		f.clock, f.received = clock, received
	}
}
