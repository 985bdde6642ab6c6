package sqlitestore

import (
	"time"

	"github.com/milepost-dev/milepost/internal/boot"
	"github.com/milepost-dev/milepost/store"
)

// systemClock returns the clocks that all processes of this machine share. Where the boot-time
// clock is not known, there is none: the wall clock can be set, and proves nothing.
func systemClock() func() store.Clock {
	id := boot.ID()
	return func() store.Clock {
		uptime, ok := boot.Uptime()
		if id == "" || !ok {
			return store.Clock{}
		}
		return store.Clock{Wall: time.Now().Round(0).UTC(), Boot: id, Uptime: uptime}
	}
}
