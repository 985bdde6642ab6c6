package sqlitestore

import (
	"time"

	"github.com/milepost-dev/milepost/store"
)

// systemClock returns the clocks that all processes of this machine share.
func systemClock() func() store.Clock {
	boot := bootID()
	return func() store.Clock {
		now := store.Clock{Wall: time.Now().Round(0).UTC()}
		if boot != "" {
			if uptime, ok := uptime(); ok {
				now.Boot, now.Uptime = boot, uptime
			}
		}
		return now
	}
}
