package s3archive

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// kind is what an error means: the sentinel that it matches, what helps, and what it says about a
// conditional write.
type kind struct {
	is       error
	hint     string
	unmet    bool // the condition did not hold: another write came before, perhaps our own
	gone     bool // the object or upload of the condition is not there (any more)
	again    bool // not applied, and another attempt may help
	definite bool // not applied, and no other attempt helps
}

var (
	unmet         = kind{is: archive.ErrPrecondition, unmet: true}
	throttled     = kind{is: store.ErrThrottled, again: true}
	notFound      = kind{is: store.ErrNotFound, gone: true, definite: true}
	noBucket      = kind{is: archive.ErrNoArchive, definite: true, hint: "is it this region and this account?"}
	noAnswer      = kind{is: store.ErrUnavailable}
	unreached     = kind{is: store.ErrUnavailable, again: true}
	refused       = kind{definite: true}
	denied        = kind{is: store.ErrCredentials, definite: true} // permission makes the hint
	unknownCaller = kind{is: store.ErrCredentials, definite: true,
		hint: "aws sts get-caller-identity shows which identity AWS sees"}
	noCredentials = kind{is: store.ErrCredentials, definite: true,
		hint: "use aws configure, AWS_PROFILE or a role"}
	expiredToken = kind{is: store.ErrCredentials, definite: true,
		hint: "the token has expired: run aws sso login, or start again under a fresh role"}
	clockOff = kind{is: store.ErrUnavailable, again: true,
		hint: "this machine's clock is wrong by minutes: set it"}
)

// byCode has the error codes of S3 that are enough to know the kind.
var byCode = map[string]kind{
	"PreconditionFailed":         unmet,
	"NoSuchUpload":               notFound,
	"ConditionalRequestConflict": throttled,
	"OperationAborted":           throttled,
	"SlowDown":                   throttled,
	"Throttling":                 throttled,
	"ThrottlingException":        throttled,
	"TooManyRequests":            throttled,
	"RequestLimitExceeded":       throttled,
	"NoSuchKey":                  notFound,
	"NotFound":                   notFound,
	"NoSuchBucket":               noBucket,
	"AccessDenied":               denied,
	"Forbidden":                  denied,
	"AllAccessDisabled":          denied,
	"InvalidAccessKeyId":         unknownCaller,
	"SignatureDoesNotMatch":      unknownCaller,
	"ExpiredToken":               expiredToken,
	"InvalidToken":               expiredToken,
	"RequestTimeTooSkewed":       clockOff,
}

// kindOf decides what an error of the SDK means. An error that is not known to be definite is
// ambiguous.
func kindOf(err error) kind {
	var reply interface{ HTTPStatusCode() int }
	var dns *net.DNSError
	var op *net.OpError
	var foreign *foreignError
	var cut *cutError
	known, ok := byCode[codeOf(err)]
	switch {
	case errors.As(err, &foreign):
		return noAnswer
	case errors.As(err, &cut):
		return unexplained(cut.status)
	case ok && known == denied:
		known.hint = permission(err)
		return known
	case ok:
		return known
	case errors.As(err, &reply) && reply.HTTPStatusCode() == 429:
		return throttled
	case errors.As(err, &reply) && reply.HTTPStatusCode() >= 400 && reply.HTTPStatusCode() < 500:
		return refused
	case strings.Contains(err.Error(), "get identity"): // the SDK has no type for it; a test checks the words
		if strings.Contains(err.Error(), "xpired") {
			return expiredToken
		}
		return noCredentials
	case errors.As(err, &dns), errors.As(err, &op) && op.Op == "dial":
		return unreached
	}
	return noAnswer
}

// unexplained is the kind of a refusal of which only the status arrived. Another attempt may bring
// the reason.
func unexplained(status int) kind {
	switch status {
	case http.StatusPreconditionFailed:
		return unmet
	case http.StatusForbidden:
		return kind{is: store.ErrCredentials, again: true}
	}
	return kind{is: store.ErrUnavailable, again: true}
}

// permission says which action a request that was refused needs.
func permission(err error) string {
	var op *smithy.OperationError
	if !errors.As(err, &op) {
		return ""
	}
	switch op.Operation() {
	case "HeadObject":
		return "the policy must allow s3:GetObject on the prefix"
	case "ListObjectsV2":
		return "the policy must allow s3:ListBucket on the bucket"
	case "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload":
		return "the policy must allow s3:PutObject on the prefix"
	}
	return "the policy must allow s3:" + op.Operation() + " on the prefix"
}

func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// failed turns an error of the SDK into one of packages store and archive.
func (a *Archive) failed(ctx context.Context, what, key string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s %s: %w: %w", what, a.name(key), context.Cause(ctx), err)
	}
	kind := kindOf(err)
	hint := ""
	if kind.hint != "" {
		hint = " (" + kind.hint + ")"
	}
	if kind.is == nil {
		return fmt.Errorf("%s %s: %w%s", what, a.name(key), err, hint)
	}
	return fmt.Errorf("%s %s: %w: %w%s", what, a.name(key), kind.is, err, hint)
}
