// Package faulthttp is an http.RoundTripper that fails on purpose: it loses replies of writes that
// landed, delivers writes late, refuses, stalls, answers with errors of the service, and moves the
// service's clock.
//
//	faults := faulthttp.New(nil)
//	client := dynamotest.ClientOver(t, faults)
//	lost := faults.On("PutItem", 2, faulthttp.LoseReply())
//	...
//	require.Equal(t, 1, lost.Hits())
//
// It sees single attempts. A client that retries, as the AWS SDK does by default, hides these
// faults from its caller.
package faulthttp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Any stands for every operation, and Each for every request, in [Transport.On].
const (
	Any  = ""
	Each = 0
)

// Fault does something with one request, usually by calling send. It may be
// called for several requests at once, and should return when the request's
// context ends.
type Fault func(req *http.Request, send Send) (*http.Response, error)

// Send sends the request, byte for byte the same each time it is called, and returns the reply with
// its body in memory. The faults of later rules act inside Send. It may still be called after the
// Fault has returned.
type Send func(context.Context) (*http.Response, error)

// Request is a request as the client made it, and how it ended for the client.
type Request struct {
	Op     string // as in X-Amz-Target: PutItem; the HTTP method where that is not given
	Method string
	Path   string
	Header http.Header // not to be changed
	Body   []byte      // not to be changed

	Done   bool   // whether the client has been answered; what follows is zero before
	Status int    // 0 if Err
	Reply  []byte // not to be changed
	Err    error
}

// Transport is the http.RoundTripper. Its methods may be called at any time
// from any goroutine.
type Transport struct {
	base http.RoundTripper

	mu       sync.Mutex
	rules    []*Rule
	requests []*Request
}

// New returns a Transport without rules over base. Nil means a new transport with net/http's
// defaults, except for the number of idle connections.
func New(base http.RoundTripper) *Transport {
	if base == nil {
		own := http.DefaultTransport.(*http.Transport).Clone()
		own.MaxIdleConnsPerHost = 100
		base = own
	}
	return &Transport{base: base}
}

// Rule is a fault and the requests that it is for.
type Rule struct {
	transport *Transport
	match     func(Request) bool
	fault     Fault
	hits      int
}

// On adds a rule for the n-th request with this operation, counted from 1 and
// from now on; for [Any] operation, and [Each] request. Where several rules
// are for one request, the first added acts around the others.
func (t *Transport) On(op string, n int, fault Fault) *Rule {
	seen := 0
	return t.When(func(r Request) bool {
		if op != Any && op != r.Op {
			return false
		}
		seen++
		return n == Each || n == seen
	}, fault)
}

// When adds a rule for the requests that match says. It is asked once for every
// request, one after the other in the order in which they come, and must not
// call the Transport.
func (t *Transport) When(match func(Request) bool, fault Fault) *Rule {
	t.mu.Lock()
	defer t.mu.Unlock()
	rule := &Rule{transport: t, match: match, fault: fault}
	t.rules = append(t.rules, rule)
	return rule
}

// Hits returns how many requests the rule has been for.
func (r *Rule) Hits() int {
	r.transport.mu.Lock()
	defer r.transport.mu.Unlock()
	return r.hits
}

// Remove ends the rule for requests to come.
func (r *Rule) Remove() {
	r.transport.mu.Lock()
	defer r.transport.mu.Unlock()
	r.transport.rules = slices.DeleteFunc(r.transport.rules, func(other *Rule) bool { return other == r })
}

// Requests returns the requests made so far, in order.
func (t *Transport) Requests() []Request {
	t.mu.Lock()
	defer t.mu.Unlock()
	requests := make([]Request, len(t.requests))
	for i, r := range t.requests {
		requests[i] = *r
	}
	return requests
}

// Count returns how many requests with this operation, or [Any], were made so far.
func (t *Transport) Count(op string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, r := range t.requests {
		if op == Any || op == r.Op {
			n++
		}
	}
	return n
}

// Forget forgets the requests made so far, as a long benchmark should now and
// then. Rules and what they have counted stay.
func (t *Transport) Forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requests = nil
}

// CloseIdleConnections closes the idle connections of the transport underneath.
func (t *Transport) CloseIdleConnections() {
	(&http.Client{Transport: t.base}).CloseIdleConnections()
}

// RoundTrip makes the request, with the faults of all rules that are for it.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
		body, err = io.ReadAll(req.Body)
		if closeErr := req.Body.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return nil, fmt.Errorf("read the request's body: %w", err)
		}
	}
	request := &Request{
		Op: operation(req), Method: req.Method, Path: req.URL.Path, Header: req.Header.Clone(), Body: body,
	}
	send := Send(func(ctx context.Context) (*http.Response, error) {
		res, err := t.base.RoundTrip(clone(ctx, req, body))
		if err == nil {
			_, err = readReply(res)
		}
		return res, err
	})
	for _, fault := range slices.Backward(t.begin(request)) {
		next := send
		send = func(ctx context.Context) (*http.Response, error) { return fault(clone(ctx, req, body), next) }
	}
	res, err := send(req.Context())
	var reply []byte
	if err == nil {
		reply, err = readReply(res)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	request.Done, request.Err = true, err
	if err != nil {
		return nil, err
	}
	request.Status, request.Reply = res.StatusCode, reply
	return res, nil
}

// begin records a request and returns the faults of the rules that are for it.
func (t *Transport) begin(request *Request) []Fault {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requests = append(t.requests, request)
	var faults []Fault
	for _, rule := range t.rules {
		if rule.match(*request) {
			rule.hits++
			faults = append(faults, rule.fault)
		}
	}
	return faults
}

func operation(req *http.Request) string {
	target := req.Header.Get("X-Amz-Target") // DynamoDB_20120810.PutItem
	if dot := strings.LastIndexByte(target, '.'); dot >= 0 {
		return target[dot+1:]
	}
	return req.Method
}

func clone(ctx context.Context, req *http.Request, body []byte) *http.Request {
	copied := req.Clone(ctx)
	if req.Body != nil {
		copied.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		copied.Body, _ = copied.GetBody()
	}
	return copied
}

// readReply returns the reply's body, and leaves it there in memory.
func readReply(res *http.Response) ([]byte, error) {
	content, err := io.ReadAll(res.Body)
	if closeErr := res.Body.Close(); err == nil {
		err = closeErr
	}
	res.Body = io.NopCloser(bytes.NewReader(content))
	return content, err
}
