package s3archive

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/milepost-dev/milepost/internal/connections"
)

// This file owns what proves that a reply is S3's. A proxy, a captive portal or a box that opens
// TLS can answer in its place: 200 with an empty body, or a page with any status. To the SDK the
// first is a success, an empty page is an empty listing, and the page's status is an error of S3.

// ours returns a client like client that takes no other reply for one of S3's, and that does not
// wait on connections that have gone silent.
func ours(client *s3.Client) *s3.Client {
	return s3.New(client.Options(), func(o *s3.Options) {
		o.HTTPClient = connections.Watched(o.HTTPClient)
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			if err := stack.Deserialize.Insert(refusals{}, "OperationDeserializer", middleware.After); err != nil {
				return err
			}
			return stack.Deserialize.Add(successes{}, middleware.Before)
		})
	})
}

// foreignError says that a reply is not S3's, so nothing is known of its request.
type foreignError struct {
	status  string
	missing string // what each such reply of S3 has
}

func (e *foreignError) Error() string {
	return fmt.Sprintf("the reply %q has no %s, so it is not S3's: a proxy or a captive portal may have answered instead", e.status, e.missing)
}

// RetryableError makes the SDK send a request without a condition again.
func (*foreignError) RetryableError() bool { return true }

// successes is the middleware that requires proof of a success. It sees the reply as the SDK
// decoded it.
type successes struct{}

// ID names the middleware.
func (successes) ID() string { return "MilepostSuccesses" }

// HandleDeserialize implements the middleware.
func (successes) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	middleware.DeserializeOutput, middleware.Metadata, error,
) {
	out, metadata, err := next.HandleDeserialize(ctx, in)
	if err == nil {
		reply, _ := out.RawResponse.(*smithyhttp.Response)
		if missing := unproven(out.Result, reply); missing != "" {
			err = &foreignError{status: statusOf(reply), missing: missing}
			if got, ok := out.Result.(*s3.GetObjectOutput); ok && got.Body != nil {
				_ = got.Body.Close()
			}
		}
	}
	return out, metadata, err
}

// unproven returns the name of what S3 always sends and that is missing in a reply, or "".
func unproven(result any, reply *smithyhttp.Response) string {
	name, has := "ETag", false
	switch out := result.(type) {
	case *s3.PutObjectOutput:
		has = out.ETag != nil
	case *s3.GetObjectOutput:
		has = out.ETag != nil
	case *s3.HeadObjectOutput:
		has = out.ETag != nil
	case *s3.UploadPartOutput:
		has = out.ETag != nil
	case *s3.CompleteMultipartUploadOutput:
		has = out.ETag != nil
	case *s3.CreateMultipartUploadOutput:
		name, has = "UploadId", out.UploadId != nil
	case *s3.ListObjectsV2Output:
		name, has = "IsTruncated", out.IsTruncated != nil
	case *s3.DeleteObjectOutput, *s3.AbortMultipartUploadOutput: // nothing follows their status
		name = "status 204"
		has = reply != nil && (reply.StatusCode == http.StatusNoContent || reply.Header.Get("X-Amz-Request-Id") != "")
	default:
		name = fmt.Sprintf("known form (%T)", result)
	}
	if has {
		return ""
	}
	return name
}

// refusals is the middleware that requires proof of a refusal: the code of an error, in the body.
// The SDK would make a code of the status. The reply to a HEAD has no body, so there a header is
// the proof.
type refusals struct{}

// ID names the middleware.
func (refusals) ID() string { return "MilepostRefusals" }

// HandleDeserialize implements the middleware.
func (refusals) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	middleware.DeserializeOutput, middleware.Metadata, error,
) {
	out, metadata, err := next.HandleDeserialize(ctx, in)
	reply, ok := out.RawResponse.(*smithyhttp.Response)
	if err != nil || !ok || reply.StatusCode < 400 || reply.StatusCode >= 500 {
		return out, metadata, err
	}
	if isHead(in.Request) {
		if reply.Header.Get("X-Amz-Request-Id") == "" && !strings.Contains(reply.Header.Get("Content-Type"), "xml") {
			err = &foreignError{status: statusOf(reply), missing: "request id"}
		}
		return out, metadata, err
	}
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		return out, metadata, &cutError{status: reply.StatusCode, err: err}
	}
	reply.Body = struct {
		io.Reader
		io.Closer
	}{bytes.NewReader(body), reply.Body}
	var named struct {
		XMLName xml.Name `xml:"Error"`
		Code    string   `xml:"Code"`
	}
	if xml.Unmarshal(body, &named) != nil || named.Code == "" {
		return out, metadata, &foreignError{status: statusOf(reply), missing: "code of an error"}
	}
	return out, metadata, nil
}

// cutError is a refusal of which only the status arrived. A server that refuses before it has read
// the whole request may close the connection while it replies.
type cutError struct {
	status int
	err    error
}

func (e *cutError) Error() string {
	return fmt.Sprintf("a reply %d that was cut short: %v", e.status, e.err)
}

// Unwrap returns the error of the connection.
func (e *cutError) Unwrap() error { return e.err }

func isHead(request any) bool {
	r, ok := request.(*smithyhttp.Request)
	return ok && r.Method == http.MethodHead
}

func statusOf(reply *smithyhttp.Response) string {
	if reply == nil {
		return ""
	}
	return fmt.Sprintf("%d %s", reply.StatusCode, http.StatusText(reply.StatusCode))
}
