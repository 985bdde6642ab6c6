package lease

import "github.com/milepost-dev/milepost/store"

// sighting is what the system says of the process with one pid. Its zero value says nothing.
type sighting struct {
	absent bool   // no process has the pid
	ended  bool   // the process has ended, and its parent has not waited for it yet
	start  string // when the process started; "": not said
}

// processAlive reports whether the process that h recorded may run. It is called only for a holder
// of this boot and pid namespace. Not seeing a process is no proof that it has ended: /proc may
// hide it, or show another namespace's processes. Without proof, processAlive reports true.
func processAlive(h store.Holder) bool { return !see(h.PID).provesEnd(h, thisProcess()) }

// provesEnd reports whether it proves that the holder's process has ended. Another start time under
// the same pid is another process; but each time namespace has its own start times.
func (s sighting) provesEnd(holder, self store.Holder) bool {
	return s.absent || s.ended ||
		s.start != "" && s.start != holder.PIDStart && holder.TimeSpace == self.TimeSpace
}
