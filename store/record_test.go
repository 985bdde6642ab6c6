package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/milepost-dev/milepost/store"
)

func TestALeaseRunsOutByTheStoresOwnClockAlone(t *testing.T) {
	const duration = 30 * time.Second
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(wall, uptime time.Duration, boot string) store.Clock {
		c := store.Clock{Wall: noon.Add(wall), Boot: boot, Uptime: uptime}
		if boot == "" {
			c.Uptime = 0
		}
		return c
	}
	// Each lease was renewed at noon, an hour after the boot.
	service, machine := at(duration, 0, ""), at(duration, time.Hour+duration, "one")
	for name, c := range map[string]struct {
		until, now store.Clock
		want       bool
	}{
		"a service's clock, before the end":    {service, at(duration+time.Second, 0, ""), false},
		"a service's clock, past the end":      {service, at(duration+3*time.Second, 0, ""), true},
		"no end recorded":                      {store.Clock{}, at(time.Hour, 0, ""), false},
		"no clock now":                         {machine, store.Clock{}, false},
		"another kind of clock now":            {machine, at(time.Hour, 0, ""), false},
		"another kind of clock then":           {service, at(time.Hour, 2*time.Hour, "one"), false},
		"the machine's clock, before the end":  {machine, at(time.Hour, time.Hour+duration, "one"), false},
		"the machine's clock, past the end":    {machine, at(-time.Hour, time.Hour+duration+3*time.Second, "one"), true},
		"restarted a day later":                {machine, at(26*time.Hour, 2*time.Hour, "two"), true},
		"restarted at once":                    {machine, at(20*time.Second, 15*time.Second, "two"), true},
		"restarted, with the wall clock wrong": {machine, at(-24*time.Hour, time.Minute, "two"), true},
		"a boot id of its own, same kernel":    {machine, at(time.Second, time.Hour+time.Second, "two"), false},
		"that, long after the end":             {machine, at(48*time.Hour, 49*time.Hour, "two"), false},
		"that, a recorded end that is late":    {machine, at(-20*time.Second, time.Hour-20*time.Second, "two"), false},
		"that, with the wall clock set back":   {machine, at(-time.Hour, time.Hour+time.Second, "two"), false},
	} {
		l := &store.Lease{Status: store.Held, Duration: duration, Until: c.until}
		assert.Equal(t, c.want, l.RanOutBy(c.now, 2*time.Second), name)
		if c.want {
			held, _ := l.HeldAt(c.now)
			assert.False(t, held, name)
		}
	}
}
