package main

import (
	"time"

	"github.com/spf13/pflag"

	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// takeOverWait is how long --take-over waits for the holder if --wait says nothing.
const takeOverWait = 5 * time.Minute

// leaseFlags are the flags of the commands that hold a lease while a job runs.
type leaseFlags struct {
	leaseDuration time.Duration
	wait          time.Duration
	holder        string
	sameHolder    bool
	takeOver      bool
	yield         bool
}

// add adds the flags. yield is the help text of --yield.
func (f *leaseFlags) add(flags *pflag.FlagSet, yield string) {
	flags.DurationVar(&f.leaseDuration, "lease-duration", lease.DefaultDuration, "how long the lease lasts after this process is gone or stopped")
	flags.DurationVar(&f.wait, "wait", 0, "how long to wait for a lease that another run holds")
	flags.StringVar(&f.holder, "holder", "", "stable `ID` of this job (default: user@host)")
	flags.BoolVar(&f.sameHolder, "same-holder", false, "promise that only one process at a time has this --holder: a restart then takes its lease at once")
	flags.BoolVar(&f.takeOver, "take-over", false, "ask the run that holds the lease to hand over, and wait for it (5m, or --wait)")
	flags.BoolVar(&f.yield, "yield", false, yield)
}

func (f *leaseFlags) check() error {
	switch {
	case f.wait < 0:
		return kinds.Usagef("--wait %v: it cannot be negative", f.wait)
	case f.leaseDuration < lease.MinDuration || f.leaseDuration > lease.MaxDuration || f.leaseDuration%time.Millisecond != 0:
		return kinds.Usagef("--lease-duration %v: write whole milliseconds, from %v to %v",
			f.leaseDuration, lease.MinDuration, withoutZeros(lease.MaxDuration))
	case f.sameHolder && f.holder == "":
		return kinds.Usagef("--same-holder is a promise about --holder: give --holder, too")
	}
	return nil
}

// lease returns the options of the lease. They report a wait once for each holder.
func (f *leaseFlags) lease(a *app) lease.Options {
	o := lease.Options{
		Holder: store.Holder{ID: f.holder}, Duration: f.leaseDuration, Wait: f.wait,
		SameHolder: f.sameHolder, TakeOver: f.takeOver, Yield: f.yield, Observer: a.observer(),
	}
	if f.takeOver && f.wait == 0 {
		o.Wait = takeOverWait
	}
	wait, told := o.Wait, false
	o.OnWait = func(held *lease.HeldError) {
		if !told {
			told = true
			a.say("waiting for %s, who holds %q, up to %v", held.Holder, held.Key, wait)
		}
	}
	return o
}
