//go:build !linux

package child

import (
	"os"
	"time"
)

// stops does nothing here: a stop of this process does not stop its command.
type stops struct {
	p         *process
	name      string // the command's
	signals   <-chan os.Signal
	late      <-chan time.Time
	confirmed <-chan error
}

func newStops(name string, _ func() error, _ func(string)) *stops { return &stops{name: name} }

func (*stops) release() {}

func (*stops) signalled(os.Signal) {}

func (*stops) noticed(event) {}

func (*stops) settled(error) {}

func (*stops) cancel() {}

func (*stops) wasNotStopped() {}
