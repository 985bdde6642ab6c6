package dynamostore_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/test/dynamotest"
	"github.com/milepost-dev/milepost/test/faulthttp"
)

// Each failure of one attempt matches these errors and no others.
var meanings = []struct {
	name   string
	fault  faulthttp.Fault
	is     []error
	saying string
}{
	{"throttled by the table", faulthttp.Error("ProvisionedThroughputExceededException"), []error{store.ErrThrottled, store.ErrNotApplied}, "throttled"},
	{"throttled by the account", faulthttp.Error("RequestLimitExceeded"), []error{store.ErrThrottled, store.ErrNotApplied}, "throttled"},
	{"throttled by the control plane", faulthttp.Error("ThrottlingException"), []error{store.ErrThrottled, store.ErrNotApplied}, "throttled"},
	{"another's transaction holds the item", faulthttp.Error("TransactionConflictException"), []error{store.ErrThrottled, store.ErrNotApplied}, ""},
	{"another region writes the item", faulthttp.Error("ReplicatedWriteConflictException"), []error{store.ErrThrottled, store.ErrNotApplied}, ""},

	{"no table", faulthttp.Error("ResourceNotFoundException"), []error{store.ErrNoTable, store.ErrNotApplied}, "milepost table create"},
	{"invalid", faulthttp.Error("ValidationException"), []error{store.ErrNotApplied}, "ValidationException"},
	{"too large after all", answer(400, "ValidationException", "Item size to update has exceeded the maximum allowed size"),
		[]error{store.ErrTooLarge, store.ErrNotApplied}, "Item size"},

	{"unknown key", faulthttp.Error("UnrecognizedClientException"), []error{store.ErrCredentials, store.ErrNotApplied}, "get-caller-identity"},
	{"wrong secret", faulthttp.Error("InvalidSignatureException"), []error{store.ErrCredentials, store.ErrNotApplied}, "get-caller-identity"},
	{"expired token", faulthttp.Error("ExpiredTokenException"), []error{store.ErrCredentials, store.ErrNotApplied}, "aws sso login"},
	{"no permission", faulthttp.Error("AccessDeniedException"), []error{store.ErrCredentials, store.ErrNotApplied}, "policy"},
	{"unsigned", faulthttp.Error("MissingAuthenticationTokenException"), []error{store.ErrCredentials, store.ErrNotApplied}, "AWS_PROFILE"},
	{"this machine's clock is wrong", answer(400, "InvalidSignatureException", "Signature expired: 20260301T000000Z is now earlier than 20260301T020000Z"),
		[]error{store.ErrUnavailable, store.ErrNotApplied}, "clock"},

	{"refused connection", faulthttp.Refuse(), []error{store.ErrUnavailable, store.ErrNotApplied}, "refused"},
	{"no such host", fail(&net.DNSError{Err: "no such host", Name: "dynamodb.nowhere", IsNotFound: true}), []error{store.ErrUnavailable, store.ErrNotApplied}, "no such host"},
	{"wrong certificate", fail(&tls.CertificateVerificationError{Err: errors.New("signed by nobody")}), []error{store.ErrUnavailable, store.ErrNotApplied}, "signed by nobody"},

	{"connection reset", faulthttp.LoseReply(), []error{store.ErrUnavailable}, "reset"},
	{"reply timed out", new(faulthttp.Late).Hold(), []error{store.ErrUnavailable}, "timeout"},
	{"connection closed", fail(io.EOF), []error{store.ErrUnavailable}, "EOF"},
	{"internal error", faulthttp.Error("InternalServerError"), []error{store.ErrUnavailable}, "InternalServerError"},
	{"service unavailable", faulthttp.Error("ServiceUnavailable"), []error{store.ErrUnavailable}, ""},
	{"a throttle that is a server's error", answer(503, "ThrottlingException", "slow down"), []error{store.ErrUnavailable}, ""},
	{"an error nobody knows", answer(400, "SomethingNewException", "?"), []error{store.ErrUnavailable}, "SomethingNewException"},
	{"a proxy's page", page(502, "<html>Bad Gateway</html>"), []error{store.ErrUnavailable}, ""},
	{"a proxy's refusal", page(403, "<html>Forbidden</html>"), []error{store.ErrUnavailable}, ""},
	{"a success that is no reply", page(200, "<html>Welcome to this hotel</html>"), []error{store.ErrUnavailable}, ""},
}

var sentinels = map[string]error{
	"ErrNotApplied": store.ErrNotApplied, "ErrThrottled": store.ErrThrottled, "ErrUnavailable": store.ErrUnavailable,
	"ErrNotFound": store.ErrNotFound, "ErrBadRecord": store.ErrBadRecord, "ErrNewerFormat": store.ErrNewerFormat,
	"ErrNoTable": store.ErrNoTable, "ErrCredentials": store.ErrCredentials, "ErrTooLarge": store.ErrTooLarge, "ErrWrite": store.ErrWrite,
}

func meansExactly(t *testing.T, err error, want ...error) {
	t.Helper()
	require.Error(t, err)
	for name, sentinel := range sentinels {
		expected := slices.Contains(want, sentinel)
		assert.Equal(t, expected, errors.Is(err, sentinel), "%v is %s", err, name)
	}
}

func TestEachFailureOfAWriteMeansWhatItIs(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	for _, c := range meanings {
		t.Run(c.name, func(t *testing.T) {
			rule := f.faults.On("PutItem", faulthttp.Each, c.fault)
			defer rule.Remove()
			err := f.Copy(t.Context(), f.key, store.Copy{Version: versionOf(1)})
			meansExactly(t, err, c.is...)
			assert.Contains(t, err.Error(), c.saying)
			assert.Contains(t, err.Error(), "Copy orders/eu", "what was being done, and to which checkpoint")
			assert.Equal(t, 1, rule.Hits(), "a write is sent once, so that our loop sees each attempt")
		})
	}
}

func TestEveryWriteIsSentOnceAndReadsAreRetriedByTheSDK(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	require.NoError(t, f.commit(t, versionOf(1)))
	rule := f.faults.On(faulthttp.Any, faulthttp.Each, faulthttp.Error("InternalServerError"))
	for name, write := range f.writes(t) {
		before := rule.Hits()
		meansExactly(t, write(), store.ErrUnavailable)
		assert.Equal(t, 1, rule.Hits()-before, name)
	}
	rule.Remove()

	f.faults.On("Query", 1, faulthttp.Error("InternalServerError"))
	_, err := f.Look(t.Context(), f.key)
	require.NoError(t, err)
}

// writes are all calls that write.
func (f fixture) writes(t *testing.T) map[string]func() error {
	lease, next := leaseOf(fence), leaseOf(store.Fence{Epoch: 1 << 40, LeaseID: "l"})
	return map[string]func() error{
		"Acquire": func() error { _, err := f.Acquire(t.Context(), f.key, &lease, next); return err },
		"Steal":   func() error { _, err := f.Steal(t.Context(), f.key, &lease, next); return err },
		"Raise":   func() error { _, _, err := f.Raise(t.Context(), f.key, next.Fence(), holder, true); return err },
		"Renew": func() error {
			_, _, err := f.Renew(t.Context(), f.key, store.Renewal{Fence: fence, Beat: 1})
			return err
		},
		"Release":                     func() error { return f.Release(t.Context(), f.key, fence, 1) },
		"Want":                        func() error { return f.Want(t.Context(), f.key, fence, store.Wanted{By: "w"}) },
		"Commit":                      func() error { return f.commit(t, versionOf(2)) },
		"Commit with a caller's item": func() error { return f.commit(t, versionOf(2), dynamostore.Put("theirs", rawKey(f.key, "-"))) },
		"Copy":                        func() error { return f.Copy(t.Context(), f.key, store.Copy{Version: versionOf(1)}) },
		"KeepBase":                    func() error { return f.KeepBase(t.Context(), f.key, versionOf(1)) },
		"Amend":                       func() error { return f.Amend(t.Context(), f.key, store.Copy{Version: versionOf(1)}, store.Amendment{}) },
		"Remove":                      func() error { return f.Remove(t.Context(), f.key, store.Copy{Version: versionOf(1)}) },
		"Unlist":                      func() error { return f.Unlist(t.Context(), f.key, "c") },
		"Expect":                      func() error { return f.Expect(t.Context(), f.key, nil, &store.Expectation{Every: 1}) },
		"Expect nothing":              func() error { return f.Expect(t.Context(), f.key, nil, nil) },
	}
}

func TestAContextThatEndedBeforeTheSendingIsDefinite(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	seen := len(f.faults.Requests())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := f.Commit(ctx, f.key, store.Commit{Fence: fence, Next: versionOf(1)})
	meansExactly(t, err, store.ErrNotApplied)
	require.ErrorIs(t, err, context.Canceled)
	assert.Len(t, f.faults.Requests(), seen, "nothing was sent")
}

// A refresh of credentials can take as long as a lease.
func TestAContextThatEndsWhileCredentialsAreFetchedIsDefinite(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	ctx, cancel := context.WithCancel(t.Context())
	client := dynamodb.New(dynamotest.ClientOver(t, f.faults).Options(), func(o *dynamodb.Options) {
		valid := o.Credentials
		o.Credentials = aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
			cancel()
			return valid.Retrieve(context.WithoutCancel(ctx))
		})
	})
	seen := len(f.faults.Requests())
	_, err := dynamostore.New(client, f.table).Commit(ctx, f.key, store.Commit{Fence: fence, Next: versionOf(1)})
	meansExactly(t, err, store.ErrNotApplied)
	require.ErrorIs(t, err, context.Canceled)
	assert.Len(t, f.faults.Requests(), seen, "nothing was sent")
}

func TestAContextThatEndsAfterTheSendingIsAmbiguous(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	sent := make(chan struct{})
	f.faults.On("PutItem", faulthttp.Each, faulthttp.AfterSending(func(req *http.Request, send faulthttp.Send) (*http.Response, error) {
		close(sent)
		return faulthttp.Hang()(req, send)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-sent; cancel() }()
	_, err := f.Commit(ctx, f.key, store.Commit{Fence: fence, Next: versionOf(1)})
	meansExactly(t, err) // none: the caller knows that it gave up
	require.ErrorIs(t, err, context.Canceled)

	seen, err := f.Look(t.Context(), f.key)
	require.NoError(t, err)
	assert.Equal(t, int64(1), seen.Head.Number, "and it landed")
}

func TestADeadlineThatPassesAfterTheSendingIsAmbiguousToo(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	hang := f.faults.On("UpdateItem", faulthttp.Each, faulthttp.Hang())
	var err error
	for patience := 20 * time.Millisecond; hang.Hits() == 0; patience *= 2 { // until it passes after the sending
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, _, err = f.Renew(ctx, f.key, store.Renewal{Fence: fence, Beat: 1})
		cancel()
	}
	meansExactly(t, err, store.ErrUnavailable)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestCredentialsThatCannotBeHadAreDefinite(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		is     []error
		saying string
	}{
		{"none anywhere", errors.New("no EC2 IMDS role found, operation error ec2imds: GetMetadata, dial tcp: i/o timeout"),
			[]error{store.ErrCredentials, store.ErrNotApplied}, "aws configure"},
		{"the SSO session has ended", errors.New("refresh cached SSO token failed: the SSO session has expired or is invalid"),
			[]error{store.ErrCredentials, store.ErrNotApplied}, "aws sso login"},
		{"who hands them out is not reached", &net.OpError{Op: "dial", Err: errors.New("no route to host")},
			[]error{store.ErrUnavailable, store.ErrNotApplied}, "no route to host"},
	} {
		t.Run(c.name, func(t *testing.T) {
			faults := faulthttp.New(nil)
			client := dynamodb.New(dynamotest.ClientOver(t, faults).Options(), func(o *dynamodb.Options) {
				o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
					return aws.Credentials{}, c.err
				})
			})
			err := dynamostore.New(client, "any").Release(t.Context(), store.Key{Namespace: "default", Name: "a"}, fence, 1)
			meansExactly(t, err, c.is...)
			assert.Contains(t, err.Error(), c.saying)
			assert.Empty(t, faults.Requests())
			_, err = dynamostore.New(client, "any").Check(t.Context())
			assert.ErrorIs(t, err, c.is[0])
		})
	}
}

func TestAnEndpointWhereNothingListensIsDefinite(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	url := server.URL
	server.Close()
	client := dynamodb.New(dynamotest.Client(t).Options(), func(o *dynamodb.Options) { o.BaseEndpoint = &url })
	err := dynamostore.New(client, "any").Release(t.Context(), store.Key{Namespace: "default", Name: "a"}, fence, 1)
	meansExactly(t, err, store.ErrUnavailable, store.ErrNotApplied)
}

func TestAMissingTableIsNeverAnAbsentCheckpoint(t *testing.T) {
	s := dynamostore.New(dynamotest.Client(t), dynamotest.Table(t))
	key := store.Key{Namespace: "default", Name: "a"}
	_, err := s.Look(t.Context(), key)
	require.ErrorIs(t, err, store.ErrNoTable)
	_, err = s.Version(t.Context(), key, 1)
	require.ErrorIs(t, err, store.ErrNoTable)
	require.NotErrorIs(t, err, store.ErrNotFound)
	for _, err := range s.Names(t.Context(), "default", "", "") {
		require.ErrorIs(t, err, store.ErrNoTable)
	}
}

func fail(err error) faulthttp.Fault {
	return func(*http.Request, faulthttp.Send) (*http.Response, error) { return nil, err }
}

func page(status int, body string) faulthttp.Fault {
	return func(req *http.Request, _ faulthttp.Send) (*http.Response, error) {
		return &http.Response{
			StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{"Content-Type": {"text/html"}}, Request: req,
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		}, nil
	}
}

func answer(status int, code, message string) faulthttp.Fault {
	return page(status, `{"__type":"com.amazonaws.dynamodb.v20120810#`+code+`","message":"`+message+`"}`)
}
