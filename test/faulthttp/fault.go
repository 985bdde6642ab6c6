package faulthttp

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

// The ways in which a connection fails, as net/http reports them.
var (
	errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	errReset   = &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	errTimeout = &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
)

// Refuse does not send the request: connection refused, which is definite.
func Refuse() Fault {
	return func(*http.Request, Send) (*http.Response, error) {
		return nil, errRefused
	}
}

// LoseReply sends the request and lets it land; the client sees its connection reset.
func LoseReply() Fault {
	return AfterSending(func(*http.Request, Send) (*http.Response, error) {
		return nil, errReset
	})
}

// LoseRequest does not send the request; the client sees its connection reset, as with [LoseReply].
func LoseRequest() Fault {
	return func(*http.Request, Send) (*http.Response, error) {
		return nil, errReset
	}
}

// Delay sends the request after d.
func Delay(d time.Duration) Fault {
	return func(req *http.Request, send Send) (*http.Response, error) {
		if err := sleep(req, d); err != nil {
			return nil, err
		}
		return send(req.Context())
	}
}

// DelayReply sends the request at once and delays the reply by d.
func DelayReply(d time.Duration) Fault {
	return func(req *http.Request, send Send) (*http.Response, error) {
		res, err := send(req.Context())
		if err != nil {
			return nil, err
		}
		if err := sleep(req, d); err != nil {
			return nil, err
		}
		return res, nil
	}
}

func sleep(req *http.Request, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-req.Context().Done():
		return req.Context().Err()
	}
}

// Hang does not send the request and answers nothing until its context ends.
func Hang() Fault {
	return func(req *http.Request, _ Send) (*http.Response, error) {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
}

// AfterSending sends the request, lets it land, discards the reply, and then
// does fault: AfterSending(Hang()), or AfterSending(Error("InternalServerError")).
// If the request itself fails, that error is returned.
func AfterSending(fault Fault) Fault {
	return func(req *http.Request, send Send) (*http.Response, error) {
		if _, err := send(req.Context()); err != nil {
			return nil, err
		}
		return fault(req, send)
	}
}

// MoveDate changes the Date of the reply, which is the service's clock, by d.
func MoveDate(d time.Duration) Fault {
	return func(req *http.Request, send Send) (*http.Response, error) {
		res, err := send(req.Context())
		if err != nil {
			return nil, err
		}
		if date, err := http.ParseTime(res.Header.Get("Date")); err == nil {
			res.Header.Set("Date", date.Add(d).UTC().Format(http.TimeFormat))
		}
		return res, nil
	}
}

// Error does not send the request and answers with a DynamoDB error of that
// name: ThrottlingException, ProvisionedThroughputExceededException,
// TransactionConflictException, ExpiredTokenException, InternalServerError …
func Error(name string) Fault {
	return answer(name, nil)
}

// CancelTransaction does not send the request and answers with a
// TransactionCanceledException for these reasons, one for each item of the
// transaction: None, TransactionConflict, ThrottlingError …
func CancelTransaction(reasons ...string) Fault {
	list := make([]map[string]string, len(reasons))
	for i, reason := range reasons {
		list[i] = map[string]string{"Code": reason}
	}
	return answer("TransactionCanceledException", map[string]any{"CancellationReasons": list})
}

func answer(name string, fields map[string]any) Fault {
	content := map[string]any{
		"__type":  "com.amazonaws.dynamodb.v20120810#" + name,
		"message": name + " by fault injection",
	}
	for key, value := range fields {
		content[key] = value
	}
	body, err := json.Marshal(content)
	if err != nil {
		panic(err) // strings and lists of strings
	}
	status := http.StatusBadRequest
	switch {
	case strings.HasPrefix(name, "InternalServerError"):
		status = http.StatusInternalServerError
	case strings.HasPrefix(name, "ServiceUnavailable"):
		status = http.StatusServiceUnavailable
	}
	return func(req *http.Request, _ Send) (*http.Response, error) {
		return &http.Response{
			Status:     http.StatusText(status),
			StatusCode: status,
			Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{
				"Content-Type": {"application/x-amz-json-1.0"},
				"Date":         {time.Now().UTC().Format(http.TimeFormat)},
			},
			Body:          io.NopCloser(bytes.NewReader(body)),
			ContentLength: int64(len(body)),
			Request:       req,
		}, nil
	}
}

// Page does not send the request and answers in the service's place, as a proxy, a captive portal
// or a middlebox does: Page(200, "") or Page(403, "<html>Forbidden</html>").
func Page(status int, body string) Fault {
	return func(req *http.Request, _ Send) (*http.Response, error) {
		return &http.Response{
			Status:     http.StatusText(status),
			StatusCode: status,
			Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{
				"Content-Type": {"text/html; charset=utf-8"},
				"Date":         {time.Now().UTC().Format(http.TimeFormat)},
			},
			Body:          io.NopCloser(strings.NewReader(body)),
			ContentLength: int64(len(body)),
			Request:       req,
		}, nil
	}
}
