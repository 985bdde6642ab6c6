package checkpoint

import (
	"runtime"
	"strings"
	"time"
)

// lockPatience is how long a call that comes from within an update waits for the session's lock.
// Only a call of another session's method can succeed in that time.
const lockPatience = time.Second

// lock locks s.mu for a method that changes the session. An update, and a codec that encodes the
// state, run with s.mu held. A call of such a method from within them would wait for itself: lock
// panics instead. Methods that only read need no such lock.
func (s *Session[T]) lock() {
	if s.mu.TryLock() {
		return
	}
	for range 4 { // most waits for another goroutine's mark end here
		runtime.Gosched()
		if s.mu.TryLock() {
			return
		}
	}
	if !withinOwnCall() {
		s.mu.Lock()
		return
	}
	// The lock that this goroutine holds may be that of another session.
	for end := time.Now().Add(lockPatience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if s.mu.TryLock() {
			return
		}
	}
	panic("milepost: an update of a mark, or a codec, called a method that marks, saves or closes the session of " +
		s.c.key.String() + ": it may only call methods that read the session, since a mark changes cursor and state in one step")
}

// withinOwnCall reports whether this goroutine's stack has a call of the caller's code by a session
// that holds its lock.
func withinOwnCall() bool {
	pcs := make([]uintptr, 64)
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs)
		frames := runtime.CallersFrames(pcs[:n])
		for more := n > 0; more; {
			var frame runtime.Frame
			frame, more = frames.Next()
			method, _ := strings.CutPrefix(frame.Function, ownMethods)
			switch method {
			case "change", "take", "remember", "settled":
				return true
			}
		}
		if n < len(pcs) {
			return false
		}
	}
}

// ownMethods begins the names of a session's methods on a stack.
var ownMethods = func() string {
	pc, _, _, _ := runtime.Caller(0)
	name := runtime.FuncForPC(pc).Name() // the package, and then a function in it
	slash := strings.LastIndexByte(name, '/') + 1
	return name[:slash+strings.IndexByte(name[slash:], '.')] + ".(*Session[...])."
}()
