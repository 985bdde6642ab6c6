package dynamostore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/milepost-dev/milepost/store"
)

// requestError says what a request's error means, by the errors of package store.
type requestError struct {
	what string // what was being done, and to what
	kind verdict
	err  error
}

func (e *requestError) Error() string {
	s := e.what + ": "
	for _, is := range e.kind.is {
		if !errors.Is(is, store.ErrNotApplied) {
			s += is.Error() + ": "
		}
	}
	s += reason(e.err)
	if e.kind.hint != "" {
		s += " (" + e.kind.hint + ")"
	}
	return s
}

func (e *requestError) Unwrap() []error { return append([]error{e.err}, e.kind.is...) }

// verdict is what an error means: the sentinels that it matches, and what the user can do.
type verdict struct {
	is   []error
	hint string
}

// The verdicts without ErrNotApplied are ambiguous.
var (
	throttled   = verdict{is: []error{store.ErrThrottled, store.ErrNotApplied}}
	refused     = verdict{is: []error{store.ErrNotApplied}}
	tooLarge    = verdict{is: []error{store.ErrTooLarge, store.ErrNotApplied}}
	unreached   = verdict{is: []error{store.ErrUnavailable, store.ErrNotApplied}}
	noAnswer    = verdict{is: []error{store.ErrUnavailable}}
	outcomeOpen = verdict{}

	// The service is working on the same token: another copy of this request may land.
	inProgress = verdict{is: []error{store.ErrThrottled}}

	noTable = verdict{
		is:   []error{store.ErrNoTable, store.ErrNotApplied},
		hint: "check the region and the account; milepost table create makes the table",
	}
	noIndex = verdict{
		is:   []error{errNoIndex, store.ErrNotApplied},
		hint: "milepost check says how to add the index",
	}
	unknownCaller = verdict{
		is:   []error{store.ErrCredentials, store.ErrNotApplied},
		hint: "aws sts get-caller-identity shows whose credentials these are",
	}
	noCredentials = verdict{
		is:   []error{store.ErrCredentials, store.ErrNotApplied},
		hint: "set them by aws configure, AWS_PROFILE or a role",
	}
	expiredToken = verdict{
		is:   []error{store.ErrCredentials, store.ErrNotApplied},
		hint: "the token has expired: renew it with aws sso login, or start again with a new role session",
	}
	denied = verdict{ // permission makes the hint
		is: []error{store.ErrCredentials, store.ErrNotApplied},
	}
	// Another way to the service, or another service, has answered.
	foreign = verdict{
		is:   []error{store.ErrUnavailable},
		hint: "a proxy or a captive portal may have answered instead",
	}
	filling = verdict{
		is:   []error{store.ErrUnavailable, store.ErrNotApplied},
		hint: "the table's index names is still being filled, so nothing can be listed yet; milepost check says when it is ready",
	}
	otherKeys = verdict{
		is:   []error{errOtherKeys, store.ErrNotApplied},
		hint: "it is another program's table: milepost check says what is wrong with it",
	}
	// Definite, and worth another try: the SDK learns the difference from this reply.
	clockOff = verdict{
		is:   []error{store.ErrUnavailable, store.ErrNotApplied},
		hint: "this machine's clock is wrong by minutes; set it",
	}
)

var (
	errNoIndex   = errors.New("the table has no index names")
	errOtherKeys = errors.New("the table's keys are not Milepost's")
)

// byCode has the codes that are definite. A code that is not here is ambiguous: the request may
// have gone through whatever answered with that code.
var byCode = map[string]verdict{
	"ProvisionedThroughputExceededException": throttled,
	"RequestLimitExceeded":                   throttled,
	"ThrottlingException":                    throttled,
	"Throttling":                             throttled,
	"ThrottledException":                     throttled,
	"TooManyRequestsException":               throttled,
	"TransactionConflictException":           throttled,
	"ReplicatedWriteConflictException":       throttled,
	"TransactionInProgressException":         inProgress,

	"ValidationException":                      refused,
	"SerializationException":                   refused,
	"UnknownOperationException":                refused,
	"ItemCollectionSizeLimitExceededException": refused,
	"IdempotentParameterMismatchException":     refused,
	"ConditionalCheckFailedException":          refused,
	"TransactionCanceledException":             refused,
	"LimitExceededException":                   refused,
	"ResourceInUseException":                   refused,
	"PointInTimeRecoveryUnavailableException":  refused,
	"ContinuousBackupsUnavailableException":    refused,
	"ResourceNotFoundException":                noTable,
	"TableNotFoundException":                   noTable,
	"IndexNotFoundException":                   noIndex,
	"UnrecognizedClientException":              unknownCaller,
	"InvalidClientTokenId":                     unknownCaller,
	"InvalidSignatureException":                unknownCaller,
	"SignatureDoesNotMatch":                    unknownCaller,
	"IncompleteSignature":                      unknownCaller,
	"IncompleteSignatureException":             unknownCaller,
	"MissingAuthenticationToken":               noCredentials,
	"MissingAuthenticationTokenException":      noCredentials,
	"ExpiredToken":                             expiredToken,
	"ExpiredTokenException":                    expiredToken,
	"AccessDenied":                             denied,
	"AccessDeniedException":                    denied,
	"NotAuthorized":                            denied,
	"OptInRequired":                            denied,
	"RequestExpired":                           clockOff,
	"RequestInTheFuture":                       clockOff,
	"RequestTimeTooSkewed":                     clockOff,
}

// failed makes an error of package store from one of the SDK.
func (c *call) failed(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
		err = fmt.Errorf("%w: %w", ended, err)
	}
	return &requestError{what: c.what(), kind: judge(ctx, err, c.sent), err: err}
}

// judge decides what an error means for its request. sent says whether the transport ever had the
// request.
func judge(ctx context.Context, err error, sent bool) verdict {
	var api smithy.APIError
	var notOurs *foreignError
	var reply interface{ HTTPStatusCode() int }
	switch {
	case !sent && ctx.Err() != nil:
		return refused
	case !sent:
		return judgeUnsent(err)
	case errors.As(err, &reply) && reply.HTTPStatusCode() >= 500:
		return noAnswer // whatever its code is
	case errors.As(err, &notOurs):
		return foreign
	case errors.As(err, &api):
		kind := judgeReply(api)
		if kind.hint == "" && slices.Contains(kind.is, store.ErrCredentials) {
			kind.hint = permission(err)
		}
		return kind
	case neverConnected(err):
		return unreached
	case errors.Is(err, context.Canceled):
		return outcomeOpen
	}
	return noAnswer // a timeout, a connection that broke, a reply cut short
}

func judgeReply(api smithy.APIError) verdict {
	kind, ok := byCode[api.ErrorCode()]
	message := strings.ToLower(api.ErrorMessage())
	switch {
	case !ok:
		return noAnswer
	case api.ErrorCode() == "ValidationException" && strings.Contains(message, "item size"):
		return tooLarge
	case api.ErrorCode() == "ValidationException" && strings.Contains(message, "does not have the specified index"):
		return noIndex
	case api.ErrorCode() == "ValidationException" && strings.Contains(message, "backfilling"):
		return filling
	case api.ErrorCode() == "ValidationException" && namesOtherKeys(message):
		return otherKeys
	case api.ErrorCode() == "InvalidSignatureException" &&
		(strings.Contains(message, "signature expired") || strings.Contains(message, "not yet current")):
		return clockOff
	}
	return kind
}

// namesOtherKeys reports whether the message of a ValidationException, in lower case, says that the
// table has other keys than those of the request.
func namesOtherKeys(message string) bool {
	return strings.Contains(message, "provided key element does not match the schema") ||
		strings.Contains(message, "missed key schema element") || strings.Contains(message, "missing the key")
}

// permission says which action a request that was refused needs.
func permission(err error) string {
	var op *smithy.OperationError
	if !errors.As(err, &op) {
		return ""
	}
	switch op.Operation() {
	case "Query":
		return "the policy must allow dynamodb:Query on the table and on its index"
	case "TransactWriteItems":
		return "the policy must allow dynamodb:PutItem on the table, and on the caller's tables what its own writes do"
	}
	return "the policy must allow dynamodb:" + op.Operation() + " on the table"
}

// judgeUnsent is for a request that never reached the transport. It changed nothing.
func judgeUnsent(err error) verdict {
	var netErr net.Error
	var api smithy.APIError
	switch {
	case !credentialsMissing(err):
		return refused
	case errors.As(err, &api) && strings.Contains(api.ErrorCode(), "Expired"):
		return expiredToken
	case strings.Contains(err.Error(), "ec2imds"):
		return noCredentials // the SDK looks there last, and this is not an EC2 instance
	case errors.As(err, &netErr):
		return unreached // the source of credentials could not be reached
	case strings.Contains(err.Error(), "expired"), strings.Contains(err.Error(), "token file"):
		return expiredToken
	}
	return noCredentials
}

// credentialsMissing reports whether the SDK found no credentials. The SDK has no type for that
// error, and a test checks that these are still its words.
func credentialsMissing(err error) bool { return strings.Contains(err.Error(), "get identity") }

// neverConnected reports whether the error can only come before the first byte of a request is
// sent.
func neverConnected(err error) bool {
	var dns *net.DNSError
	var op *net.OpError
	var cert *tls.CertificateVerificationError
	return errors.As(err, &dns) || errors.As(err, &cert) || errors.As(err, &op) && op.Op == "dial"
}

// reason is the SDK's error without its wrappers.
func reason(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		var op *smithy.OperationError
		if errors.As(err, &op) {
			return op.Err.Error()
		}
		return err.Error()
	}
	s := api.ErrorCode()
	if m := api.ErrorMessage(); m != "" {
		s += ": " + m
	}
	var reply interface{ ServiceRequestID() string }
	if errors.As(err, &reply) && reply.ServiceRequestID() != "" {
		s += ", request " + reply.ServiceRequestID()
	}
	return s
}

// unmet makes the error of a write that failed. If its condition did not hold, read decodes the
// item that the condition found, from the reply into the error.
func (c *call) unmet(ctx context.Context, err error, read reader) error {
	var failed *types.ConditionalCheckFailedException
	if !c.sent || !errors.As(err, &failed) {
		return c.failed(ctx, err)
	}
	return c.conflict(failed.Item, read)
}

// reader decodes the item that a condition found into the error.
type reader func(*store.ConflictError, item) error

// conflict is the error of a condition that found this item; nil is no item.
func (c *call) conflict(found item, read reader) error {
	conflict := &store.ConflictError{Op: c.op, Key: c.key}
	if len(found) == 0 {
		return conflict
	}
	if err := read(conflict, found); err != nil {
		return c.refuse(err)
	}
	return conflict
}

// refuse is the error of a write that this package did not send.
func (c *call) refuse(err error) error {
	return fmt.Errorf("%s: %w: %w", c.what(), store.ErrNotApplied, err)
}

func withHead(e *store.ConflictError, it item) (err error) {
	e.Head, err = decodeHead(e.Key, it)
	return err
}

func withLease(e *store.ConflictError, it item) (err error) {
	e.Lease, err = decodeLease(e.Key, it)
	return err
}

func withExpect(e *store.ConflictError, it item) (err error) {
	e.Expect, err = decodeExpect(e.Key, it)
	return err
}

func withCopy(version int64) reader {
	return func(e *store.ConflictError, it item) (err error) {
		e.Copy, err = decodeCopy(e.Key, store.CopyRecord(version), it)
		return err
	}
}
