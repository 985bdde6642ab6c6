package faulthttp

import (
	"context"
	"errors"
	"net/http"
	"sync"
)

// Late keeps requests and sends them, byte for byte, when the test says so, like writes that were
// delayed for a long time. The zero value is ready for use.
type Late struct {
	mu   sync.Mutex
	kept []Send
}

// Hold returns the fault that keeps the request unsent; the client sees a timeout.
func (l *Late) Hold() Fault {
	return func(_ *http.Request, send Send) (*http.Response, error) {
		l.keep(send)
		return nil, errTimeout
	}
}

// Copy returns the fault that sends the request and keeps a copy, as a network
// or a proxy that repeats it would.
func (l *Late) Copy() Fault {
	return func(req *http.Request, send Send) (*http.Response, error) {
		l.keep(send)
		return send(req.Context())
	}
}

func (l *Late) keep(send Send) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = append(l.kept, send)
}

// Kept returns how many requests wait for delivery.
func (l *Late) Kept() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.kept)
}

// Deliver sends the kept requests, in order, and forgets them. It returns the HTTP status of each
// reply: 200 for a write that landed now, 400 for one that was refused. A Transport's Requests do
// not show these deliveries.
func (l *Late) Deliver(ctx context.Context) (statuses []int, err error) {
	l.mu.Lock()
	kept := l.kept
	l.kept = nil
	l.mu.Unlock()
	for _, send := range kept {
		res, sendErr := send(ctx)
		if sendErr != nil {
			err = errors.Join(err, sendErr)
			continue
		}
		statuses = append(statuses, res.StatusCode)
	}
	return statuses, err
}
