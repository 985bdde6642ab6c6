package agent

import (
	"io"
	"sync"
)

// outbox writes lines to a client, one after another. A sender waits while the client does not
// read, until the outbox gives the client up.
type outbox struct {
	lines chan []byte
	stop  chan struct{} // closed when no line will be added to those already sent
	done  chan struct{} // closed when the writer has ended
	gone  chan struct{} // closed when no one reads any more
	leave sync.Once
}

func newOutbox(w io.Writer) *outbox {
	o := &outbox{lines: make(chan []byte, 256), stop: make(chan struct{}), done: make(chan struct{}), gone: make(chan struct{})}
	go o.write(w)
	return o
}

func (o *outbox) write(w io.Writer) {
	defer close(o.done)
	for {
		var line []byte
		select {
		case line = <-o.lines:
		case <-o.stop:
			select {
			case line = <-o.lines:
			default:
				return
			}
		}
		for more := true; more && len(line) < 1<<16; {
			select {
			case next := <-o.lines:
				line = append(line, next...)
			default:
				more = false
			}
		}
		if _, err := w.Write(line); err != nil {
			o.giveUp()
			return
		}
	}
}

// send sends a line, or drops it when the client is gone.
func (o *outbox) send(line []byte) {
	line = append(line, '\n')
	select {
	case o.lines <- line:
		return
	default:
	}
	select {
	case o.lines <- line:
	case <-o.gone:
	}
}

func (o *outbox) giveUp() { o.leave.Do(func() { close(o.gone) }) }

// close waits until all lines are written, or the client is given up.
func (o *outbox) close() {
	close(o.stop)
	select {
	case <-o.done:
	case <-o.gone:
	}
	o.giveUp()
}
