// Package later does what may block, such as a call of a logger or of an observer, in a goroutine
// that nothing waits for. The code that decides something hands over what is to be said, and goes
// on.
package later

import (
	"sync"
	"time"
)

// Queue does one thing after another. A goroutine does that, and lives while something waits.
type Queue struct {
	most    int
	dropped func(n int64)

	mu      sync.Mutex
	waiting []func()
	lost    int64         // how many were dropped and not yet reported
	idle    chan struct{} // closed when nothing is left; nil: nothing is
}

// NewQueue returns a queue in which at most so many things wait. What comes while it is full is
// dropped. dropped is called, in its turn, with how many things were; it may be nil.
func NewQueue(most int, dropped func(n int64)) *Queue { return &Queue{most: most, dropped: dropped} }

// Do does f after everything before it, or drops it. It never blocks.
func (q *Queue) Do(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == q.most {
		q.lost++
		return
	}
	q.waiting = append(q.waiting, f)
	if q.idle == nil {
		q.idle = make(chan struct{})
		go q.run()
	}
}

func (q *Queue) run() {
	for {
		q.mu.Lock()
		waiting, lost := q.waiting, q.lost
		q.waiting, q.lost = nil, 0
		if len(waiting) == 0 && lost == 0 {
			close(q.idle)
			q.idle = nil
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()
		for _, f := range waiting {
			f()
		}
		if lost > 0 && q.dropped != nil {
			q.dropped(lost)
		}
	}
}

// Wait waits until everything was done, or until so much time has passed. It reports whether
// everything was done.
func (q *Queue) Wait(within time.Duration) bool {
	q.mu.Lock()
	idle := q.idle
	q.mu.Unlock()
	if idle == nil {
		return true
	}
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-idle:
		return true
	case <-timer.C:
		return false
	}
}
