package agent

import "sync"

// How much may wait in a queue before the agent stops reading.
const (
	queuedTasks = 4096
	queuedBytes = 64 << 20
)

// task is one thing to do in a session: a mark, or do.
type task struct {
	mark mark
	do   func()
}

// queue holds tasks that are done one after another.
type queue struct {
	mu      sync.Mutex
	changed sync.Cond
	tasks   []task
	bytes   int
	closed  bool
}

func newQueue() *queue {
	q := &queue{}
	q.changed.L = &q.mu
	return q
}

// push adds a task of some bytes, and waits while the queue is full. It reports false if the queue
// is closed.
func (q *queue) push(t task, bytes int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed && len(q.tasks) > 0 && (len(q.tasks) >= queuedTasks || q.bytes+bytes > queuedBytes) {
		q.changed.Wait()
	}
	if q.closed {
		return false
	}
	q.tasks = append(q.tasks, t)
	q.bytes += bytes
	if len(q.tasks) == 1 {
		q.changed.Broadcast()
	}
	return true
}

// close lets serve return when it has done everything in the queue.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Broadcast()
}

// serve does the tasks of the queue, in order, until the queue is closed and empty.
func (q *queue) serve(do func(*task)) {
	var batch []task
	for {
		clear(batch)
		q.mu.Lock()
		for len(q.tasks) == 0 && !q.closed {
			q.changed.Wait()
		}
		batch, q.tasks, q.bytes = q.tasks, batch[:0], 0
		q.changed.Broadcast()
		q.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for i := range batch {
			do(&batch[i])
		}
	}
}
